"""Calibration error, reliability, Brier score and log-loss against pencil and known truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as other_log_loss

from crossfade.calibration.binning import Binned, Judged, equal_mass_bins
from crossfade.calibration.metrics import brier, calibration_error, log_loss, reliability_curve
from crossfade.errors import DataError
from crossfade.types import Bools, Doubles, Ints


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# -- bins ------------------------------------------------------------------------------


def test_bins_by_hand() -> None:
    values = np.array([0.5, 0.1, 0.2, 0.3, 0.4, 0.6])
    np.testing.assert_array_equal(equal_mass_bins(values, 3), [2, 0, 0, 1, 1, 2])


def test_equal_values_share_a_bin() -> None:
    values = np.array([0.1, 0.2, 0.2, 0.2, 0.2, 0.3])
    assert equal_mass_bins(values, 3).tolist() == [0, 1, 1, 1, 1, 1]
    assert equal_mass_bins(np.full(9, 0.2), 3).tolist() == [0] * 9


@given(
    st.lists(st.integers(0, 30).map(lambda x: x / 30), max_size=60),
    st.integers(1, 12),
    st.randoms(use_true_random=False),
)
def test_bins_are_in_order_and_none_is_empty(values: list[float], n: int, random: object) -> None:
    array = np.array(values, dtype=np.float64)
    bins = equal_mass_bins(array, n)
    assert sorted(set(bins.tolist())) == list(range(len(set(bins.tolist()))))
    assert len(set(bins.tolist())) <= n
    order = np.argsort(array, kind="stable")
    assert (np.diff(bins[order]) >= 0).all()


def test_bins_of_different_values_are_of_equal_mass() -> None:
    counts = np.bincount(equal_mass_bins(rng().random(1_003), 15))
    assert set(counts.tolist()) == {66, 67}


# -- calibration error -----------------------------------------------------------------


def error_of(probability: Doubles, label: Bools, request: Ints, **options: int) -> Doubles:
    found = calibration_error(probability, label, request, rng(7), **options)
    return np.array([found.plain, found.debiased, found.low, found.high])


def test_calibration_error_by_hand() -> None:
    # Two bins of four: promised 0.2 and 0.8, came 1/4 and 2/4; gaps 0.05 and 0.3.
    probability = np.repeat([0.2, 0.8], 4)
    label = np.array([1, 0, 0, 0, 1, 1, 0, 0], dtype=np.bool_)
    plain, debiased, _, _ = error_of(probability, label, np.arange(8), n_bins=2)
    assert plain == pytest.approx((0.05 + 0.3) / 2)
    # Kumar: each bin's square less ȳ (1 − ȳ) / (n − 1).
    square = (0.05**2 - 0.25 * 0.75 / 3 + 0.3**2 - 0.5 * 0.5 / 3) / 2
    assert square < 0
    assert debiased == pytest.approx(-np.sqrt(-square))


def test_rows_that_come_twice_in_one_request_are_one_piece_of_evidence() -> None:
    # Doubling every row inside its request changes nothing; as requests of their own, they look
    # like twice the evidence, and less is taken off.
    label, probability = rng().random(400) < 0.3, np.full(400, 0.3)
    once = Binned.of(Judged.of(probability, label), np.zeros(400, np.int64), np.arange(400))
    double = np.repeat(probability, 2), np.repeat(label, 2)
    twice, apart = (
        Binned.of(Judged.of(*double), np.zeros(800, np.int64), request)
        for request in (np.repeat(np.arange(400), 2), np.arange(800))
    )
    np.testing.assert_allclose(once.squared_gaps(), twice.squared_gaps())
    assert apart.squared_gaps()[1][0] > once.squared_gaps()[1][0]


def test_perfect_calibration_is_0_debiased_and_not_plain() -> None:
    # 200 data sets that are calibrated by making: the plain error is 0.02 to 0.05 in every one,
    # the debiased square is 0 on average, and its interval holds 0 nearly as often as it says.
    plain, squares, holds = [], [], []
    for seed in range(200):
        probability = rng(seed).beta(1, 6, 1_500)
        label = rng(1_000 + seed).random(1_500) < probability
        p, debiased, low, high = error_of(probability, label, np.arange(1_500) // 5, resamples=200)
        plain.append(p)
        squares.append(np.sign(debiased) * debiased**2)
        holds.append(low <= 0 <= high)
    assert min(plain) > 0.01
    assert np.mean(plain) > 0.02
    deviation = np.std(squares) / np.sqrt(200)
    assert abs(np.mean(squares)) < 3 * deviation
    # And that is a sharp statement beside the plain error.
    assert 3 * deviation < 0.2 * np.mean(plain) ** 2
    assert np.mean(holds) > 0.88


def test_a_known_miscalibration_is_found_again() -> None:
    # Twice as sure as it should be: the truth is known for every row.
    truth = rng(0).beta(2, 6, 100_000)
    said = expit(2 * logit(truth) + 0.5)
    label = rng(1).random(100_000) < truth
    plain, debiased, low, high = error_of(said, label, np.arange(100_000) // 50)
    bins = equal_mass_bins(said, 15)
    n = np.bincount(bins)
    gaps = np.bincount(bins, weights=said - truth) / n
    assert plain == pytest.approx(np.average(np.abs(gaps), weights=n), abs=0.004)
    assert debiased == pytest.approx(np.sqrt(np.average(gaps**2, weights=n)), abs=0.004)
    assert low < np.sqrt(np.average(gaps**2, weights=n)) < high
    assert high - low < 0.02


def test_the_root_mean_square_is_never_below_the_mean_gap() -> None:
    # With data enough that nothing is left to debias: so a bar that it passes, the other passes.
    for shift in (0.0, 0.3, 1.0):
        truth = rng(0).beta(2, 6, 200_000)
        label = rng(1).random(200_000) < truth
        plain, debiased, _, _ = error_of(
            expit(logit(truth) + shift), label, np.arange(200_000) // 100, resamples=2
        )
        if shift:
            assert debiased > plain - 1e-3


def test_requests_that_agree_within_widen_the_interval() -> None:
    # Each request wants all or nothing: 10,000 rows, and evidence of 100.
    want = np.repeat(rng().random(100) < 0.5, 100)
    probability = np.full(10_000, 0.5)
    clustered = error_of(probability, want, np.repeat(np.arange(100), 100))
    as_if_free = error_of(probability, want, np.arange(10_000))
    assert clustered[3] - clustered[2] > 3 * (as_if_free[3] - as_if_free[2])
    assert clustered[2] <= 0 <= clustered[3]


def test_the_order_of_rows_and_the_names_of_requests_do_not_matter() -> None:
    probability = rng().beta(1, 4, 600).round(2)
    label, request = rng(1).random(600) < probability, rng(2).integers(0, 60, 600)
    order = rng(3).permutation(600)
    np.testing.assert_allclose(
        error_of(probability, label, request),
        error_of(probability[order], label[order], request[order] * 7 - 100),
        rtol=1e-9,
    )


def test_rows_without_a_probability_are_left_out() -> None:
    probability = rng().beta(1, 4, 600)
    label, request = rng(1).random(600) < probability, np.arange(600) // 10
    gappy = np.insert(probability, [0, 300], np.nan)
    found = error_of(gappy, np.insert(label, [0, 300], True), np.insert(request, [0, 300], 5))
    np.testing.assert_array_equal(found, error_of(probability, label, request))


def test_tables_are_taken_as_they_are() -> None:
    probability = rng().beta(1, 4, (30, 20))
    label = rng(1).random((30, 20)) < probability
    request = np.broadcast_to(np.arange(30)[:, None], (30, 20))
    found = calibration_error(probability, label, request, rng(7))
    assert found.n == 600
    assert found.n_requests == 30
    assert found.n_bins == 15


def test_too_little_for_an_interval_is_said_with_nan() -> None:
    one = calibration_error(np.full(9, 0.5), np.arange(9) < 3, np.zeros(9), rng())
    assert one.plain == pytest.approx(1 / 6)
    assert np.isnan([one.debiased, one.low, one.high]).all()
    none = calibration_error(np.full(4, np.nan), np.zeros(4, np.bool_), np.arange(4), rng())
    assert none.n == none.n_bins == none.n_requests == 0
    assert np.isnan([none.plain, none.debiased, none.low, none.high]).all()


@pytest.mark.parametrize("measure", [brier, log_loss])
def test_what_is_no_probability_or_label_is_refused(measure: object) -> None:
    assert callable(measure)
    with pytest.raises(DataError, match=r"2 of 3 probabilities are outside \[0, 1\]"):
        measure(np.array([0.5, -0.1, 1.1]), np.ones(3))
    with pytest.raises(DataError, match="1 of 3 labels are neither 0 nor 1"):
        measure(np.full(3, 0.5), np.array([0, 1, 2]))
    with pytest.raises(ValueError, match="must match"):
        measure(np.full(3, 0.5), np.ones(2))


def test_requests_must_be_as_many_as_rows() -> None:
    with pytest.raises(ValueError, match="2 requests for 3 rows"):
        calibration_error(np.full(3, 0.5), np.ones(3), np.zeros(2), rng())


# -- reliability -----------------------------------------------------------------------


def test_the_reliability_curve_by_hand() -> None:
    probability = np.array([0.1, 0.3, 0.1, 0.3, 0.6, 0.8, 0.6, 0.8])
    label = np.array([1, 0, 0, 0, 1, 1, 1, 0])
    curve = reliability_curve(probability, label, np.arange(8), n_bins=2)
    np.testing.assert_allclose(curve.probability, [0.2, 0.7])
    np.testing.assert_allclose(curve.share, [0.25, 0.75])
    np.testing.assert_allclose(curve.n, [4, 4])


def test_intervals_of_independent_rows_are_wilsons() -> None:
    from scipy.stats import binomtest

    label = np.arange(50) < 12
    curve = reliability_curve(np.full(50, 0.3), label, np.arange(50), n_bins=1)
    expected = binomtest(12, 50).proportion_ci(0.95, "wilson")
    np.testing.assert_allclose((curve.low[0], curve.high[0]), (expected.low, expected.high))


def test_rows_of_a_request_that_agree_count_as_one() -> None:
    label = np.arange(50) < 12
    single = reliability_curve(np.full(50, 0.3), label, np.arange(50), n_bins=1)
    double = reliability_curve(
        np.full(100, 0.3), np.repeat(label, 2), np.repeat(np.arange(50), 2), n_bins=1
    )
    np.testing.assert_allclose((double.low, double.high), (single.low, single.high))


def test_shares_of_nothing_and_all_have_intervals_too() -> None:
    curve = reliability_curve(
        np.repeat([0.1, 0.9], 20), np.repeat([False, True], 20), np.arange(40), n_bins=2
    )
    np.testing.assert_allclose(curve.share, [0, 1])
    assert curve.low[0] == 0
    assert 0.1 < curve.high[0] < 0.3
    assert 0.7 < curve.low[1] < 0.9
    assert curve.high[1] == 1


def test_no_row_is_an_empty_curve() -> None:
    curve = reliability_curve(np.zeros(0), np.zeros(0), np.zeros(0))
    assert len(curve.share) == len(curve.low) == 0


# -- Brier and log-loss ----------------------------------------------------------------


ROWS = st.lists(
    st.tuples(st.integers(0, 20).map(lambda x: x / 20), st.booleans()), min_size=1, max_size=50
)


@given(ROWS, st.integers(1, 10))
def test_the_parts_of_the_brier_score_add_up(rows: list[tuple[float, bool]], n_bins: int) -> None:
    probability = np.array([p for p, _ in rows])
    label = np.array([wanted for _, wanted in rows])
    found = brier(probability, label, n_bins=n_bins)
    parts = found.reliability - found.resolution + found.uncertainty + found.within
    assert found.score == pytest.approx(parts, abs=1e-12)
    assert found.score == pytest.approx(((probability - label) ** 2).mean())
    assert min(found.reliability, found.resolution, found.uncertainty) >= 0


def test_brier_by_hand() -> None:
    # Two promises kept at other rates: 0.2 came half of the time, 0.8 always; overall 3/4.
    found = brier(np.array([0.2, 0.2, 0.8, 0.8]), np.array([1, 0, 1, 1]), n_bins=2)
    assert found.reliability == pytest.approx((0.3**2 + 0.2**2) / 2)
    assert found.resolution == pytest.approx(0.25**2)
    assert found.uncertainty == pytest.approx(3 / 16)
    assert found.within == pytest.approx(0)


def test_both_scores_agree_with_scikit_learn() -> None:
    probability = rng().beta(1, 3, 500)
    label = rng(1).random(500) < probability
    assert brier(probability, label).score == pytest.approx(brier_score_loss(label, probability))
    assert log_loss(probability, label) == pytest.approx(other_log_loss(label, probability))


def test_log_loss_by_hand() -> None:
    assert log_loss(np.array([0.5, 0.5]), np.array([1, 0])) == pytest.approx(np.log(2))
    assert log_loss(np.array([1.0, 0.0, np.nan]), np.array([1, 0, 1])) == 0
    assert log_loss(np.array([0.0]), np.array([1])) == np.inf
    assert np.isnan(log_loss(np.zeros(0), np.zeros(0)))
    assert np.isnan(brier(np.zeros(0), np.zeros(0)).score)
