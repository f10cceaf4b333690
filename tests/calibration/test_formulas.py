"""Each calibrator against its closed form, an independent fit or a known truth."""

import numpy as np
import pytest
from scipy.optimize import check_grad, isotonic_regression
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from crossfade.calibration.base import Sample
from crossfade.calibration.beta import BetaCalibration
from crossfade.calibration.isotonic import IsotonicCalibration
from crossfade.calibration.logistic import Standard, soft_target
from crossfade.calibration.network import N_HIDDEN, CalibrationNetwork, network_loss
from crossfade.calibration.platt import PlattScaling
from crossfade.calibration.temperature import TemperatureScaling
from crossfade.types import Bools, Doubles


def drawn(logits: Doubles, seed: int = 99) -> Bools:
    return np.random.default_rng(seed).random(len(logits)) < expit(logits)


def normal(n: int, seed: int = 1) -> Doubles:
    return np.random.default_rng(seed).normal(size=n)


# -- scale and targets -----------------------------------------------------------------


def test_the_standard_scale_by_hand() -> None:
    # Weighted mean (1 + 3 × 5) / 4 = 4, variance (9 + 3 × 1) / 4 = 3.
    sample = Sample(np.array([1.0, 5.0]), np.array([0.0, 1.0]), np.array([1.0, 3.0]))
    standard = Standard.of(sample)
    assert standard.centre == pytest.approx(4)
    assert standard.spread == pytest.approx(np.sqrt(3))


def test_huge_scores_have_a_scale_too() -> None:
    sample = Sample(np.array([-1e300, 1e300]), np.array([0.0, 1.0]), np.ones(2))
    np.testing.assert_allclose(Standard.of(sample)(sample.score), [-1, 1])


def test_soft_targets_by_hand() -> None:
    # Three wanted: 4/5. One other: 1/3.
    sample = Sample(np.arange(4.0), np.array([1.0, 1.0, 0.0, 1.0]), np.ones(4))
    np.testing.assert_allclose(soft_target(sample), [4 / 5, 4 / 5, 1 / 3, 4 / 5])


# -- temperature -----------------------------------------------------------------------


def test_a_temperature_is_found_again() -> None:
    logits = 3 * normal(100_000)
    model = TemperatureScaling(logits=True).fit(logits, drawn(logits / 2))
    assert model.temperature == pytest.approx(2, rel=0.03)
    np.testing.assert_allclose(model.predict(logits), expit(logits / model.temperature), atol=1e-4)


def test_log_odds_that_hold_keep_their_temperature() -> None:
    logits = normal(100_000)
    model = TemperatureScaling(logits=True).fit(logits, drawn(logits))
    assert model.temperature == pytest.approx(1, rel=0.03)


def test_a_score_of_no_worth_has_an_infinite_temperature() -> None:
    logits = normal(1_000)
    assert TemperatureScaling(logits=True).fit(logits, drawn(-2 * logits)).temperature == np.inf


def test_the_average_score_gets_the_share_that_was_wanted() -> None:
    score = 5 + normal(10_000)
    label = drawn(score - 8)
    model = TemperatureScaling().fit(score, label)
    found = model.predict(np.array([score.mean()]))[0]
    assert found == pytest.approx(label.mean(), abs=1e-3)


# -- Platt -----------------------------------------------------------------------------


def test_platt_is_logistic_regression_on_soft_targets() -> None:
    score = normal(2_000)
    label = drawn(2 * score - 1)
    target = soft_target(Sample.of(score, label, None))
    # A target of t is t of a wanted row and 1 − t of another.
    other = LogisticRegression(C=1e12, tol=1e-10, max_iter=1_000).fit(
        np.concatenate([score, score])[:, None],
        np.repeat([1, 0], len(score)),
        np.concatenate([target, 1 - target]),
    )
    # No row may be surer than 2,000 of them allow.
    expected = np.clip(other.predict_proba(score[:, None])[:, 1], 1 / 2_002, 1 - 1 / 2_002)
    np.testing.assert_allclose(PlattScaling().fit(score, label).predict(score), expected, atol=1e-5)


def test_a_line_in_log_odds_is_found_again() -> None:
    score = 10 + 4 * normal(200_000)
    model = PlattScaling().fit(score, drawn(0.5 * score - 7))
    asked = np.array([6.0, 14.0, 20.0])
    np.testing.assert_allclose(model.predict(asked), expit(0.5 * asked - 7), atol=0.01)


# -- beta ------------------------------------------------------------------------------


def test_the_beta_map_is_found_again() -> None:
    # p = 0.1 … 0.9 mean something else: a = 2, b = 0.5, c = −0.3.
    p = np.random.default_rng(0).uniform(0.02, 0.98, 200_000)
    truth = 2 * np.log(p) - 0.5 * np.log(1 - p) - 0.3
    model = BetaCalibration(logits=True).fit(logit(p), drawn(truth))
    np.testing.assert_allclose(model.abc, [2, 0.5, -0.3], atol=0.05)
    np.testing.assert_allclose(model.predict(logit(p)), expit(truth), atol=0.01)


