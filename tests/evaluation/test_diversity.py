"""What diversity costs, on lists whose numbers are known."""

import math

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset
from crossfade.data.splits import Trial
from crossfade.evaluation import EvaluationConfig
from crossfade.evaluation.diversity import diversity_curve
from crossfade.types import Csr, Rows

CONFIG = EvaluationConfig(resamples=100, flips=100)
ROCK, POP, FOLK = 0, 2, 3
"""Rows of items; 1 is rock as well."""


def trial(genres: list[list[str] | None]) -> Trial:
    users, items = ["ann", "bob", "cat"], ["a", "b", "c", "d"]
    events = pl.DataFrame({"user_id": users, "item_id": ["a", "b", "c"]})
    catalogue = pl.DataFrame(
        {"item_id": items, "genres": genres}, schema_overrides={"genres": pl.List(pl.String)}
    )
    train = Dataset.build(events, catalogue, name="diverse")
    relevant = np.zeros((3, 4), dtype=np.float32)
    relevant[:, ROCK] = 1
    queries = train.queries(np.arange(3, dtype=np.int32))
    return Trial("test", train, queries, Csr(relevant), exclude_seen=False)


def lists(*rows: list[int]) -> Rows:
    return np.array(rows, dtype=np.int32)


def test_each_strength_is_compared_with_the_plain_order_of_the_same_users() -> None:
    asked = trial([["rock"], ["rock"], ["pop"], ["folk"]])
    plain = lists([ROCK, 1], [ROCK, POP], [ROCK, POP])
    more = lists([POP, ROCK], [ROCK, POP], [POP, FOLK])
    found = diversity_curve("m", asked, {0.0: plain, 0.3: more}, CONFIG, seed=0)
    assert found is not None
    assert (found.k, found.n_requests, found.n_users, found.n_diverse) == (2, 3, 3, 3)
    first, second = found.points
    assert (first.ndcg.mean, first.ndcg.change) == (1.0, 0.0)
    assert math.isnan(first.ndcg.change_low)
    assert first.diversity.mean == pytest.approx(2 / 3)
    assert second.ndcg.mean == pytest.approx((1 / math.log2(3) + 1 + 0) / 3)
    assert second.ndcg.change == pytest.approx(second.ndcg.mean - 1)
    assert second.ndcg.change_low <= second.ndcg.change <= second.ndcg.change_high <= 0
    assert (second.diversity.mean, second.diversity.change) == pytest.approx((1.0, 0.5))


def test_a_user_whose_list_has_no_diversity_at_one_strength_counts_at_none() -> None:
    asked = trial([["rock"], ["rock"], ["pop"], None])
    plain = lists([ROCK, 1], [ROCK, POP], [ROCK, POP])
    more = lists([ROCK, FOLK], [ROCK, POP], [ROCK, POP])
    found = diversity_curve("m", asked, {0.0: plain, 0.3: more}, CONFIG, seed=0)
    assert found is not None
    assert (found.n_users, found.n_diverse) == (3, 2)
    assert [one.diversity.mean for one in found.points] == [1.0, 1.0]


def test_without_genres_there_is_no_curve() -> None:
    rows = lists([0, 1], [0, 1], [0, 1])
    assert diversity_curve("m", trial([None] * 4), {0.0: rows}, CONFIG, seed=0) is None


def test_the_interval_of_a_change_is_paired() -> None:
    asked = trial([["rock"], ["rock"], ["pop"], ["folk"]])
    plain = lists([ROCK, POP], [FOLK, POP], [FOLK, POP])
    more = lists([POP, ROCK], [POP, FOLK], [POP, FOLK])
    found = diversity_curve("m", asked, {0.0: plain, 0.3: more}, CONFIG, seed=0)
    assert found is not None
    # Ann alone wants what is listed, and finds it one rank later: the same loss in every resample.
    change = found.points[1].ndcg
    loss = 1 / math.log2(3) - 1
    assert (change.change_low, change.change_high) == pytest.approx((loss, loss))
    assert change.low < change.high


def test_where_the_plain_order_finds_nothing_there_is_no_change() -> None:
    asked = trial([["rock"], ["rock"], ["pop"], ["folk"]])
    found = diversity_curve("m", asked, {0.0: lists(*[[FOLK, POP]] * 3)}, CONFIG, seed=0)
    assert found is not None
    assert found.to_json()["points"][0]["ndcg"]["change"] is None
