"""Intervals and tests: known cases, calibration, agreement with SciPy."""

from typing import Literal

import numpy as np
import pytest
from scipy import stats
from threadpoolctl import threadpool_limits

from crossfade.evaluation.statistics import (
    bootstrap,
    holm,
    intervals,
    randomisation_test,
    resampled_means,
    unit_means,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_user_who_asks_often_counts_once() -> None:
    values = np.array([[1.0], [0.0], [0.0], [1.0]])
    means = unit_means(values, np.array([0, 0, 0, 1]), 3)
    np.testing.assert_allclose(means[:, 0], [1 / 3, 1.0, np.nan])


def test_missing_requests_are_left_out_of_a_users_mean() -> None:
    values = np.array([[1.0, np.nan], [np.nan, np.nan]])
    np.testing.assert_array_equal(unit_means(values, np.array([0, 0]), 1), [[1.0, np.nan]])


@pytest.mark.parametrize("kind", ["bca", "percentile"])
def test_intervals_hold_the_truth_as_often_as_they_say(kind: Literal["bca", "percentile"]) -> None:
    # 400 samples of 60 skewed values (mean 1) as columns; 95 % should hold the mean.
    values = rng(1).exponential(size=(60, 400))
    found = bootstrap(values, rng(2), resamples=1_000, kind=kind)
    held = ((found.low <= 1) & (found.high >= 1)).mean()
    assert 0.90 <= held <= 0.98


@pytest.mark.parametrize("kind", ["bca", "percentile"])
def test_intervals_agree_with_scipy(kind: Literal["bca", "percentile"]) -> None:
    values = rng(3).exponential(size=25)  # small and skewed: bca and percentile differ
    theirs = stats.bootstrap(
        [values.tolist()],
        np.mean,
        n_resamples=20_000,
        method="BCa" if kind == "bca" else "percentile",
        rng=rng(4),
        vectorized=True,
    ).confidence_interval
    ours = bootstrap(values[:, None], rng(5), resamples=20_000, kind=kind)
    width = theirs.high - theirs.low
    assert ours.low[0] == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.high[0] == pytest.approx(theirs.high, abs=0.03 * width)


def test_degenerate_samples_have_defined_intervals() -> None:
    values = np.array([[0.5, np.nan, 1.0], [0.5, np.nan, np.nan], [0.5, np.nan, np.nan]])
    found = bootstrap(values, rng())
    np.testing.assert_array_equal(found.mean, [0.5, np.nan, 1.0])
    np.testing.assert_array_equal(found.low, [0.5, np.nan, np.nan])  # constant, empty, one user
    np.testing.assert_array_equal(found.high, [0.5, np.nan, np.nan])
    assert found.n.tolist() == [3, 0, 1]


def test_nobody_at_all_gives_nan() -> None:
    found = bootstrap(np.zeros((0, 2)), rng())
    assert np.isnan(found.mean).all()
    assert found.n.tolist() == [0, 0]
    assert np.isnan(randomisation_test(np.zeros((0, 1)), 100, rng())).all()


def test_columns_share_their_draws_so_differences_are_paired() -> None:
    values = rng(6).random((50, 1))
    both = np.concatenate([values, values + 0.1], axis=1)
    draws = resampled_means(both, 200, rng(7))
    np.testing.assert_allclose(draws[:, 1] - draws[:, 0], 0.1)


def test_bounded_memory_does_not_change_the_spread_of_means(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = rng(8).random((100, 1))
    monkeypatch.setattr("crossfade.evaluation.statistics._CELLS", 150)  # one resample at a time
    draws = resampled_means(values, 4_000, rng(9))
    # The standard error of a mean of n values.
    assert draws.std() == pytest.approx(values.std() / 10, rel=0.05)
    assert not np.isnan(draws).any()


def test_few_users_are_tested_exactly() -> None:
    # Three equal differences: of 8 sign patterns only +++ and --- are as extreme.
    p = randomisation_test(np.array([[1.0], [1.0], [1.0]]), 1_000, rng())
    assert p.tolist() == [2 / 8]
    assert randomisation_test(np.array([[0.3]]), 1_000, rng()).tolist() == [1.0]


def test_equal_models_do_not_differ() -> None:
    assert randomisation_test(np.zeros((40, 1)), 500, rng()).tolist() == [1.0]


def test_many_users_agree_with_the_t_test() -> None:
    differences = rng(10).normal(0.12, 1.0, size=(400, 1))
    p = randomisation_test(differences, 20_000, rng(11))[0]
    assert p == pytest.approx(stats.ttest_1samp(differences[:, 0], 0).pvalue, abs=0.01)


def test_p_is_uniform_where_there_is_no_difference() -> None:
    p = randomisation_test(rng(12).normal(size=(30, 500)), 1_000, rng(13))
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_p_is_never_zero() -> None:
    p = randomisation_test(np.ones((100, 1)), 999, rng())
    assert p.tolist() == [1 / 1_000]


def test_holm_by_hand() -> None:
    # Sorted .01 .02 .03 times 3 2 1 is .03 .04 .03; made monotone .03 .04 .04.
    assert holm(np.array([0.02, 0.01, 0.03])).tolist() == pytest.approx([0.04, 0.03, 0.04])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]
    np.testing.assert_array_equal(holm(np.array([np.nan, 0.04])), [np.nan, 0.04])
    assert holm(np.zeros(0)).tolist() == []


def test_draws_that_equal_the_mean_but_for_rounding_count_as_equal() -> None:
    # Precision at 10 takes few values, so many draws have exactly the mean of the users.
    values = rng(3).integers(0, 4, size=(200, 1)) / 10
    draws = resampled_means(values, 1_000, rng(4))
    nudged = [draws, draws * (1 + 4e-16), draws * (1 - 4e-16)]
    found = [intervals(values, some) for some in nudged]
    assert np.unique(np.round(draws, 12)).size < draws.size / 5
    for some in found[1:]:
        np.testing.assert_allclose([some.low, some.high], [found[0].low, found[0].high], rtol=1e-12)


def test_intervals_do_not_depend_on_the_number_of_cores() -> None:
    values = rng(5).random((700, 24))
    with threadpool_limits(1, "blas"):
        alone = bootstrap(values, rng(6)), randomisation_test(values - 0.5, 500, rng(7))
    with threadpool_limits(2, "blas"):
        together = bootstrap(values, rng(6)), randomisation_test(values - 0.5, 500, rng(7))
    np.testing.assert_array_equal(alone[0].low, together[0].low)
    np.testing.assert_array_equal(alone[0].high, together[0].high)
    np.testing.assert_array_equal(alone[1], together[1])
