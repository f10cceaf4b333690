"""How sure a difference of two arms is: looked at once, or as often as one likes."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import lambertw, ndtri, stdtrit

from crossfade.types import Doubles, Ints


@dataclass(frozen=True)
class Interval:
    """Where a mean or a difference lies.

    Attributes:
        low: Lower end; NaN where nothing can be said, as with fewer than two values.
        high: Upper end.
    """

    low: float
    high: float


@dataclass(frozen=True)
class Moments:
    """What intervals need of some values.

    Attributes:
        n: How many.
        mean: NaN of none.
        variance: With n - 1 below; NaN of fewer than two.
    """

    n: int
    mean: float
    variance: float

    @classmethod
    def of(cls, values: Doubles) -> "Moments":
        """Those of values, shape ``(n,)``."""
        n = len(values)
        mean = float(values.mean()) if n else math.nan
        return cls(n, mean, float(values.var(ddof=1)) if n > 1 else math.nan)

    @property
    def squared_error(self) -> float:
        """Variance of the mean."""
        return self.variance / self.n if self.n else math.nan


def mean_interval(values: Moments, alpha: float) -> Interval:
    """Student's interval of one mean, for one look."""
    half = -float(stdtrit(values.n - 1, alpha / 2)) * math.sqrt(values.squared_error)
    return Interval(values.mean - half, values.mean + half)


def welch(control: Moments, arm: Moments, alpha: float) -> Interval:
    """Interval of ``arm - control``, for one look at a moment that was fixed before.

    Source:
        Welch (1947), "The Generalization of 'Student's' Problem when Several Different Population
        Variances are Involved".
    """
    a, b = control.squared_error, arm.squared_error
    difference = arm.mean - control.mean
    if not a + b > 0:  # nothing varies, or nothing is known
        return Interval(difference + 0 * (a + b), difference + 0 * (a + b))
    freedom = (a + b) ** 2 / (a**2 / (control.n - 1) + b**2 / (arm.n - 1))
    half = -float(stdtrit(freedom, alpha / 2)) * math.sqrt(a + b)
    return Interval(difference - half, difference + half)


def always_valid(control: Moments, arm: Moments, alpha: float, planned: float) -> Interval:
    """Interval of ``arm - control`` that holds at all times at once, however often one looks.

    An asymptotic confidence sequence: with probability 1 - alpha none of the intervals, one after each
    unit, misses the difference. It rests on each unit counting once and never changing, and on
    enough units for their variance to be known.

    Args:
        control: Of the first arm.
        arm: Of the other.
        alpha: Chance that any of the intervals misses, in (0, 1).
        planned: Units of both arms at which the interval is to be as narrow as it can be.

    Source:
        Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2021), "Time-uniform central limit theory and
        asymptotic confidence sequences", theorem 2.2, with the variance of a difference of two means.
    """
    n = max(control.n + arm.n, 1)
    difference = arm.mean - control.mean
    spread = math.sqrt(n * (control.squared_error + arm.squared_error))
    half = spread * float(sequence_radius(np.array([n]), alpha, planned)[0])
    return Interval(difference - half, difference + half)


def always_valid_mean(values: Moments, alpha: float, planned: float) -> Interval:
    """As `always_valid`, of one mean: that of what each unit makes of one arm less what it makes of the other."""
    radius = float(sequence_radius(np.array([max(values.n, 1)]), alpha, planned)[0])
    half = math.sqrt(values.variance) * radius
    return Interval(values.mean - half, values.mean + half)


def sequence_radius(n: Ints, alpha: float, planned: float) -> Doubles:
    """Half width of a confidence sequence for a mean of values with variance 1.

    Args:
        n: Values so far, 1 or more, any shape.
        alpha: Chance that it is ever missed.
        planned: Number of values at which it is to be as narrow as it can be.
    """
    # The width at `planned` is least where this mixture is used (appendix B.2 there).
    squared = (-float(lambertw(-(alpha**2) / math.e, -1).real) - 1) / planned
    mixed = n * squared + 1
    radius: Doubles = np.sqrt(mixed / (n**2 * squared) * np.log(mixed / alpha**2))
    return radius


def units_needed(
    control: Moments, arm: Moments, effect: float, alpha: float, power: float = 0.8
) -> int | None:
    """Units of two arms, in the same parts and as different as now, that find an effect, looked at once.

    Args:
        control: Of the first arm.
        arm: Of the other.
        effect: Difference of the means, above 0.
        alpha: Chance to find one where there is none.
        power: Chance to find the effect.

    Returns:
        None where nothing varies, or not enough is known.
    """
    n = control.n + arm.n
    return _needed(n * (control.squared_error + arm.squared_error), effect, alpha, power)


def pairs_needed(values: Moments, effect: float, alpha: float, power: float = 0.8) -> int | None:
    """As `units_needed`, where each unit gives a difference of both arms."""
    return _needed(values.variance, effect, alpha, power)


def _needed(variance: float, effect: float, alpha: float, power: float) -> int | None:
    if not variance > 0:
        return None
    return math.ceil(((ndtri(1 - alpha / 2) + ndtri(power)) / effect) ** 2 * variance)


def without_what_was_before(values: Doubles, before: Doubles, arm: Ints) -> Doubles:
    """Values less what a unit's own past foretells of them (CUPED).

    The past is older than the experiment, so its mean is the same in every arm but for chance; taking that chance
    away leaves the difference of the arms as it is and makes it surer.

    Args:
        values: One per unit, shape ``(n,)``.
        before: The same metric before the experiment, same shape; NaN where a unit was not there, which
            leaves its value as it is.
        arm: Position of each unit's arm, same shape.

    Source:
        Deng, Xu, Kohavi and Walker (2013), "Improving the Sensitivity of Online Controlled
        Experiments by Utilizing Pre-Experiment Data".
    """
    known = ~np.isnan(before)
    past, now, of = before[known], values[known], arm[known]
    if not len(past):
        return values
    count = np.maximum(np.bincount(of), 1)
    apart = past - (np.bincount(of, past) / count)[of]
    if not apart.any():
        return values
    # Within arms: what an arm changes must not look like what the past foretells.
    slope = (apart * now).sum() / (apart**2).sum()
    adjusted = values.copy()
    adjusted[known] = now - slope * (past - past.mean())
    return adjusted
