"""From a network's guess to a guess whose spread and interval hold on creators it never saw."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from crossfade.types import Arrays, Doubles

_MIN_ROWS = 2
_WIDEST = 20.0
_STEEPEST = 2.0


@dataclass(frozen=True)
class Calibration:
    """How held-out guesses of one kind of items relate to the truth, feature by feature.

    Attributes:
        slope: What a guess's distance from the training mean is multiplied by: below 1 where the
            network dares too much, above where too little, in [0, 2], shape ``(8,)``.
        log_scale: Added to the log of the spread, shape ``(8,)``.
        exponent: The log of the spread is multiplied by this first, shape ``(8,)``; 0 where
            the network cannot tell sure from unsure.
        scores: Sorted signed errors in spreads, (truth − guess) / sigma, shape ``(n, 8)``,
            NaN at the end of columns with fewer.
    """

    slope: Doubles
    log_scale: Doubles
    exponent: Doubles
    scores: Doubles

    @classmethod
    def of(cls, truth: Doubles, mean: Doubles, sigma: Doubles) -> "Calibration":
        """Learn from standardised guesses on held-out items, all shape ``(n, 8)``.

        Args:
            truth: NaN where unknown; a feature with fewer than two values is left as it is.
            mean: Guesses.
            sigma: Their spreads, above 0.
        """
        n_features = truth.shape[1]
        slope, log_scale, exponent = np.ones(n_features), np.zeros(n_features), np.ones(n_features)
        for column in range(n_features):
            known = ~np.isnan(truth[:, column])
            if known.sum() >= _MIN_ROWS:
                y, guess = truth[known, column], mean[known, column]
                slope[column] = np.clip((y @ guess) / max(guess @ guess, 1e-12), 0.0, _STEEPEST)
                log_scale[column], exponent[column] = fit_spread(
                    y - slope[column] * guess, np.log(sigma[known, column])
                )
        start = cls(slope, log_scale, exponent, np.zeros((0, n_features)))
        guess, spread = start.apply(mean, sigma)
        return cls(slope, log_scale, exponent, np.sort((truth - guess) / spread, axis=0))

    def apply(self, mean: Doubles, sigma: Doubles) -> tuple[Doubles, Doubles]:
        """Calibrated guesses and spreads, both ``(n, 8)``, standardised."""
        return self.slope * mean, np.exp(self.log_scale + self.exponent * np.log(sigma))

    def bounds(self, level: float) -> tuple[Doubles, Doubles]:
        """Signed errors in spreads that an interval reaches down and up to, shape ``(8,)`` each."""
        n_features = self.scores.shape[1]
        pairs = [conformal_bounds(self.scores[:, column], level) for column in range(n_features)]
        low, high = np.array(pairs).reshape(n_features, 2).T
        return low, high

    def to_arrays(self, name: str) -> Arrays:
        """As plain arrays whose names start with ``name``."""
        return {
            f"{name}.slope": self.slope,
            f"{name}.log_scale": self.log_scale,
            f"{name}.exponent": self.exponent,
            f"{name}.scores": self.scores.astype(np.float32),
        }

    @classmethod
    def from_arrays(cls, name: str, arrays: Arrays) -> "Calibration":
        """The inverse of `to_arrays`."""
        parts = ("slope", "log_scale", "exponent", "scores")
        return cls(*(arrays[f"{name}.{part}"].astype(np.float64) for part in parts))


def conformal_bounds(scores: Doubles, level: float) -> tuple[float, float]:
    """Limits that the next score lies between with probability of at least ``level``.

    Both tails get half of what is left, so skewed errors give lopsided intervals.

    Args:
        scores: Ascending, NaN at the end where there are fewer; exchangeable with the next one.
        level: Above 0 and below 1.

    Returns:
        Infinite where there are too few scores to promise anything.

    Source:
        Vovk, Gammerman and Shafer (2005), "Algorithmic Learning in a Random World", ch. 2.
    """
    known = scores[~np.isnan(scores)]
    n, tail = len(known), (1 - level) / 2
    # Rounded first: 0.05 × 20 must be 1, not 1.0000000000000009.
    low, high = (
        int(np.floor(round((n + 1) * tail, 9))),
        int(np.ceil(round((n + 1) * (1 - tail), 9))),
    )
    return (
        float(known[low - 1]) if low >= 1 else -np.inf,
        float(known[high - 1]) if high <= n else np.inf,
    )


def fit_spread(error: Doubles, log_sigma: Doubles) -> tuple[float, float]:
    """Log scale and exponent for which the errors are likeliest under a Gaussian.

    Args:
        error: Shape ``(n,)``, at least one not 0.
        log_sigma: Log of the spread the network gives each, shape ``(n,)``.

    Returns:
        ``(a, b)`` of sigma' = exp(a + b log sigma), b in [0, 3].
    """
    if not error.any():
        return -_WIDEST, 0.0
    squared, centre = error**2, log_sigma.mean()
    apart = log_sigma - centre

    def loss(ab: Doubles) -> tuple[float, Doubles]:
        log_spread = ab[0] + ab[1] * apart
        share = squared * np.exp(-2 * log_spread)
        each = 1 - share  # derivative by the log of the spread
        return float((log_spread + share / 2).mean()), np.array(
            [each.mean(), (each * apart).mean()]
        )

    begin = np.array([0.5 * np.log(squared.mean()), 1.0])
    bounds = [(-_WIDEST, _WIDEST), (0.0, 3.0)]
    a, b = minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=bounds).x
    return float(a - b * centre), float(b)
