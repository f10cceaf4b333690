"""Pictures of calibration: reliability, and risk against coverage; they take plain arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crossfade.evaluation.plots import _FAINT, _MARKERS, PALETTE, _drawing, _figure, _legend
from crossfade.types import Doubles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_POINTS = 400
"""Of one curve: more could not be told apart on the page."""


@dataclass(frozen=True, eq=False)
class ReliabilitySeries:
    """One model's bins, all shape ``(n_bins,)``: mean probability, share wanted, its interval."""

    name: str
    probability: Doubles
    share: Doubles
    low: Doubles
    high: Doubles


@dataclass(frozen=True, eq=False)
class RiskSeries:
    """One model's curve, both shape ``(n,)``, and the mean of its risk."""

    name: str
    coverage: Doubles
    risk: Doubles
    area: float


def reliability_figure(series: Sequence[ReliabilitySeries], event: str) -> "Figure":
    """Share of candidates that were wanted against the probability they were given.

    The dashed line is where both agree. Axes end where the probabilities do, because those of
    rare events would fill a corner of the unit square.

    Args:
        series: One per model, in order of the table.
        event: What the probability is of, such as "the user plays it within 30 days".
    """
    with _drawing():
        figure, axes = _figure(6.4, 4.4)
        tops = [np.max([one.probability, one.high]) for one in series if len(one.share)]
        top = min(1.0, 1.05 * float(max(tops, default=1.0)))
        axes.plot([0, top], [0, top], color=_FAINT, linewidth=1.0, linestyle="--")
        for m, one in enumerate(series):
            # A Wilson interval may miss its share by rounding.
            reach = np.maximum([one.share - one.low, one.high - one.share], 0.0)
            axes.errorbar(
                one.probability,
                one.share,
                yerr=reach,
                fmt=_MARKERS[m % len(_MARKERS)] + "-",
                color=PALETTE[m % len(PALETTE)],
                markersize=5.5,
                capsize=0,
                label=one.name,
            )
        axes.set_xlim(-0.02 * top, top)
        axes.set_ylim(-0.02 * top, top)
        axes.set_xlabel(f"probability given that {event}")
        axes.set_ylabel("share where it did happen")
        axes.grid()
        _legend(figure, axes, len(series))
        return figure


def risk_coverage_figure(series: Sequence[RiskSeries], error: str) -> "Figure":
    """Mean error among the surest, as more and more is answered; lower is better.

    Args:
        series: One per model, in order of the table.
        error: What the risk is the mean of, such as "squared error".
    """
    with _drawing():
        figure, axes = _figure(6.4, 3.4)
        for m, one in enumerate(series):
            n = len(one.risk)
            shown = np.unique(np.linspace(0, max(n - 1, 0), min(n, _MOST_POINTS)).astype(np.int64))
            axes.plot(
                one.coverage[shown],
                one.risk[shown],
                color=PALETTE[m % len(PALETTE)],
                label=f"{one.name} (area {one.area:.4f})",
            )
        axes.set_xlim(0, 1)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("coverage (share answered, surest first)")
        axes.set_ylabel(f"mean {error}")
        axes.grid()
        _legend(figure, axes, len(series))
        return figure
