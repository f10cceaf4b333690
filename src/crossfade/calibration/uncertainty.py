"""How unsure a score is, and whether being unsure goes with being wrong."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from crossfade.types import Doubles, Floats

_CELLS = 4_000_000
"""Random numbers held at once; bounds memory at about 32 MB."""


def disagreement(weights: Floats, score: Floats) -> Floats:
    """Weighted standard deviation of the bases' scores around their weighted mean.

    Args:
        weights: What acted, ``(B, L, S)``, in [0, 1], such as `Fused.weights`.
        score: Scores of the bases on one scale, same shape; NaN where a base cannot score.

    Returns:
        Shape ``(B, L)``, 0 or more, in units of the score. NaN where fewer than two bases with a
        weight could score: one opinion cannot disagree, which is not the same as being sure.
    """
    there = (weights > 0) & ~np.isnan(score)
    weight = np.where(there, weights, 0.0).astype(np.float64)
    values = np.where(there, score, 0.0).astype(np.float64)
    several = there.sum(axis=-1) > 1
    total = np.where(several, weight.sum(axis=-1), np.nan)
    mean = (weight * values).sum(axis=-1) / total
    # Around the mean, and not E[x²] − E[x]²: scores that agree must give 0, not rounding.
    spread = (weight * (values - mean[..., None]) ** 2).sum(axis=-1) / total
    return np.asarray(np.sqrt(spread), np.float32)


@dataclass(frozen=True)
class ErrorSorting:
    """Whether errors grow with uncertainty.

    Attributes:
        ratio: Mean error of the surest fifth over that of the least sure; below 1 is good, NaN
            where the least sure make none.
        spearman: Rank correlation of uncertainty and error, in [−1, 1]; NaN where either is constant.
        low: Lower end of its bootstrap interval over units; NaN with fewer than two.
        high: Upper end.
        n: Rows with both.
    """

    ratio: float
    spearman: float
    low: float
    high: float
    n: int


def sorts_errors(
    uncertainty: NDArray[Any],
    error: NDArray[Any],
    unit: NDArray[Any],
    rng: np.random.Generator,
    *,
    resamples: int = 1_000,
    level: float = 0.95,
) -> ErrorSorting:
    """Measure an uncertainty by the errors it comes with.

    Args:
        uncertainty: Larger is less sure, any shape; NaN is left out.
        error: 0 or more, same shape; NaN is left out.
        unit: What is drawn for the interval, such as the request of each row, same shape. Ranks
            are those of all rows in every draw.
        rng: Draws units.
        resamples: How many draws.
        level: Of the interval, in (0, 1).

    Raises:
        ValueError: If the shapes differ.
    """
    if not uncertainty.shape == error.shape == unit.shape:
        shapes = uncertainty.shape, error.shape, unit.shape
        raise ValueError(f"uncertainty, error and unit must be of one shape, got {shapes}")
    known = ~(np.isnan(uncertainty) | np.isnan(error))
    unsure, wrong = uncertainty[known].astype(np.float64), error[known].astype(np.float64)
    if not len(wrong):
        return ErrorSorting(np.nan, np.nan, np.nan, np.nan, 0)
    sorted_errors = errors_by_certainty(unsure, wrong)
    fifth = max(1, len(wrong) // 5)
    surest, least = sorted_errors[:fifth].mean(), sorted_errors[-fifth:].mean()
    ratio = float(surest / least) if least > 0 else np.nan
    x, y = (rankdata(values) - (len(wrong) + 1) / 2 for values in (unsure, wrong))
    _, owner = np.unique(unit[known], return_inverse=True)
    # Everything a correlation needs is a sum, and sums over drawn units are products.
    parts = (np.ones_like(x), x, y, x * x, y * y, x * y)
    sums = np.column_stack([np.bincount(owner, weights=part) for part in parts]).astype(np.float64)
    draws = _correlations(_redrawn(sums, resamples, rng))
    low, high = (np.nan, np.nan)
    if len(sums) > 1 and not np.isnan(draws).all():
        low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return ErrorSorting(
        ratio, float(_correlations(sums.sum(axis=0)[None])[0]), float(low), float(high), len(wrong)
    )


def errors_by_certainty(uncertainty: Doubles, error: Doubles) -> Doubles:
    """Errors, surest first; rows of equal uncertainty each get their mean, so order tells nothing."""
    _, place, count = np.unique(uncertainty, return_inverse=True, return_counts=True)
    means = np.bincount(place, weights=error, minlength=len(count)) / count
    return np.repeat(means, count)


def _redrawn(sums: Doubles, resamples: int, rng: np.random.Generator) -> Doubles:
    """Sums over units drawn with replacement, shape ``(resamples, n_columns)``."""
    n = len(sums)
    size = max(1, _CELLS // n)
    pieces = []
    for start in range(0, resamples, size):
        drawn = rng.integers(0, n, size=(min(size, resamples - start), n))
        pieces.append(sums[drawn].sum(axis=1))
    return np.concatenate(pieces)


def _correlations(sums: Doubles) -> Doubles:
    """Pearson's correlation from n, Σx, Σy, Σx², Σy², Σxy, one per row; NaN where one is constant."""
    n, x, y, xx, yy, xy = sums.T
    varied = np.maximum(xx - x * x / n, 0) * np.maximum(yy - y * y / n, 0)
    # What rounding leaves of a constant is no variance.
    real = varied > 1e-20 * xx * yy
    scale = np.sqrt(np.where(real, varied, np.nan))
    return np.asarray((xy - x * y / n) / scale)
