"""Geometry of the drawings; templates write it down as SVG, the style sheet colours it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

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