def test_probabilities_that_hold_are_left_alone_by_beta() -> None:
    # a = b = 1 and c = 0 is the identity, which Platt on probabilities does not contain.
    p = np.random.default_rng(0).uniform(0.02, 0.98, 100_000)
    model = BetaCalibration(logits=True).fit(logit(p), drawn(logit(p)))
    np.testing.assert_allclose(model.predict(logit(p)), p, atol=0.01)


def test_beta_bends_where_a_line_cannot() -> None:
    score = normal(100_000)
    truth = np.where(score > 0, 2 * score, 0.2 * score) - 2
    label = drawn(truth)
    errors = {
        kind: np.abs(kind().fit(score, label).predict(score) - expit(truth)).mean()
        for kind in (PlattScaling, BetaCalibration)
    }
    assert errors[BetaCalibration] < 0.6 * errors[PlattScaling]


def test_a_negative_shape_is_held_at_nothing() -> None:
    # Wanted where the score is low, but for the far end: one slope would have to be negative.
    score = normal(20_000)
    model = BetaCalibration().fit(score, drawn(np.where(score > 0, score, -score) - 1))
    assert model.abc[0] == 0
    assert model.abc[1] > 0


# -- isotonic --------------------------------------------------------------------------


def test_isotonic_by_hand() -> None:
    # 1 before 0 is the wrong way round, so both get their mean.
    score, label = np.arange(1.0, 6.0), np.array([0, 1, 0, 1, 1])
    model = IsotonicCalibration().fit(score, label)
    # The ends stay off 0 and 1 by 1 / (5 + 2).
    np.testing.assert_allclose(model.predict(score), [1 / 7, 0.5, 0.5, 6 / 7, 6 / 7])
    assert model.knots.tolist() == [[1, 2, 3, 4, 5], [0, 0.5, 0.5, 1, 1]]


def test_between_knots_it_runs_straight_and_beyond_them_level() -> None:
    score = np.repeat([1.0, 3.0], 100)
    label = np.concatenate([np.arange(100) < 20, np.arange(100) < 60])
    found = IsotonicCalibration().fit(score, label).predict(np.array([-50, 1, 1.5, 3, 99.0]))
    np.testing.assert_allclose(found, [0.2, 0.2, 0.3, 0.6, 0.6])


def test_equal_scores_get_their_mean_label_in_any_order() -> None:
    score = np.array([2.0, 1, 2, 1, 2, 1, 2, 1])
    label = np.array([1, 0, 0, 1, 1, 0, 1, 0])
    for order in (np.arange(8), np.arange(8)[::-1]):
        model = IsotonicCalibration().fit(score[order], label[order])
        np.testing.assert_allclose(model.predict(np.array([1.0, 2.0])), [0.25, 0.75])


def test_isotonic_agrees_with_another_implementation() -> None:
    score = np.sort(normal(3_000))
    label = drawn(score)
    found = IsotonicCalibration().fit(score, label).predict(score)
    expected = isotonic_regression(label.astype(np.float64)).x
    np.testing.assert_allclose(found, np.clip(expected, 1 / 3_002, 1 - 1 / 3_002), atol=1e-9)


# -- network ---------------------------------------------------------------------------


def test_the_networks_gradient_is_that_of_finite_differences() -> None:
    rng = np.random.default_rng(0)
    z, target, weight = rng.normal(size=40), rng.uniform(0.1, 0.9, 40), rng.uniform(1, 5, 40)
    prior, parameters = rng.normal(size=(2, 2 + 3 * N_HIDDEN))
    data = z, target, weight, prior

    def loss(p: Doubles) -> float:
        return network_loss(p, *data)[0]

    def gradient(p: Doubles) -> Doubles:
        return network_loss(p, *data)[1]

    error = check_grad(loss, gradient, parameters)
    assert error < 1e-5


def test_the_network_finds_a_curve_that_the_formulas_cannot() -> None:
    # Flat, steep, flat again: a staircase in log-odds.
    score = np.random.default_rng(0).uniform(-3, 3, 100_000)
    truth = 2 * np.tanh(4 * (score - 1)) + 2 * np.tanh(4 * (score + 1)) - 1
    label = drawn(truth)
    errors = {
        kind: np.abs(kind().fit(score, label).predict(score) - expit(truth)).mean()
        for kind in (PlattScaling, BetaCalibration, CalibrationNetwork)
    }
    assert errors[CalibrationNetwork] < 0.005
    assert errors[CalibrationNetwork] < 0.1 * min(errors[PlattScaling], errors[BetaCalibration])


def test_with_few_rows_the_network_is_a_line() -> None:
    score = normal(60)
    label = drawn(score)
    line, network = (
        kind().fit(score, label).predict(score) for kind in (PlattScaling, CalibrationNetwork)
    )
    assert np.abs(line - network).max() < 0.1


def test_grouping_neighbours_hardly_changes_what_the_network_learns() -> None:
    # With fewer rows than points nearly every row is its own; 30,000 of a tenth are grouped.
    score = normal(3_000)
    label = drawn(2 * score - 1)
    copies = score[:, None] + np.linspace(-1e-6, 1e-6, 10)
    whole = CalibrationNetwork().fit(
        copies, np.repeat(label[:, None], 10, 1), np.full((3_000, 10), 0.1)
    )
    alone = CalibrationNetwork().fit(score, label)
    np.testing.assert_allclose(whole.predict(score), alone.predict(score), atol=2e-3)
