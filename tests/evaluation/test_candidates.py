"""Recall of candidates, counted by hand."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset
from crossfade.data.dataset import to_us
from crossfade.data.splits import Trial
from crossfade.evaluation import EvaluationConfig
from crossfade.evaluation.candidates import CandidateRecall, CandidateSlice, candidate_recall
from crossfade.types import Csr

CUT = datetime(2024, 6, 1, tzinfo=UTC)
CONFIG = EvaluationConfig(resamples=100, flips=100)
ANN, BOB = 0, 1
OLD, NEW, LOST = 0, 1, 2


def trial(wanted: list[list[int]], asking: tuple[int, ...] = (ANN, BOB)) -> Trial:
    """Ann has 6 events and Bob 1; of three items ``lost`` has none, and ``new`` one, 10 days ago."""
    old, new = CUT - timedelta(days=200), CUT - timedelta(days=10)
    events = pl.DataFrame(
        {
            "user_id": ["ann"] * 6 + ["bob"],
            "item_id": ["a old"] * 5 + ["b new", "a old"],
            "timestamp": [old] * 5 + [new] * 2,
        }
    )
    items = pl.DataFrame({"item_id": ["a old", "b new", "c lost"], "title": ["A", "B", None]})
    train = Dataset.build(events, items, name="candidates")
    relevant = np.zeros((len(asking), 3), dtype=np.float32)
    for row, wants in enumerate(wanted):
        relevant[row, wants] = 1
    times = np.full(len(asking), to_us(CUT), dtype=np.int64)
    queries = train.queries(np.array(asking, dtype=np.int32), times)
    return Trial("test", train, queries, Csr(relevant), exclude_seen=False)


def recall(asked: Trial, proposed: list[list[int]]) -> CandidateRecall:
    there = Csr(np.array(proposed, dtype=np.float32))
    return candidate_recall("meta", asked, there, CONFIG, seed=0)


def by_slice(found: CandidateRecall) -> dict[tuple[str, str], CandidateSlice]:
    return {(one.family, one.label): one for one in found.slices}


def test_an_item_nobody_proposes_lowers_its_own_slices_and_no_other() -> None:
    asked = trial([[OLD, LOST], [OLD, NEW]])
    everything, without = (recall(asked, rows) for rows in ([[1, 1, 1]] * 2, [[1, 1, 0]] * 2))
    assert {one.recall for one in (everything.whole, *everything.slices)} == {1.0}
    changed = {key: one for key, one in by_slice(without).items() if one.recall < 1}
    assert set(changed) == {
        ("history_length", "5–19"),  # Ann's: she wants what is lost
        ("user", "seen in training"),
        ("item_popularity", "unseen in training"),
        ("item_metadata", "0 of 4 known"),
        ("item_age", "no earlier event"),
    }
    assert changed["history_length", "5–19"].recall == 0.5
    assert (changed["history_length", "5–19"].n, changed["history_length", "5–19"].n_users) == (
        2,
        1,
    )
    assert changed["user", "seen in training"].recall == 0.75
    for name in ("item_popularity", "item_metadata", "item_age"):
        (lost,) = (one for (family, _), one in changed.items() if family == name)
        assert (lost.recall, lost.n, lost.n_users) == (0.0, 1, 1)
    assert (without.whole.recall, without.whole.n, without.whole.n_users) == (0.75, 4, 2)
    assert without.whole.low <= 0.75 <= without.whole.high
    assert without.lowest_first[0].recall == 0
    counts = {key: one.n for key, one in by_slice(everything).items()}
    assert counts == {key: one.n for key, one in by_slice(without).items()}


def test_each_user_counts_once_however_often_they_ask() -> None:
    asked = trial([[OLD], [OLD], [OLD]], asking=(ANN, ANN, BOB))
    found = recall(asked, [[1, 0, 0], [0, 0, 0], [1, 0, 0]])
    assert (found.whole.recall, found.whole.n, found.whole.n_users) == (0.75, 3, 2)


def test_a_slice_of_one_user_has_no_interval() -> None:
    few = by_slice(recall(trial([[OLD], [OLD]]), [[1, 0, 0]] * 2))["history_length", "5–19"]
    assert few.n_users == 1
    assert math.isnan(few.low)
    assert few.text == "100.0% of 1"


def test_only_what_was_wanted_counts() -> None:
    found = recall(trial([[OLD], [NEW]]), [[0, 1, 1], [0, 1, 1]])
    assert found.whole.recall == 0.5


def test_where_nothing_was_wanted_there_is_no_number() -> None:
    found = recall(trial([[], []]), [[1, 1, 1]] * 2)
    assert (found.slices, found.whole.n) == ((), 0)
    assert math.isnan(found.whole.recall)
    assert found.to_json()["recall"] is None
    assert found.lines() == []


def test_equal_seeds_give_equal_numbers() -> None:
    asked = trial([[OLD, LOST], [OLD, NEW]])
    first, second = (recall(asked, [[1, 1, 0]] * 2) for _ in range(2))
    assert first.to_json() == second.to_json()
    assert first.whole.recall == pytest.approx(0.75)
