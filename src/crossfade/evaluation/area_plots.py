"""Stacked areas of the weights of the bases, for the report and for `crossfade inspect`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crossfade.evaluation.plots import PALETTE, _drawing, _figure, _legend
from crossfade.types import Doubles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALL = 0.005
"""A base whose weight stays below this everywhere would be a hairline; it goes with the others."""

OTHERS = "#94a3b8"
"""Colour of these."""


@dataclass(frozen=True, eq=False)
class Areas:
    """What is drawn: S shares at n places.

    Attributes:
        names: S labels, the largest base first; the last may be of all that are too small.
        colours: Of each. A base has the same one in every picture of its system.
        share: ``(n, S)``, each row summing to 1; NaN where nothing is known.
    """

    names: tuple[str, ...]
    colours: tuple[str, ...]
    share: Doubles

    @classmethod
    def of(cls, weights: Sequence[Mapping[str, float]], bases: Sequence[str]) -> "Areas":
        """From weights by base at each place.

        Args:
            weights: Of n places; empty where nothing is known.
            bases: All labels of the system, in order.
        """
        share = np.array(
            [[place.get(base, 0.0) if place else np.nan for base in bases] for place in weights],
            dtype=np.float64,
        ).reshape(len(weights), len(bases))
        known = share[~np.isnan(share).any(axis=1)]
        order = np.argsort(-known.sum(axis=0), kind="stable")
        large = [at for at in order if known[:, at].max(initial=0.0) >= SMALL][: len(PALETTE)]
        small = [at for at in order if at not in large and known[:, at].any()]
        names = [bases[at] for at in large]
        colours = [PALETTE[at % len(PALETTE)] for at in large]
        if not small:
            return cls(tuple(names), tuple(colours), share[:, large])
        rest = f"{len(small)} others" if len(small) > 1 else bases[small[0]]
        together = share[:, small].sum(axis=1, keepdims=True)
        share = np.hstack([share[:, large], together])
        return cls((*names, rest), (*colours, OTHERS), share)


def areas_figure(areas: Areas, ticks: Sequence[str], across: str) -> "Figure":
    """One stack of areas over n places.

    Args:
        areas: What is drawn.
        ticks: Text below each place.
        across: What the places are.
    """
    with _drawing():
        figure, axes = _figure(10.8, 3.9)
        draw_areas(axes, areas)
        axes.set_xticks(range(len(ticks)), ticks)
        axes.set_xlabel(across)
        _legend(figure, axes, len(areas.names))
        return figure


def draw_areas(axes: "Axes", areas: Areas) -> None:
    """Areas between neighbouring places, flat to half a step beyond the ends; none where nothing is known."""
    n = len(areas.share)
    for run, (first, last) in enumerate(_runs(areas.share)):
        place = np.arange(first, last + 1, dtype=np.float64)
        x = np.concatenate([[first - 0.5], place, [last + 0.5]])
        share = areas.share[first : last + 1]
        top = np.cumsum(np.vstack([share[:1], share, share[-1:]]), axis=1)
        low = np.zeros(len(x))
        for s, name in enumerate(areas.names):
            axes.fill_between(
                x,
                low,
                top[:, s],
                color=areas.colours[s],
                linewidth=0,
                label=name if run == 0 else None,
            )
            low = top[:, s]
    axes.set_xlim(-0.5, n - 0.5)
    axes.set_ylim(0, 1)
    axes.set_ylabel("mean weight")
    for line in range(n):
        axes.axvline(line, color="white", alpha=0.35, linewidth=0.8)


def _runs(share: Doubles) -> Iterator[tuple[int, int]]:
    """First and last place of each stretch without a gap."""
    known = np.zeros(len(share) + 2, dtype=np.int8)
    known[1:-1] = ~np.isnan(share).any(axis=1)
    edges = np.flatnonzero(np.diff(known))
    for first, stop in edges.reshape(-1, 2).tolist():
        yield first, stop - 1
