import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from crossfade.arrays import top_k
from crossfade.fusion.scaling import OFFSET, Scaling, reciprocal_rank, scale, zscore
from crossfade.fusion.standings import SAMPLED, SORTED, SORTED_WHOLE, Standings
from crossfade.types import Floats, Rows

NAN = math.nan
SCORES = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, max_side=7),
    elements=st.one_of(st.just(NAN), st.integers(-4, 4).map(lambda n: n / 4)),
)


def told(scores: Floats, columns: Rows, scaling: Scaling) -> Floats:
    score, rank = (np.empty(columns.shape, dtype=np.float32) for _ in range(2))
    Standings(scores).tell(columns, score, rank)
    return score if scaling == "zscore" else rank


@given(SCORES, st.sampled_from(["zscore", "reciprocal_rank"]), st.randoms(use_true_random=False))
def test_scaling_some_columns_is_scaling_all_and_looking_there(
    scores: Floats, scaling: Scaling, random: Random
) -> None:
    n_rows, n_items = scores.shape
    columns = np.array(
        [[random.randrange(n_items) for _ in range(5)] for _ in range(n_rows)], dtype=np.int32
    )
    np.testing.assert_array_equal(
        told(scores, columns, scaling),
        np.take_along_axis(scale(scores, scaling), columns, axis=1),
    )


@given(SCORES, st.integers(1, 9))
def test_the_best_are_those_of_the_list_in_their_own_order(scores: Floats, k: int) -> None:
    expected = [sorted(row[row >= 0].tolist()) for row in top_k(scores, k)]
    found = Standings(scores).best(k)
    assert found.shape == (len(scores), k)
    assert [row[row >= 0].tolist() for row in found] == expected


def test_the_best_of_a_long_row_are_found_wherever_they_stand() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 50, size=(20, 3_000)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.3] = NAN
    expected = [sorted(row.tolist()) for row in top_k(scores, 100)]
    assert Standings(scores).best(100).tolist() == expected


N_LONG = SORTED_WHOLE + 5_000


def long_rows(kind: str) -> Floats:
    """Two requests over more items than are sorted whole."""
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(2, N_LONG)).astype(np.float32)
    if kind == "tied":
        scores = np.round(scores)
    if kind == "sparse":  # most items are known, and nothing speaks for them
        scores = np.where(rng.random(scores.shape) < 0.01, np.abs(scores), np.float32(0))
    if kind == "little":  # fewer have any score than are sorted
        scores[:, SORTED // 2 :] = NAN
    if kind == "gaps":
        scores[0, rng.random(N_LONG) < 0.5] = NAN
        scores[1] = NAN
    if kind == "unlucky":  # the sample sees nothing but the best
        scores[:, :: N_LONG // SAMPLED] += 100
    return scores


KINDS = ("even", "tied", "sparse", "little", "gaps", "unlucky")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 100, 5_000])
def test_the_best_of_many_items_are_exact_whatever_the_sample_holds(kind: str, k: int) -> None:
    scores = long_rows(kind)
    expected = [sorted(row[row >= 0].tolist()) for row in top_k(scores, k)]
    assert [row[row >= 0].tolist() for row in Standings(scores).best(k)] == expected


@pytest.mark.parametrize("kind", KINDS)
def test_of_many_items_the_best_have_their_rank_and_the_others_nearly(kind: str) -> None:
    scores = long_rows(kind)
    columns = np.tile(np.arange(N_LONG, dtype=np.int32), (2, 1))
    exact, found = reciprocal_rank(scores), told(scores, columns, "reciprocal_rank")
    np.testing.assert_array_equal(np.isnan(found), np.isnan(exact))
    if kind != "unlucky":
        best = exact >= (OFFSET + 1) / (OFFSET + SORTED / 2)
        np.testing.assert_array_equal(found[best], exact[best])
        np.testing.assert_allclose(found, exact, atol=0.01)
    for row, ranks in zip(scores, found, strict=True):  # the order is never turned round
        known = np.flatnonzero(~np.isnan(row))
        assert (np.diff(ranks[known[np.argsort(row[known])]]) >= 0).all()


def test_zscores_of_many_items_are_those_of_the_whole() -> None:
    scores = long_rows("gaps")
    columns = np.tile(np.arange(N_LONG, dtype=np.int32), (2, 1))
    np.testing.assert_array_equal(told(scores, columns, "zscore"), zscore(scores))
