"""How far a feature's values are from those of a reference: stability index and energy distance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from crossfade.types import Doubles, Ints

N_BINS = 10
_HALF = 0.5


@dataclass(frozen=True, eq=False)
class Sample:
    """Values of one feature, n of them, by whom they are of.

    Everybody counts the same, however many values are theirs: those of one person are not independent.

    Attributes:
        values: Shape ``(n,)``; NaN where missing.
        person: Any number for each person, ``(n,)``.
    """

    values: Doubles
    person: Ints

    @property
    def n_people(self) -> int:
        """How many people there are."""
        return len(np.unique(self.person))

    @property
    def weight(self) -> Doubles:
        """Of each value; those of a person sum to 1, ``(n,)``."""
        _, place, count = np.unique(self.person, return_inverse=True, return_counts=True)
        return np.asarray(1.0 / count[place], dtype=np.float64)

    @classmethod
    def joined(cls, samples: Sequence["Sample"]) -> "Sample":
        """Several as one, in which nobody is in two of them."""
        values = [np.zeros(0), *(one.values for one in samples)]
        people, first = [np.zeros(0, dtype=np.int64)], 0
        for one in samples:
            number = np.unique(one.person, return_inverse=True)[1]
            people.append(first + number)
            first += one.n_people
        return cls(np.concatenate(values), np.concatenate(people))


@dataclass(frozen=True)
class Stability:
    """A population stability index.

    Attributes:
        plain: As it is mostly reported: 0 where both are spread alike, and never below what chance
            alone makes, so too high for few people.
        debiased: Freed of the mean of what chance makes; around 0 where nothing moved.
        chance: What chance alone leaves of ``debiased`` in one of so many cases.
        n_cells: Bins that anybody is in, one of them for missing values.
    """

    plain: float
    debiased: float
    chance: float
    n_cells: int


def stability(
    reference: Sample, current: Sample, *, n_bins: int = N_BINS, level: float = 0.999
) -> Stability:
    """Population stability index ``Σ (q − p) ln(q / p)`` over bins of equal mass in the reference.

    Missing values have a bin of their own. Half a person is added to each bin of either side, so
    that an empty one does not make it infinite.

    What chance makes of it follows from how people differ. With the covariance ``C`` between people of
    the shares of their values that lie in each bin it is a sum of chi-squared variables, whose factors are
    the eigenvalues of ``(C / n + C' / m) / p``. Of people with one value each these are all ``1 / n + 1 / m``,
    one for each bin but one.

    Args:
        reference: What the bins are made of.
        current: What is compared with it.
        n_bins: Of known values; fewer where values are the same.
        level: Share of cases without any change that stay below ``chance``.

    Returns:
        All NaN where one of the two is empty.

    Source:
        Yurdakul and Naranjo (2020), "Statistical properties of the population stability index", for
        single values; Rao and Scott (1984), "On Chi-Squared Tests for Multiway Contingency Tables", for
        values that belong together, with their second-order correction.
    """
    if not len(reference.values) or not len(current.values):
        return Stability(np.nan, np.nan, np.nan, 0)
    known = reference.values[~np.isnan(reference.values)]
    edges = np.unique(np.quantile(known, np.arange(1, n_bins) / n_bins)) if len(known) else known
    both = [_shares(one, edges) for one in (reference, current)]
    mass = np.stack([one.sum(axis=0) for one in both])
    used = mass.sum(axis=0) > 0
    share = (mass + _HALF)[:, used] / (mass + _HALF)[:, used].sum(axis=1, keepdims=True)
    plain = float(((share[1] - share[0]) * np.log(share[1] / share[0])).sum())
    scale = 1 / np.sqrt(share.mean(axis=0))
    spread = sum(np.cov(one[:, used].T, bias=True) / len(one) for one in both)
    factors = np.linalg.eigvalsh(np.atleast_2d(spread) * np.outer(scale, scale))
    expected, square = float(factors.sum()), float((factors**2).sum())
    if not expected > 0:
        return Stability(plain, plain, 0.0, int(used.sum()))
    limit = square / expected * float(chi2.ppf(level, expected**2 / square))
    return Stability(plain, plain - expected, limit - expected, int(used.sum()))


def _shares(sample: Sample, edges: Doubles) -> Doubles:
    """Share of each one's values in each bin, ``(n_people, n_bins)``.

    An upper edge belongs to its bin; the last one is that of missing values.
    """
    missing = np.isnan(sample.values)
    cell = np.where(missing, len(edges) + 1, np.searchsorted(edges, sample.values))
    n_cells = len(edges) + 2
    person = np.unique(sample.person, return_inverse=True)[1]
    size = sample.n_people * n_cells
    shares = np.bincount(person * n_cells + cell, weights=sample.weight, minlength=size)
    return np.asarray(shares.reshape(-1, n_cells), dtype=np.float64)


def energy(reference: Sample, current: Sample) -> float:
    """Energy coefficient of the known values: 0 where both are spread alike, 1 where all of one is far off.

    ``D² / (2 E|X − Y|)`` with ``D² = 2 E|X − Y| − E|X − X'| − E|Y − Y'|``. It does not depend on the unit.

    Returns:
        In [0, 1]; NaN where one of the two knows nothing.

    Source:
        Székely and Rizzo (2013), "Energy statistics: A class of statistics based on distances".
    """
    both = [_known(one) for one in (reference, current)]
    if not all(len(values) for values, _ in both):
        return np.nan
    grid = np.unique(np.concatenate([values for values, _ in both]))
    f, g = (_distribution(values, weight, grid) for values, weight in both)
    width = np.diff(grid)
    apart = float((width * (f * (1 - g) + g * (1 - f))).sum())
    return float((width * (f - g) ** 2).sum()) / apart if apart else 0.0


def _known(sample: Sample) -> tuple[Doubles, Doubles]:
    known = ~np.isnan(sample.values)
    return sample.values[known], sample.weight[known]


def _distribution(values: Doubles, weight: Doubles, grid: Doubles) -> Doubles:
    """Share of the mass at or below each but the last place of a grid."""
    mass = np.bincount(np.searchsorted(grid, values), weights=weight, minlength=len(grid))
    return np.asarray(np.cumsum(mass)[:-1] / mass.sum(), dtype=np.float64)
