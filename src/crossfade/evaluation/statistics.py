"""How sure a mean or a difference is: bootstrap over users, randomisation test, Holm.

The unit is always one user (rows of ``values``), because requests of one user are not
independent of each other.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtr, ndtri

from crossfade.threads import one_blas_thread
from crossfade.types import Doubles, Ints

_CELLS = 4_000_000
"""Random numbers held at once; bounds memory at about 32 MB."""


@dataclass(frozen=True)
class Estimates:
    """Means with intervals, one per column.

    Attributes:
        mean: Shape ``(n_columns,)``; NaN where nobody has a value.
        low: Lower ends; NaN with fewer than two values.
        high: Upper ends.
        n: Users with a value.
    """

    mean: Doubles
    low: Doubles
    high: Doubles
    n: Ints


def unit_means(values: Doubles, unit: Ints, n_units: int) -> Doubles:
    """Mean of each unit's requests, so that who asks often does not count more.

    Args:
        values: Shape ``(n, n_columns)``; NaN entries are left out.
        unit: Whose each row is, in [0, n_units), shape ``(n,)``.
        n_units: Number of units.

    Returns:
        Shape ``(n_units, n_columns)``; NaN where a unit has no value.
    """
    out = np.full((n_units, values.shape[1]), np.nan)
    for column in range(values.shape[1]):
        known = ~np.isnan(values[:, column])
        count = np.bincount(unit[known], minlength=n_units)
        total = np.bincount(unit[known], weights=values[known, column], minlength=n_units)
        np.divide(total, count, out=out[:, column], where=count > 0)
    return out


def resampled_means(values: Doubles, resamples: int, rng: np.random.Generator) -> Doubles:
    """Column means of users drawn with replacement; all columns share the draws.

    Args:
        values: Shape ``(n, n_columns)``; NaN entries are left out of a mean.
        resamples: How many times all n users are drawn.
        rng: Source of the draws.

    Returns:
        Shape ``(resamples, n_columns)``; NaN where a draw has no value.
    """
    n, n_columns = values.shape
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)
    gappy = ~known.all(axis=0)
    out = np.full((resamples, n_columns), np.nan)
    if n == 0:
        return out
    size = max(1, _CELLS // n)
    for start in range(0, resamples, size):
        place = slice(start, min(start + size, resamples))
        n_draws = place.stop - place.start
        drawn = rng.integers(0, n, size=(n_draws, n))
        # How often each user is drawn; then all means are one matrix product.
        drawn += np.arange(n_draws)[:, None] * n
        weight = np.bincount(drawn.ravel(), minlength=n_draws * n).reshape(n_draws, n)
        weights = weight.astype(np.float64)
        count = np.full((n_draws, n_columns), float(n))
        count[:, gappy] = weights @ known[:, gappy]
        np.divide(_product(weights, filled), count, out=out[place], where=count > 0)
    return out


def intervals(
    values: Doubles,
    resampled: Doubles,
    level: float = 0.95,
    kind: Literal["bca", "percentile"] = "bca",
) -> Estimates:
    """Means of columns with bootstrap intervals.

    Args:
        values: One row per user, shape ``(n, n_columns)``; NaN where a user has no value.
        resampled: From `resampled_means`, or a difference of two of its columns.
        level: Confidence level in (0, 1).
        kind: ``percentile`` takes quantiles of ``resampled``; ``bca`` corrects them for
            bias and skew. A column of equal values has an interval of no width.

    Source:
        Efron (1987), "Better Bootstrap Confidence Intervals"; the acceleration of a mean
        has the closed form sum d^3 / (6 (sum d^2)^1.5) with d the deviations.
    """
    n_columns = values.shape[1]
    n = (~np.isnan(values)).sum(axis=0)
    mean, low, high = (np.full(n_columns, np.nan) for _ in range(3))
    tail = np.array([(1 - level) / 2, (1 + level) / 2])
    for c in range(n_columns):
        if n[c] == 0:
            continue
        known = values[~np.isnan(values[:, c]), c]
        mean[c] = known.mean()
        if n[c] < 2:
            continue
        if known.min() == known.max():
            low[c] = high[c] = mean[c]
            continue
        draws = resampled[:, c][~np.isnan(resampled[:, c])]
        levels = tail if kind == "percentile" else _bca_levels(known, draws, tail)
        low[c], high[c] = np.quantile(draws, levels)
    return Estimates(mean, low, high, n)


def bootstrap(
    values: Doubles,
    rng: np.random.Generator,
    *,
    resamples: int = 1_000,
    level: float = 0.95,
    kind: Literal["bca", "percentile"] = "bca",
) -> Estimates:
    """Means of columns with intervals; see `resampled_means` and `intervals`.

    For a paired difference of two models give their difference per user.
    """
    return intervals(values, resampled_means(values, resamples, rng), level, kind)


def randomisation_test(differences: Doubles, flips: int, rng: np.random.Generator) -> Doubles:
    """Two-sided p of Fisher's paired randomisation test for a mean of zero.

    Under the null hypothesis each user's difference could as well have the other sign.
    With few users all 2^n sign patterns are counted, otherwise ``flips`` random ones.

    Args:
        differences: One row per user, one column per comparison, no NaN.
        flips: How many random patterns.
        rng: Source of the signs.

    Returns:
        Shape ``(n_columns,)``, in (0, 1]; NaN without any user.

    Source:
        Smucker, Allan and Carterette (2007), "A Comparison of Statistical Significance
        Tests for Information Retrieval Evaluation".
    """
    n, n_columns = differences.shape
    if n == 0:
        return np.full(n_columns, np.nan)
    observed = np.abs(differences.sum(axis=0))
    # Equal sums in another order of addition must count as equal.
    limit = observed - 1e-9 * np.abs(differences).sum(axis=0)
    if n < 63 and 2**n <= flips:
        patterns = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        sums = (1.0 - 2.0 * patterns) @ differences
        extreme: Doubles = (np.abs(sums) >= limit).mean(axis=0)
        return extreme
    n_extreme = np.zeros(n_columns)
    size = max(1, _CELLS // n)
    for start in range(0, flips, size):
        n_patterns = min(size, flips - start)
        bits = np.frombuffer(rng.bytes((n_patterns * n + 7) // 8), dtype=np.uint8)
        flipped = np.unpackbits(bits, count=n_patterns * n).reshape(n_patterns, n)
        sums = differences.sum(axis=0) - 2 * _product(flipped.astype(np.float64), differences)
        n_extreme += (np.abs(sums) >= limit).sum(axis=0)
    # The observed pattern is one of the possible ones, so p is never 0.
    return (n_extreme + 1) / (flips + 1)


def holm(p: Doubles) -> Doubles:
    """Values of p corrected for testing several hypotheses; NaN ones do not count.

    Source:
        Holm (1979), "A Simple Sequentially Rejective Multiple Test Procedure".
    """
    out = np.full(len(p), np.nan)
    order = np.argsort(p)[: int((~np.isnan(p)).sum())]
    steps = p[order] * np.arange(len(order), 0, -1)
    out[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return out


def _bca_levels(known: Doubles, draws: Doubles, tail: Doubles) -> Doubles:
    deviation = known - known.mean()
    acceleration = (deviation**3).sum() / (6 * (deviation**2).sum() ** 1.5)
    # Means of hits over k are fractions that many draws share: a draw that equals the mean
    # but for rounding is equal, or the last bit would decide on which side it counts.
    rounding = 1e-9 * np.abs(deviation).max()
    distance = draws - known.mean()
    below = (distance < -rounding).mean() + 0.5 * (np.abs(distance) <= rounding).mean()
    # With every draw on one side the correction would be infinite.
    bias = ndtri(np.clip(below, 0.5 / len(draws), 1 - 0.5 / len(draws)))
    shifted = bias + ndtri(tail)
    levels: Doubles = ndtr(bias + shifted / (1 - acceleration * shifted))
    return levels


def _product(left: Doubles, right: Doubles) -> Doubles:
    """``left @ right`` to the same last bit however many cores there are."""
    with one_blas_thread():
        product: Doubles = left @ right
    return product
