"""Scales of lists of any length: as on whole catalogues, and of any size."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.fusion.scaling import OFFSET, reciprocal_rank, zscore
from crossfade.meta.outside_scaling import places, zscores
from crossfade.types import Doubles, Ints

LISTS = st.lists(
    st.lists(st.sampled_from([*range(-3, 9), float("nan")]), min_size=1, max_size=8),
    min_size=1,
    max_size=6,
)


def flat(lists: list[list[float]]) -> tuple[Doubles, Ints]:
    sizes = [len(one) for one in lists]
    score = np.array([value for one in lists for value in one], dtype=np.float64)
    return score[:, None], np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def each(values: Any, indptr: Ints) -> list[Any]:
    return [values[a:b, 0] for a, b in pairwise(indptr)]


@given(LISTS)
def test_z_scores_are_those_of_the_house(lists: list[list[float]]) -> None:
    score, indptr = flat(lists)
    for one, found in zip(lists, each(zscores(score, indptr), indptr), strict=True):
        expected = zscore(np.array([one], dtype=np.float32))[0]
        np.testing.assert_allclose(found, expected, atol=1e-6)


@given(LISTS)
def test_places_give_the_reciprocal_ranks_of_the_house(lists: list[list[float]]) -> None:
    score, indptr = flat(lists)
    shared, single = (each(found, indptr) for found in places(score, indptr))
    for one, place, alone in zip(lists, shared, single, strict=True):
        there = ~np.isnan(one)
        expected = reciprocal_rank(np.array([one], dtype=np.float32))[0]
        np.testing.assert_array_equal(place > 0, there)
        np.testing.assert_allclose(
            (OFFSET + 1) / (OFFSET + place[there]), expected[there], rtol=1e-6
        )
        assert sorted(alone[there]) == list(range(1, there.sum() + 1))


@pytest.mark.parametrize("size", [1e-300, 1.0, 1e30, 1e307])
def test_scores_of_any_size_keep_their_distances(size: float) -> None:
    score, indptr = flat([[size, 2 * size, 3 * size]])
    np.testing.assert_allclose(zscores(score, indptr)[:, 0], [-(1.5**0.5), 0, 1.5**0.5], atol=1e-6)
    assert places(score, indptr)[0][:, 0].tolist() == [3, 2, 1]


def test_small_differences_of_large_scores_still_order() -> None:
    # As 32-bit numbers, both pairs would be ties.
    score, indptr = flat([[1e9, 1e9 + 1], [1e-12, 1.0, 1e-13]])
    assert places(score, indptr)[0][:, 0].tolist() == [2, 1, 2, 1, 3]
    np.testing.assert_allclose(zscores(score, indptr)[:2, 0], [-1, 1], rtol=1e-6)


def test_a_constant_list_says_nothing() -> None:
    score, indptr = flat([[0.1, 0.1, 0.1], [float("nan"), 7.0]])
    np.testing.assert_array_equal(zscores(score, indptr)[:, 0], [0, 0, 0, np.nan, 0])
