"""One number of a report, how sure it is, and what is usual for it."""

import math
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict

from crossfade.evaluation.statistics import bootstrap, unit_means
from crossfade.types import Bools, Doubles, Ints

Z = 1.959964
"""Standard deviations to either side of an interval of 95 %."""


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


Number = Annotated[float | None, BeforeValidator(_known)]
"""Null where nothing is known; NaN is spelled so."""


class Measure(BaseModel):
    """One number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    of: str
    """Of what: a feature, a base, a kind of listener; empty where there is but one."""
    value: Number
    low: Number = None
    """Lower end of its interval."""
    high: Number = None
    n: int
    """People it rests on; of `neighbour_overlap` items, of routes requests."""
    usual_low: Number = None
    """Smallest of the stretches at the end of the version's own log, or of earlier reports."""
    usual_high: Number = None
    expected_low: Number = None
    """Less is unusual even of so many measures; see `usual.with_usual`."""
    expected_high: Number = None
    n_usual: int = 0
    """How many of them had a value."""
    chance: Number = None
    """What chance alone makes of it in one of a thousand cases where nothing changed."""

    @property
    def key(self) -> tuple[str, str]:
        """What it is called."""
        return self.name, self.of


def apart(person: Ints) -> Ints:
    """People by number, in which everybody who is nobody (-1) is somebody else."""
    own: Ints = np.where(person >= 0, person, -1 - np.arange(len(person)))
    return own


def mean_over_people(
    name: str,
    of: str,
    values: Doubles | Bools,
    person: Ints,
    *,
    rng: np.random.Generator,
    resamples: int,
) -> Measure:
    """Mean over people of the mean of each one's values, with an interval over people.

    Args:
        name: Of the measure.
        of: Of what.
        values: Shape ``(n,)``, NaN where missing.
        person: Whose each is; see `apart`.
        rng: Draws people.
        resamples: Draws of all of them.
    """
    who = np.unique(person, return_inverse=True)[1].astype(np.int64)
    column = np.asarray(values, dtype=np.float64)[:, None]
    each = unit_means(column, who, int(who.max(initial=-1)) + 1)
    found = bootstrap(each, rng, resamples=resamples, kind="percentile")
    value, low, high = (float(part[0]) for part in (found.mean, found.low, found.high))
    return Measure(name=name, of=of, value=value, low=low, high=high, n=int(found.n[0]))
