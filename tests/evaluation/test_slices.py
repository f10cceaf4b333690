"""Slices: who falls into which, and what is measured there."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset, Queries
from crossfade.data.dataset import to_us
from crossfade.data.splits import Trial
from crossfade.evaluation import Evaluation, EvaluationConfig, evaluate
from crossfade.evaluation.slices import (
    Family,
    pair_families,
    popularity_decile,
    request_families,
    restricted_recall,
)
from crossfade.types import Csr, Floats

CUT = datetime(2024, 6, 1, tzinfo=UTC)
CONFIG = EvaluationConfig(resamples=100, flips=100, slice_recall_k=2)


@dataclass(frozen=True)
class Fixed:
    scores: Sequence[float]
    name: str

    def score_batch(self, queries: Queries) -> Floats:
        return np.tile(np.array(self.scores, dtype=np.float32), (len(queries), 1))


def trial(wanted: list[list[int]]) -> Trial:
    """Users heavy (6 events), light (1 event) and fresh (none); items a to d.

    Item a is 200 days old at the cut and known to two users, b is 10 days old and known
    to one, c and d have no event.
    """
    old, new = CUT - timedelta(days=200), CUT - timedelta(days=10)
    events = pl.DataFrame(
        {
            "user_id": ["heavy"] * 6 + ["light"],
            "item_id": ["a"] * 5 + ["b", "a"],
            "timestamp": [old] * 5 + [new] * 2,
        }
    )
    items = pl.DataFrame(
        {
            "item_id": ["a", "b", "c", "d"],
            "title": ["A", "B", None, None],
            "creator_id": ["x", None, None, None],
            "genres": [["rock"], [], None, ["pop"]],
            "energy": [None, 0.5, float("nan"), 0.1],
        }
    )
    users = pl.DataFrame({"user_id": ["fresh"]})
    train = Dataset.build(events, items, users, name="slices")
    rows = train.user_ids.rows(["heavy", "light", "fresh"])
    relevant = np.zeros((3, 4), dtype=np.float32)
    for row, wants in enumerate(wanted):
        relevant[row, wants] = 1
    queries = train.queries(rows, np.full(3, to_us(CUT), dtype=np.int64))
    return Trial("test", train, queries, Csr(relevant), exclude_seen=False)


def names(family: Family) -> list[str]:
    return [family.labels[code] for code in family.code]


def test_requests_are_sliced_by_history_and_by_being_known() -> None:
    families = {f.name: f for f in request_families(trial([[0], [1], [2]]), CONFIG)}
    assert names(families["history_length"]) == ["5–19", "1–4", "0"]
    assert families["history_length"].labels == ("0", "1–4", "5–19", "20–99", "100+")
    assert names(families["user"]) == ["seen in training"] * 2 + ["unseen in training"]


def test_wanted_items_are_sliced_by_popularity_metadata_and_age() -> None:
    asked = trial([[0, 1], [2], [3]])
    families = {f.name: f for f in pair_families(asked, asked.relevant, CONFIG)}
    # Two known items: b (one user) fills the lower half, a (two) the upper.
    unseen = ["unseen in training"] * 2
    assert names(families["item_popularity"]) == ["decile 10", "decile 5", *unseen]
    # a: title, creator, genre; b: title, energy; c: nothing (NaN is nothing); d: genre, energy.
    assert names(families["item_metadata"]) == [f"{n} of 4 known" for n in (3, 2, 0, 2)]
    never = ["no earlier event"] * 2
    assert names(families["item_age"]) == ["30 to 365 days", "under 30 days", *never]


def test_strangers_are_unseen_in_training() -> None:
    asked = trial([[0], [1], [2]])
    asked = replace(asked, queries=replace(asked.queries, user_row=np.full(3, -1, dtype=np.int32)))
    families = {f.name: f for f in request_families(asked, CONFIG)}
    assert names(families["user"]) == ["unseen in training"] * 3


def test_an_item_that_appears_after_the_request_has_no_age_yet() -> None:
    # Per-user blocks: others' later events are in training, but not at this request.
    asked = trial([[0, 1], [1], [0]])
    early = np.full(3, to_us(CUT - timedelta(days=10)), dtype=np.int64)  # b's first moment
    asked = replace(asked, queries=replace(asked.queries, as_of_us=early))
    families = {f.name: f for f in pair_families(asked, asked.relevant, CONFIG)}
    known, unknown = "30 to 365 days", "no earlier event"
    assert names(families["item_age"]) == [known, unknown, unknown, known]


def test_without_times_items_have_no_age() -> None:
    plain = Dataset.build(pl.DataFrame({"user_id": ["u", "v"], "item_id": ["a", "b"]}))
    wanted = Csr(np.array([[0, 1]], dtype=np.float32))
    asked = Trial("test", plain, plain.queries([0]), wanted, exclude_seen=True)
    assert "item_age" not in {f.name for f in pair_families(asked, wanted, CONFIG)}


def test_deciles_keep_equally_known_items_together() -> None:
    counts = np.arange(21)  # 0 is unseen, then two items per decile
    assert popularity_decile(counts).tolist() == [0, *sorted([*range(1, 11)] * 2)]
    assert popularity_decile(np.array([7, 7, 7, 0])).tolist() == [10, 10, 10, 0]
    assert popularity_decile(np.array([0, 0])).tolist() == [0, 0]


def test_restricted_recall_looks_at_one_slice_of_what_was_wanted() -> None:
    # Request 0 wants items 0, 1 (slice 0) and 2 (slice 1); request 1 wants item 2.
    relevant = Csr(np.array([[1, 1, 1], [0, 0, 1]], dtype=np.float32))
    family = Family("x", ("low", "high"), np.array([0, 0, 1, 1]))
    found = np.array([[1.0], [0.0], [1.0], [0.0]])
    recall = restricted_recall(found, relevant, family)[:, :, 0]
    np.testing.assert_array_equal(recall, [[0.5, 1.0], [np.nan, 0.0]])


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    # Lists of two: forward gives a b, backward d c.
    models = [Fixed([4, 3, 2, 1], "forward"), Fixed([1, 2, 3, 4], "backward")]
    return evaluate([trial([[0, 2], [1], [3]])], [models], CONFIG)


def cell(evaluation: Evaluation, family: str, label: str, model: str) -> dict[str, object]:
    rows = evaluation.slices.filter(
        pl.col("family") == family,
        pl.col("slice") == label,
        pl.col("model") == model,
        pl.col("metric").is_in(["ndcg@10", "recall@2"]) & pl.col("best_other").is_not_null(),
    )
    return rows.row(0, named=True)


def test_a_slice_has_only_its_own_users(evaluation: Evaluation) -> None:
    fresh = cell(evaluation, "history_length", "0", "backward")
    assert (fresh["mean"], fresh["n"]) == (1.0, 1)
    assert fresh["best_other"] == "forward"
    assert np.isnan(fresh["low"])  # type: ignore[call-overload] # one user has no interval


def test_item_slices_count_users_who_want_something_there(evaluation: Evaluation) -> None:
    # Items without events: heavy wants c, fresh wants d; forward finds neither, backward both.
    loss = cell(evaluation, "item_popularity", "unseen in training", "forward")
    assert (loss["mean"], loss["n"], loss["difference"]) == (0.0, 2, -1.0)
    assert (loss["difference_low"], loss["difference_high"]) == (-1.0, -1.0)
    win = cell(evaluation, "item_popularity", "decile 10", "forward")
    assert (win["mean"], win["n"], win["difference"]) == (1.0, 1, 1.0)


def test_every_row_says_how_many_users_and_empty_slices_are_left_out(
    evaluation: Evaluation,
) -> None:
    # Lists without a pair of known genres have no diversity, whatever the slice.
    rows = evaluation.slices.filter(pl.col("metric") != "diversity@10")
    assert rows["n"].min() == 1
    labels = evaluation.slices.filter(pl.col("family") == "history_length")["slice"].unique()
    assert set(labels) == {"0", "1–4", "5–19"}


def test_losses_are_sorted_largest_first(evaluation: Evaluation) -> None:
    losses = evaluation.losing_slices("forward")
    assert losses["difference"].is_sorted()
    assert losses["difference"][0] == -1.0
    assert set(losses["metric"]) == {"ndcg@10", "recall@2"}
