from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from tests.fusion.problem import NAN, problem, with_signals

from crossfade.fusion.confidence_weighted import ConfidenceWeighted, ConfidenceWeightedConfig

TRAIN, VALIDATION = problem(0, n=60), problem(1)


@pytest.fixture(scope="module")
def model() -> ConfidenceWeighted:
    return ConfidenceWeighted().fit(TRAIN, VALIDATION)


def rows(base: int) -> tuple[Any, Any]:
    there = TRAIN.signals.available[:, :, base]
    rank = np.array(TRAIN.signals.reciprocal_rank)[:, :, base]
    features = np.column_stack([TRAIN.signals.score[:, :, base][there], rank[there]])
    return features.astype(np.float64), TRAIN.relevant[there].astype(np.float64)


def test_confidence_is_a_logistic_regression_on_score_and_rank(model: ConfidenceWeighted) -> None:
    # Fitted once more by another optimiser: log-loss plus half the squared slopes on unit columns.
    assert model.coefficients is not None
    for base in range(3):
        X, y = rows(base)
        unit = (X - X.mean(axis=0)) / X.std(axis=0)

        def loss(w: Any, unit: Any = unit, y: Any = y) -> float:
            logit = w[0] + unit @ w[1:]
            return float((np.logaddexp(0, logit) - y * logit).sum() + 0.5 * (w[1:] ** 2).sum())

        w = minimize(loss, np.zeros(3), tol=1e-10).x
        intercept, *slopes = model.coefficients[base]
        np.testing.assert_allclose(
            expit(intercept + X @ np.array(slopes)), expit(w[0] + unit @ w[1:]), atol=1e-4
        )


def test_confidence_is_right_on_average(model: ConfidenceWeighted) -> None:
    # A free intercept makes the mean probability the share that was wanted, base by base.
    confidence = model.forward(TRAIN.signals).confidence
    assert confidence is not None
    for base in range(3):
        there = TRAIN.signals.available[:, :, base]
        wanted = TRAIN.relevant[there].mean()
        assert confidence[:, :, base][there].mean() == pytest.approx(wanted, abs=1e-5)


def test_weights_are_the_shares_of_confidence(model: ConfidenceWeighted) -> None:
    fused = model.forward(VALIDATION.signals)
    assert fused.confidence is not None
    there = VALIDATION.signals.available
    own = np.where(there, fused.confidence, 0)
    spoken = there.any(axis=-1)
    expected = own[spoken] / own[spoken].sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(fused.weights[spoken], expected, rtol=1e-4)
    scale = VALIDATION.signals.score
    if model.scaling == "reciprocal_rank":
        scale = np.array(VALIDATION.signals.reciprocal_rank)
    score = (expected * np.where(there, scale, 0)[spoken]).sum(axis=-1)
    np.testing.assert_allclose(fused.score[spoken], score, rtol=1e-3, atol=1e-6)


def test_the_base_that_knows_is_surer_of_its_best(model: ConfidenceWeighted) -> None:
    confidence = model.forward(VALIDATION.signals).confidence
    assert confidence is not None
    top = np.nanmax(confidence, axis=(0, 1))
    assert top[0] > 2 * max(top[1:])


def test_a_base_that_was_never_right_is_as_sure_as_one_wanted_in_twice_as_many() -> None:
    never = TRAIN.signals.score.copy()
    never[:, :, 1][TRAIN.relevant] = NAN
    train = with_signals(TRAIN, score=never)
    n = int(train.signals.available[:, :, 1].sum())
    confidence = ConfidenceWeighted().fit(train, VALIDATION).forward(train.signals).confidence
    assert confidence is not None
    shown = confidence[:, :, 1][train.signals.available[:, :, 1]]
    np.testing.assert_allclose(shown, 0.5 / (n + 1), rtol=1e-5)


def test_a_penalty_draws_confidence_to_the_share_of_wanted_items() -> None:
    held = ConfidenceWeighted(ConfidenceWeightedConfig(l2=1e9)).fit(TRAIN, VALIDATION)
    confidence = held.forward(TRAIN.signals).confidence
    assert confidence is not None
    for base in range(3):
        there = TRAIN.signals.available[:, :, base]
        shown = confidence[:, :, base][there]
        np.testing.assert_allclose(shown, TRAIN.relevant[there].mean(), rtol=1e-3)
