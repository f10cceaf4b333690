import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from crossfade.fusion.scaling import reciprocal_rank, scale, zscore
from crossfade.types import Floats

NAN = math.nan
SCORES = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, max_side=7),
    elements=st.one_of(st.just(NAN), st.integers(-4, 4).map(lambda n: n / 4)),
)


def floats(*rows: list[float]) -> Floats:
    return np.array(rows, dtype=np.float32)


def test_zscore_by_hand() -> None:
    # Mean 3, deviations −2 … 2, standard deviation √2.
    root = math.sqrt(2)
    np.testing.assert_allclose(
        zscore(floats([1, 2, 3, 4, 5])), [[-2 / root, -1 / root, 0, 1 / root, 2 / root]], rtol=1e-6
    )


def test_zscore_looks_at_known_scores_only() -> None:
    np.testing.assert_allclose(zscore(floats([1, NAN, 3])), [[-1, NAN, 1]], rtol=1e-6)


@given(st.floats(-1e6, 1e6, width=32), st.integers(1, 50))
def test_a_constant_row_is_exactly_zero(value: float, n_items: int) -> None:
    # 0.1 + … + 0.1 over n is not 0.1: a rounded mean would turn the row into −1.
    assert (zscore(floats([value] * n_items)) == 0).all()


@pytest.mark.parametrize("size", [1e-30, 1e-6, 1.0, 1e6, 1e18])
def test_the_size_of_scores_does_not_matter(size: float) -> None:
    row = floats([1, 2, 4, NAN])
    np.testing.assert_allclose(zscore(row * np.float32(size)), zscore(row), rtol=1e-5)


@given(SCORES)
def test_zscores_have_mean_zero_and_deviation_one(scores: Floats) -> None:
    for before, after in zip(scores, zscore(scores), strict=True):
        known = after[~np.isnan(after)]
        if len(known):
            assert known.mean() == pytest.approx(0, abs=1e-5)
            assert known.std() == pytest.approx(float(np.nanstd(before) > 0), abs=1e-5)


def test_reciprocal_rank_by_hand() -> None:
    # The best gets 61 / 61; the two second best share rank 2; the next has rank 4.
    scaled = reciprocal_rank(floats([5, 9, NAN, 5, 1]))
    np.testing.assert_allclose(scaled, [[61 / 62, 1, NAN, 61 / 62, 61 / 64]], rtol=1e-6)


@given(SCORES)
def test_both_scales_keep_the_order_the_ties_and_what_is_missing(scores: Floats) -> None:
    before = scores.copy()
    for scaling in ("zscore", "reciprocal_rank"):
        scaled = scale(scores, scaling)
        assert scaled.dtype == np.float32
        np.testing.assert_array_equal(np.isnan(scaled), np.isnan(scores))
        for old, new in zip(scores, scaled, strict=True):
            known = ~np.isnan(old)
            old_order = np.sign(old[known][:, None] - old[known][None, :])
            new_order = np.sign(new[known][:, None] - new[known][None, :])
            np.testing.assert_array_equal(old_order, new_order)
    np.testing.assert_array_equal(scores, before)


@pytest.mark.parametrize("n_requests", [0, 1, 7])
def test_every_request_is_scaled_by_itself(n_requests: int) -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((n_requests, 5)).astype(np.float32)
    for scaling in ("zscore", "reciprocal_rank"):
        together = scale(scores, scaling)
        assert together.shape == (n_requests, 5)
        for place in range(n_requests):
            np.testing.assert_array_equal(
                scale(scores[place : place + 1], scaling)[0], together[place]
            )


def test_rows_without_scores_or_items_stay_empty() -> None:
    for scaling in ("zscore", "reciprocal_rank"):
        assert np.isnan(scale(floats([NAN, NAN]), scaling)).all()
        assert scale(np.zeros((2, 0), dtype=np.float32), scaling).shape == (2, 0)
