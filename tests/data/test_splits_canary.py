"""The future canary: whatever happens at or after a cut, no model can know it before.

Two halves. The harness must be able to see a leak: an oracle that reads the test block
scores a perfect NDCG, and a feature that encodes the future lifts a model when it is
computed over the whole log. And there must be none: rewriting the future changes nothing
that a model is given, and the same feature computed from what the trial hands out is
worth nothing.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset, Queries
from crossfade.data.dataset import to_datetime
from crossfade.data.splits import Plan, ProtocolConfig, ProtocolName, Trial, make_plan
from crossfade.evaluation import EvaluationConfig, Scorer, evaluate
from crossfade.recommenders.base import Recommender
from crossfade.recommenders.registry import RECOMMENDERS, make
from crossfade.types import Csr, Floats

START = datetime(2024, 1, 1, tzinfo=UTC)
N_USERS, N_ITEMS, N_EVENTS = 40, 60, 3_000
QUICK = EvaluationConfig(resamples=100, flips=100)


def world(future_seed: int = 0) -> Dataset:
    """A log whose past is always the same and whose last fifth depends on ``future_seed``.

    Items are drawn uniformly, so nothing in the past says anything about the future.
    """
    past, future = np.random.default_rng(99), np.random.default_rng(future_seed)
    n_future = N_EVENTS // 5
    parts = [(past, N_EVENTS - n_future), (future, n_future)]
    users = np.concatenate([rng.integers(0, N_USERS, n) for rng, n in parts])
    items = np.concatenate([rng.integers(0, N_ITEMS, n) for rng, n in parts])
    events = pl.DataFrame(
        {
            "user_id": [f"u{user:02d}" for user in users],
            "item_id": [f"i{item:02d}" for item in items],
            "timestamp": [START + timedelta(minutes=5 * n) for n in range(N_EVENTS)],
        }
    )
    catalogue = pl.DataFrame({"item_id": [f"i{item:02d}" for item in range(N_ITEMS)]})
    people = pl.DataFrame({"user_id": [f"u{user:02d}" for user in range(N_USERS)]})
    taggings = events.with_columns(tag=pl.lit("played"))
    return Dataset.build(events, catalogue, people, name="canary", taggings=taggings)


def plan_of(data: Dataset, name: ProtocolName = "time", rolling_cuts: int = 1) -> Plan:
    # In this log every item is old, so cold items are drawn.
    rules = ProtocolConfig(name=name, rolling_cuts=rolling_cuts, cold_items="share")
    return make_plan(data, rules)


def wanted_by(events: pl.DataFrame, shape: tuple[int, int]) -> Csr:
    rows = (events["user_row"].to_numpy(), events["item_row"].to_numpy())
    matrix = Csr((np.ones(events.height, dtype=np.float32), rows), shape=shape)
    matrix.sum_duplicates()
    return matrix


def quick(kind: str) -> Recommender[Any]:
    """A model that learns in no time; a network need not be good to be caught leaking."""
    return make(kind, {"examples": {"min_steps": 20}} if kind == "two_tower" else None)


class Canary:
    """Recommends what each user played at or after a moment, in the events it is given."""

    def __init__(self, name: str, events: pl.DataFrame, since_us: int) -> None:
        self.name = name
        later = events.filter(pl.col("timestamp") >= to_datetime(since_us))
        self.future = wanted_by(later, (N_USERS, N_ITEMS))

    def score_batch(self, queries: Queries) -> Floats:
        # A faint fixed order keeps the list full where the canary knows nothing.
        faint = np.random.default_rng(1).random(N_ITEMS) / 10
        return (self.future[queries.user_row].toarray() + faint).astype(np.float32)


def events_of(trial: Trial) -> pl.DataFrame:
    """Training events; sessions are told apart by their first event, not by their number.

    Numbers are labels without meaning: they count over users, so a later session of one
    user can shift those of another.
    """
    events = trial.train.events.with_row_index("place")
    return events.with_columns(session_row=pl.col("place").min().over("session_row"))


def cut_of(trial: Trial) -> int:
    assert trial.queries.as_of_us is not None
    return int(trial.queries.as_of_us.min())


def test_a_leak_would_be_seen_and_there_is_none() -> None:
    data = world()
    plan = plan_of(data)
    (test,) = plan.tests
    cut = cut_of(test)
    scorers: list[Scorer] = [
        Canary("oracle", data.events, cut),  # reads the test block
        Canary("honest", test.train.events, cut),  # the same code on what the trial hands out
        Canary("blind", data.events.head(0), cut),  # knows nothing at all
    ]
    found = evaluate(plan.tests, [scorers], QUICK.changed(reference="blind"), plan=plan)
    assert found.mean("oracle", "ndcg@10") == pytest.approx(1.0)
    assert found.mean("oracle", "recall@20") > 0.95
    # Zero lift: not nearly equal, but the very same lists.
    honest = found.requests.filter(pl.col("model") == "honest").drop("model")
    blind = found.requests.filter(pl.col("model") == "blind").drop("model")
    assert honest.equals(blind)
    assert found.mean("honest", "ndcg@10") < 0.5


@pytest.mark.parametrize("name", ["time", "repeat", "cold-users", "cold-items"])
def test_another_future_changes_nothing_that_was_learned_or_tuned_on(name: ProtocolName) -> None:
    first, second = plan_of(world(0), name), plan_of(world(1), name)
    # Fuse and calibrate trials lie wholly in the past, so they are equal in full.
    for a, b in ((first.fuse, second.fuse), (first.calibrate, second.calibrate)):
        assert events_of(a).equals(events_of(b))
        np.testing.assert_array_equal(a.queries.item_row, b.queries.item_row)
        np.testing.assert_array_equal(a.relevant.toarray(), b.relevant.toarray())


@pytest.mark.parametrize("name", ["time", "repeat"])
def test_another_future_changes_no_training_event_and_no_tag(name: ProtocolName) -> None:
    (first,), (second,) = plan_of(world(0), name).tests, plan_of(world(1), name).tests
    assert events_of(first).equals(events_of(second))
    assert first.train.taggings is not None
    assert second.train.taggings is not None
    assert first.train.taggings.equals(second.train.taggings)


def test_another_future_changes_no_history_at_the_cut() -> None:
    (first,), (second,) = plan_of(world(0)).tests, plan_of(world(1)).tests
    both = sorted(set(first.queries.user_row.tolist()) & set(second.queries.user_row.tolist()))
    assert len(both) > N_USERS / 2
    histories = []
    for trial in (first, second):
        place = {int(user): at for at, user in enumerate(trial.queries.user_row)}
        histories.append(trial.queries.take([place[user] for user in both]))
    np.testing.assert_array_equal(histories[0].item_row, histories[1].item_row)
    np.testing.assert_array_equal(histories[0].indptr, histories[1].indptr)


@pytest.mark.parametrize("kind", sorted(RECOMMENDERS))
def test_another_future_changes_no_score_of_any_model(kind: str) -> None:
    (first,), (second,) = plan_of(world(0)).tests, plan_of(world(1)).tests
    models = [quick(kind).fit(trial.train, seed=3) for trial in (first, second)]
    asked = first.queries
    np.testing.assert_array_equal(models[0].score_batch(asked), models[1].score_batch(asked))


@pytest.mark.parametrize("kind", sorted(RECOMMENDERS))
def test_no_model_finds_a_pattern_in_a_future_of_pure_chance(kind: str) -> None:
    plan = plan_of(world())
    (test,) = plan.tests
    rng = np.random.default_rng(5)

    class Chance:
        name = "chance"

        def score_batch(self, queries: Queries) -> Floats:
            return rng.random((len(queries), N_ITEMS), dtype=np.float32)

    model = quick(kind).fit(test.train, seed=3)
    found = evaluate([test], [[model, Chance()]], QUICK.changed(reference="chance"))
    lift = found.comparisons.filter(pl.col("model") == kind, pl.col("against") == "reference")
    # Five standard errors of chance: a leak of the future would lift NDCG by many times that.
    spread = found.users.filter(pl.col("model") == "chance")["ndcg@10"].std()
    assert isinstance(spread, float)
    assert lift["difference"].item() < 5 * spread * np.sqrt(2 / found.n_users)
    oracle = evaluate([test], [[Canary("oracle", world().events, cut_of(test))]], QUICK)
    assert oracle.mean("oracle", "ndcg@10") - found.mean(
        "chance", "ndcg@10"
    ) > 5 * spread * np.sqrt(2 / found.n_users)
