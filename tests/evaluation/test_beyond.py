"""Novelty, diversity, popularity, coverage, Gini: arithmetic a reader can redo."""

import math

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset
from crossfade.evaluation.beyond import (
    ItemFacts,
    coverage,
    diversity,
    gini,
    novelty,
    popularity,
)


def train() -> Dataset:
    """Four users; item a is known to all, b to one, c to nobody."""
    events = pl.DataFrame(
        {"user_id": ["1", "2", "3", "4", "1", "1"], "item_id": ["a"] * 4 + ["a", "b"]}
    )
    items = pl.DataFrame(
        {
            "item_id": ["a", "b", "c", "d"],
            "genres": [["rock", "pop"], ["rock"], None, ["folk", "folk"]],
        }
    )
    users = pl.DataFrame({"user_id": ["idle"]})
    return Dataset.build(events, items, users)


A, B, C, D = range(4)


def lists(*rows: list[int]) -> np.ndarray[tuple[int, int], np.dtype[np.int32]]:
    return np.array(rows, dtype=np.int32)


def test_novelty_is_bits_of_surprise() -> None:
    # a: 4 of 4 users, 0 bits; b: 1 of 4, 2 bits. The user without events does not count.
    assert novelty(lists([A, B]), ItemFacts.of(train())).tolist() == [1.0]


def test_an_item_nobody_knows_is_as_novel_as_the_rarest_known_one() -> None:
    assert novelty(lists([C, -1]), ItemFacts.of(train())).tolist() == [2.0]


def test_popularity_is_the_share_of_users_who_know_the_item() -> None:
    assert popularity(lists([A, B, C]), ItemFacts.of(train())).tolist() == pytest.approx(
        [(1 + 1 / 4 + 0) / 3]
    )


def test_diversity_averages_genre_distance_over_known_pairs() -> None:
    facts = ItemFacts.of(train())
    # a-b: 1 - 1/2; a-d and b-d: 1; c has no genres, so its pairs do not count.
    assert diversity(lists([A, B, C, D]), facts).tolist() == pytest.approx([(0.5 + 1 + 1) / 3])
    assert diversity(lists([A, B, -1]), facts).tolist() == [0.5]


def test_a_list_without_a_known_pair_has_no_diversity() -> None:
    facts = ItemFacts.of(train())
    assert np.isnan(diversity(lists([A, C], [A, -1]), facts)).all()


def test_data_without_genres_has_no_diversity() -> None:
    plain = Dataset.build(pl.DataFrame({"user_id": ["1", "1"], "item_id": ["a", "b"]}))
    assert np.isnan(diversity(lists([0, 1]), ItemFacts.of(plain))).all()


@pytest.mark.parametrize("metric", [novelty, popularity, diversity])
def test_an_empty_list_has_no_value(metric: object) -> None:
    assert callable(metric)
    assert np.isnan(metric(lists([-1, -1]), ItemFacts.of(train()))).all()


def test_coverage_is_the_share_of_items_shown() -> None:
    assert coverage(np.array([3, 0, 1, 0])) == 0.5
    assert math.isnan(coverage(np.zeros(0, dtype=np.int64)))


def test_gini_by_hand() -> None:
    assert gini(np.array([2, 2, 2])) == 0.0
    assert gini(np.array([0, 0, 0, 8])) == pytest.approx(3 / 4)  # one of n gets all: 1 - 1/n
    # Mean absolute difference over twice the mean: (1, 3): (0+2+2+0)/4 / (2*2) = 0.25.
    assert gini(np.array([3, 1])) == pytest.approx(0.25)
    assert math.isnan(gini(np.array([0, 0])))
