"""Geometry of the drawings; templates write it down as SVG, the style sheet colours it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Self

N_COLOURS = 8
"""Bases beyond so many use the colours again."""


@dataclass(frozen=True)
class Segment:
    """A part of a bar that is 100 long.

    Attributes:
        label: Whose part.
        colour: Number of its colour.
        start: Where it begins.
        length: How long it is.
    """

    label: str
    colour: int
    start: float
    length: float


def segments(bases: Sequence[str], weights: Mapping[str, float]) -> list[Segment]:
    """A bar of shares, in the order of the bases; nothing where nothing is weighed."""
    total = sum(weights.get(label, 0.0) for label in bases)
    found, start = [], 0.0
    for at, label in enumerate(bases):
        share = weights.get(label, 0.0)
        if share > 0:
            length = 100 * share / total
            found.append(Segment(label, at % N_COLOURS, start, length))
            start += length
    return found


def mean_weights(weights: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Mean weight of each base over the items of a list; items that weigh none are left out."""
    weighed = [one for one in weights if one]
    labels = dict.fromkeys(label for one in weighed for label in one)
    return {label: sum(one.get(label, 0.0) for one in weighed) / len(weighed) for label in labels}


@dataclass(frozen=True)
class Scale:
    """Where numbers are on a line that is 100 long.

    Attributes:
        low: Number at its beginning.
        high: Number at its end, above ``low``.
    """

    low: float
    high: float

    @classmethod
    def over(cls, values: Iterable[float | None]) -> Self:
        """One that holds all values that are known, of which there must be one."""
        known = [one for one in values if one is not None]
        low, high = min(known), max(known)
        return cls(low, high) if low < high else cls(low - 0.5, high + 0.5)

    def at(self, value: float) -> float:
        """Place of a number."""
        return 100 * (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Moment:
    """A number at some time, and what was usual.

    Attributes:
        time_us: When.
        value: The number; None where it is not known.
        low: Lower end of what is usual; None where that is not known, and then so is ``high``.
        high: Upper end of it.
    """

    time_us: int
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Trend:
    """A number over time, as paths in a square that is 100 wide and high.

    Attributes:
        line: Of the number, with gaps where it is not known; a dot where it stands alone.
        band: Of what was usual.
    """

    line: str
    band: str


def trend(moments: Sequence[Moment]) -> Trend | None:
    """Draw a number over time.

    Args:
        moments: In order of time.

    Returns:
        None where it is never known.
    """
    if all(one.value is None for one in moments):
        return None
    down = Scale.over(end for one in moments for end in (one.value, one.low, one.high))
    along = Scale.over(one.time_us for one in moments)

    def point(one: Moment, value: float) -> str:
        return f"{along.at(one.time_us):.1f} {100 - down.at(value):.1f}"

    line = [
        [point(one, one.value) for one in run if one.value is not None]
        for there, run in groupby(moments, lambda one: one.value is not None)
        if there
    ]
    band = []
    for there, run in groupby(moments, lambda one: one.low is not None):
        if there:
            ends = [(one, one.low, one.high) for one in run]
            upper = [point(one, high) for one, _, high in ends if high is not None]
            lower = [point(one, low) for one, low, _ in ends if low is not None]
            band.append([*upper, *reversed(lower)])
    return Trend(
        "".join(f"M{'L'.join(points)}{'h0' if len(points) == 1 else ''}" for points in line),
        "".join(f"M{'L'.join(points)}Z" for points in band),
    )
