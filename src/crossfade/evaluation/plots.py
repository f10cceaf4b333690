"""The report's pictures: inline SVG that follows the page's light or dark colours."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Drawn in these colours, then handed over to the page's style sheet.
_INK, _FAINT, _LINE = "#010203", "#040506", "#070809"
_CSS = {_INK: "var(--ink)", _FAINT: "var(--faint)", _LINE: "var(--line)"}
_PAGE = (_INK, _FAINT, _LINE)
_PAPER = ("#1c1d22", "#6b6e78", "#d9d6d0")
"""For pictures that no page colours: ink, faint ink and lines on white."""
PALETTE = (
    "#3b82f6",
    "#f97316",
    "#10b981",
    "#d946ef",
    "#eab308",
    "#14b8a6",
    "#f43f5e",
    "#8b5cf6",
    "#84cc16",
    "#64748b",
)
"""Readable on light and dark ground; models get them in order of the table."""
_MARKERS = "osD^vPX*hp"


@dataclass(frozen=True)
class Series:
    """One model's points: means with interval ends, NaN where there is none."""

    name: str
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def forest(series: Sequence[Series], metric: str) -> str:
    """One line per model: mean and interval of one metric, best on top."""
    with _drawing():
        figure, axes = _figure(6.4, max(3.0, 0.9 + 0.36 * len(series)))
        for place, one in enumerate(series):
            _points(axes, one, place, place=[place], across=True)
        axes.set_yticks(range(len(series)), [one.name for one in series])
        axes.set_ylim(len(series) - 0.4, -0.6)
        axes.set_xlabel(metric)
        axes.set_xlim(left=0)
        axes.grid(axis="x")
        return _svg(figure, "forest", f"{metric} of every model with intervals")


def by_slice(
    series: Sequence[Series], labels: Sequence[str], n_users: Sequence[int], metric: str, name: str
) -> str:
    """One group per slice, one point with interval per model."""
    with _drawing():
        figure, axes = _figure(10.8, 3.6)
        step = 0.7 / max(len(series), 1)
        for m, one in enumerate(series):
            offset = (m - (len(series) - 1) / 2) * step
            _points(axes, one, m, place=np.arange(len(labels)) + offset, across=False)
        ticks = [f"{label}\nn = {n:,}" for label, n in zip(labels, n_users, strict=True)]
        axes.set_xticks(range(len(labels)), ticks)
        axes.set_xlim(-0.6, len(labels) - 0.4)
        for edge in np.arange(len(labels) - 1) + 0.5:
            axes.axvline(edge, color=_LINE, linewidth=0.8)
        axes.set_ylabel(metric)
        _from_zero(axes)
        axes.grid(axis="y")
        _legend(figure, axes, len(series))
        return _svg(figure, name, f"{metric} by {name.replace('_', ' ')}")


def trade_off(series: Sequence[Series], coverage: Sequence[float], x: str, y: str) -> str:
    """Accuracy against coverage: up and to the right is better in both."""
    with _drawing():
        figure, axes = _figure(6.4, 3.4)
        for m, (one, share) in enumerate(zip(series, coverage, strict=True)):
            axes.plot(
                share,
                one.mean[0],
                marker=_MARKERS[m % len(_MARKERS)],
                color=PALETTE[m % len(PALETTE)],
                markersize=8,
                linestyle="none",
                label=one.name,
            )
        axes.set_xlabel(f"{x} (share of the catalogue shown to anybody)")
        axes.set_ylabel(y)
        axes.margins(0.12)
        axes.set_xlim(left=0)
        _from_zero(axes)
        axes.grid()
        _legend(figure, axes, len(series))
        return _svg(figure, "trade-off", f"{y} against {x}")


def inline_svg(figure: "Figure", name: str, title: str) -> str:
    """A figure as a page wants it, following the page's colours.

    Args:
        figure: Of this package, drawn for a page.
        name: Prefix of its ids; differs between pictures of one page.
        title: What a screen reader says.
    """
    with _drawing():
        return _svg(figure, name, title)


def _drawing(colours: tuple[str, str, str] = _PAGE) -> Any:
    import matplotlib as mpl  # here: importing it takes longer than most commands

    ink, faint, line = colours
    return mpl.rc_context(
        {
            # Fonts come from the page; text stays text, so it can be searched and read aloud.
            "svg.fonttype": "none",
            "svg.hashsalt": "crossfade",
            "font.family": "sans-serif",
            "font.size": 10,
            "text.parse_math": False,
            "text.color": ink,
            "axes.labelcolor": faint,
            "axes.edgecolor": line,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "xtick.color": line,
            "ytick.color": line,
            "xtick.labelcolor": ink,
            "ytick.labelcolor": ink,
            "grid.color": line,
            "grid.linewidth": 0.8,
            "axes.axisbelow": True,
            "lines.linewidth": 1.6,
        }
    )


def _figure(width: float, height: float) -> tuple["Figure", "Axes"]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_visible(False)
    axes = figure.add_subplot()
    axes.patch.set_visible(False)
    return figure, axes


def _points(axes: "Axes", one: Series, model: int, *, place: Any, across: bool) -> None:
    mean = np.asarray(one.mean)
    spread = np.stack([mean - np.asarray(one.low), np.asarray(one.high) - mean])
    # An interval that is not known is not drawn; a bootstrap interval may miss its mean by rounding.
    spread = np.maximum(np.nan_to_num(spread), 0.0)
    x, y, errors = (mean, place, {"xerr": spread}) if across else (place, mean, {"yerr": spread})
    axes.errorbar(
        x,
        y,
        **errors,
        fmt=_MARKERS[model % len(_MARKERS)],
        color=PALETTE[model % len(PALETTE)],
        markersize=5.5,
        capsize=0,
        label=one.name,
    )


def _from_zero(axes: "Axes") -> None:
    """A y axis that starts just below 0, so that points at 0 are seen whole."""
    top = axes.get_ylim()[1]
    axes.set_ylim(-0.03 * top, top)


def _legend(figure: "Figure", axes: "Axes", n_models: int) -> None:
    handles, names = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        names,
        loc="outside upper left",
        ncols=min(n_models, 5),
        frameon=False,
        fontsize=9,
        handletextpad=0.3,
        columnspacing=1.2,
    )


def _svg(figure: "Figure", name: str, title: str) -> str:
    buffer = StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    # Several pictures share one page: their ids must differ.
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = text.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
    for colour, variable in _CSS.items():
        text = text.replace(colour, variable)
    return text
