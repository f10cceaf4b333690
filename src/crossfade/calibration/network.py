"""A small network: a line in log-odds plus sixteen smooth steps."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from crossfade.calibration.base import Calibrator, Sample
from crossfade.calibration.logistic import Standard, fit_logistic, prior_logit, soft_target
from crossfade.threads import one_blas_thread
from crossfade.types import Arrays, Bools, Doubles

N_HIDDEN = 16
N_POINTS = 4_096
"""Rows of nearly equal score are learned from as one: at most this many points."""


class CalibrationNetwork(Calibrator):
    """``sigmoid(b + a z + Σ v tanh(u z + c))`` over 16 hidden units, with a, u and v of 0 or more.

    z is the score's distance from the mean in standard deviations, both taken when fitted. No
    weight that acts on the score is negative, so a higher score never gets less. Training starts
    at the Platt line. u, c and v have unit normal priors, those of v around 0, so few rows leave a
    line and many bend it. It needs no randomness, and no PyTorch.

    Attributes:
        line: Intercept b and slope a.
        hidden: u, c and v, shape ``(3, 16)``.

    Source:
        Sill (1998), "Monotonic Networks", for the signs of the weights.
    """

    name = "network"

    def _fit(self, sample: Sample) -> None:
        target = soft_target(sample)
        self._standard = Standard.of(sample)
        z = self._standard(sample.score)
        points, target, weight = _points(z, target, sample.weight)
        columns = np.column_stack([np.ones_like(points), points])
        flat = np.array([prior_logit(target, weight), 0.0])
        line = fit_logistic(columns, target, weight, flat, least=[None, 0.0])
        prior = np.concatenate([line, _steps(z, sample.wanted > 0).ravel()])
        free, positive = (None, None), (0.0, None)
        bounds = [
            free,
            positive,
            *[positive] * N_HIDDEN,
            *[free] * N_HIDDEN,
            *[positive] * N_HIDDEN,
        ]
        with one_blas_thread():
            found = minimize(
                network_loss,
                prior,
                (points, target, weight, prior),
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                # Where wanted candidates are rare, what is gained is in the ninth digit of the loss.
                options={"maxiter": 1_000, "ftol": 1e-12, "gtol": 1e-9},
            )
        self.line, self.hidden = found.x[:2], found.x[2:].reshape(3, N_HIDDEN)

    def _probability(self, score: Doubles) -> Doubles:
        z = self._standard(score)
        logit = self.line[0] + self.line[1] * z
        u, c, v = self.hidden[:, self.hidden[2] > 0, None]
        # In pieces, so that half a million scores need no wide table; unit by unit, so that what
        # a score gets does not depend on the others.
        for start in range(0, len(z), N_POINTS):
            piece = slice(start, start + N_POINTS)
            for step in v * np.tanh(u * z[piece] + c):
                logit[piece] += step
        return np.asarray(expit(logit))

    def _state(self) -> Arrays:
        return {"standard": self._standard.to_array(), "line": self.line, "hidden": self.hidden}

    def _restore(self, state: Arrays) -> None:
        self._standard = Standard(*state["standard"].astype(np.float64).tolist())
        self.line = state["line"].astype(np.float64)
        self.hidden = state["hidden"].astype(np.float64)


def network_loss(
    parameters: Doubles, z: Doubles, target: Doubles, weight: Doubles, prior: Doubles
) -> tuple[float, Doubles]:
    """Weighted log-loss with the prior's penalty, and its gradient.

    Args:
        parameters: b, a, then u, c, v of the hidden units, shape ``(2 + 3 × 16,)``.
        z: Standardised scores, shape ``(n,)``.
        target: In (0, 1), shape ``(n,)``.
        weight: Above 0, shape ``(n,)``.
        prior: What u, c and v are shrunk towards, same shape as ``parameters``.
    """
    total = weight.sum()
    u, c, v = parameters[2:].reshape(3, N_HIDDEN)
    hidden = np.tanh(np.outer(z, u) + c)  # (n, 16)
    logit = parameters[0] + parameters[1] * z + hidden @ v
    each = np.maximum(logit, 0) + np.log1p(np.exp(-np.abs(logit))) - target * logit
    away = parameters - prior
    away[:2] = 0
    value = (weight @ each + 0.5 * away @ away) / total

    error = weight * (expit(logit) - target)
    inner = error[:, None] * (1 - hidden**2) * v
    slopes = [[error.sum(), error @ z], z @ inner, inner.sum(axis=0), error @ hidden]
    return float(value), (np.concatenate(slopes) + away) / total


def _points(z: Doubles, target: Doubles, weight: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Means of neighbours and their summed weights, each at most ``(N_POINTS,)``.

    Half of the cuts are at equal counts, half at equal distances: candidates that are wanted sit
    in a long thin tail, which counts alone would cut too coarsely.
    """
    ways = N_POINTS // 2
    cuts = np.concatenate(
        [np.quantile(z, np.linspace(0, 1, ways)[1:-1]), np.linspace(z.min(), z.max(), ways)[1:-1]]
    )
    place = np.searchsorted(np.sort(cuts), z, side="right")
    total = np.bincount(place, weights=weight)
    some = total > 0
    mean_z = np.bincount(place, weights=weight * z)[some] / total[some]
    mean_target = np.bincount(place, weights=weight * target)[some] / total[some]
    return mean_z, mean_target, total[some].astype(np.float64)


def _steps(z: Doubles, wanted: Bools) -> Doubles:
    """Prior u, c and v: wide and narrow steps of no height where candidates of both kinds are."""
    levels = (np.arange(N_HIDDEN // 2) + 0.5) / (N_HIDDEN // 2)
    centres = np.concatenate([np.quantile(z[wanted], levels), np.quantile(z[~wanted], levels)])
    steepness = np.tile([1.0, 3.0], N_HIDDEN // 2)
    return np.stack([steepness, -steepness * centres, np.zeros(N_HIDDEN)])
