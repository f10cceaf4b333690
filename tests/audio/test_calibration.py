import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.audio.calibration import Calibration, conformal_bounds, fit_spread


def test_conformal_bounds_by_hand() -> None:
    # 19 scores 1 … 19 and a level of 0.9: each tail may hold 0.05 × 20 = 1 of the 20 places the
    # next score can take, so the interval runs from the first to the last score.
    assert conformal_bounds(np.arange(1.0, 20.0), 0.9) == (1.0, 19.0)
    # Level 0.8: two places in each tail.
    assert conformal_bounds(np.arange(1.0, 20.0), 0.8) == (2.0, 18.0)


def test_too_few_scores_promise_nothing() -> None:
    # With 18 scores each tail would get 0.95 of a place: no score is far enough out.
    assert conformal_bounds(np.arange(18.0), 0.9) == (-np.inf, np.inf)
    assert conformal_bounds(np.zeros(0), 0.5) == (-np.inf, np.inf)


def test_missing_scores_do_not_count() -> None:
    scores = np.concatenate([np.arange(1.0, 20.0), [np.nan, np.nan]])
    assert conformal_bounds(scores, 0.9) == (1.0, 19.0)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=60, unique=True), st.floats(0.05, 0.95))
def test_leaving_each_score_out_covers_at_least_the_level(
    scores: list[float], level: float
) -> None:
    # n + 1 exchangeable scores: count over which one is the new one. This is the promise itself.
    everyone = np.sort(scores)
    inside = 0
    for place, score in enumerate(everyone):
        low, high = conformal_bounds(np.delete(everyone, place), level)
        inside += low <= score <= high
    assert inside >= level * len(everyone) - 1e-6


def test_the_spread_of_errors_is_found_again() -> None:
    # Errors are 3 × sigma² wide: log scale log 3, exponent 2.
    rng = np.random.default_rng(0)
    log_sigma = rng.uniform(-1, 1, 50_000)
    error = rng.normal(0, 3 * np.exp(2 * log_sigma))
    log_scale, exponent = fit_spread(error, log_sigma)
    assert log_scale == pytest.approx(np.log(3), abs=0.02)
    assert exponent == pytest.approx(2, abs=0.03)


def test_spreads_that_say_nothing_become_one_spread() -> None:
    rng = np.random.default_rng(0)
    _, exponent = fit_spread(rng.normal(0, 1, 20_000), rng.uniform(-1, 1, 20_000))
    assert exponent == pytest.approx(0, abs=0.03)


def test_guesses_that_say_nothing_fall_back_to_the_mean() -> None:
    # Truth and guess are orthogonal, so the best share of the guess to keep is none.
    truth, guess = (
        np.array([[1.0], [1.0], [-1.0], [-1.0]]),
        np.array([[1.0], [-1.0], [1.0], [-1.0]]),
    )
    calibration = Calibration.of(truth, guess, np.ones((4, 1)))
    assert calibration.slope.tolist() == [0.0]
    mean, sigma = calibration.apply(guess, np.ones((4, 1)))
    assert mean.tolist() == [[0.0]] * 4
    assert sigma == pytest.approx(1.0)  # all errors are 1 in size


def test_a_feature_without_truth_is_left_as_it_is() -> None:
    truth = np.column_stack([np.arange(30.0) - 15, np.full(30, np.nan)])
    calibration = Calibration.of(truth, np.zeros((30, 2)), np.ones((30, 2)))
    low, high = calibration.bounds(0.8)
    assert np.isfinite([low[0], high[0]]).all()
    assert (low[1], high[1]) == (-np.inf, np.inf)
    assert calibration.exponent[1] == 1.0
