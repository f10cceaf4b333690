"""What the calibrators with a formula share: a standard scale, soft targets, logistic regression."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from crossfade.calibration.base import Sample
from crossfade.threads import one_blas_thread
from crossfade.types import Doubles

LEAST_RANGE = 1e-100
"""Scores that lie nearer to each other are alike: on their scale any other would be infinite."""


@dataclass(frozen=True)
class Standard:
    """``(score − centre) / spread``.

    Attributes:
        centre: Weighted mean of the scores it was fitted on.
        spread: Their weighted standard deviation; 1 where all are alike to `LEAST_RANGE`.
    """

    centre: float = 0.0
    spread: float = 1.0

    @classmethod
    def of(cls, sample: Sample) -> "Standard":
        """The scale of some scores."""
        low, high = float(sample.score.min()), float(sample.score.max())
        if high - low < LEAST_RANGE:
            return cls(low)
        # Brought to [0, 1] first: squares of scores near 1e200 would be infinite.
        share = (sample.score - low) / (high - low)
        mean = np.average(share, weights=sample.weight)
        spread = np.sqrt(np.average((share - mean) ** 2, weights=sample.weight))
        return cls(float(low + mean * (high - low)), float(spread * (high - low)))

    def __call__(self, score: Doubles) -> Doubles:
        """Scores on this scale."""
        return (score - self.centre) / self.spread

    def to_array(self) -> Doubles:
        """Both numbers."""
        return np.array([self.centre, self.spread])


def soft_target(sample: Sample) -> Doubles:
    """Targets just inside 0 and 1, so that scores which part both kinds still have a finite slope.

    Source:
        Platt (1999), "Probabilistic Outputs for Support Vector Machines", §2.2.
    """
    n_wanted = float(sample.weight @ sample.wanted)
    n_other = float(sample.weight @ (1 - sample.wanted))
    soft: Doubles = np.where(sample.wanted > 0, (n_wanted + 1) / (n_wanted + 2), 1 / (n_other + 2))
    return soft


def prior_logit(target: Doubles, weight: Doubles) -> float:
    """Log-odds of the weighted mean of targets inside (0, 1)."""
    mean = float(np.average(target, weights=weight))
    return float(np.log(mean) - np.log1p(-mean))


def fit_logistic(
    columns: Doubles,
    target: Doubles,
    weight: Doubles,
    start: Doubles,
    *,
    least: Sequence[float | None],
    offset: float = 0.0,
) -> Doubles:
    """Coefficients of the logistic regression with the least weighted log-loss.

    Args:
        columns: Shape ``(n, d)``.
        target: In (0, 1), shape ``(n,)``.
        weight: Above 0, shape ``(n,)``.
        start: Where to begin, shape ``(d,)``.
        least: Lowest value of each coefficient; None where it is free.
        offset: Added to every log-odds.
    """
    share = weight / weight.sum()

    def loss(coefficients: Doubles) -> tuple[float, Doubles]:
        logit = offset + columns @ coefficients
        # softplus(logit) − target × logit, without overflow.
        each = np.maximum(logit, 0) + np.log1p(np.exp(-np.abs(logit))) - target * logit
        return float(share @ each), columns.T @ (share * (expit(logit) - target))

    bounds = [(low, None) for low in least]
    with one_blas_thread():
        found = minimize(
            loss,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": 500, "ftol": 1e-15, "gtol": 1e-10},
        )
    return np.asarray(found.x, dtype=np.float64)
