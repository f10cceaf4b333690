"""The picture of `crossfade inspect`: weights over a history, and how sure the first item is."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from crossfade.errors import ConfigError
from crossfade.evaluation.area_plots import Areas, draw_areas
from crossfade.evaluation.journey import Journey
from crossfade.evaluation.plots import _PAGE, _PAPER, PALETTE, _drawing, _legend, _svg
from crossfade.evaluation.report import template

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = (".png", ".svg", ".html")
"""What a picture may be, by the end of its name."""

DOTS_PER_INCH = 150


def write_picture(journey: Journey, file: Path) -> None:
    """Draw a journey into a file, as the end of its name says.

    Args:
        journey: With at least one moment at which bases are weighed.
        file: Ends in one of `KINDS`; its folder is created.

    Raises:
        ConfigError: If it ends otherwise.
    """
    check_kind(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".html":
        file.write_text(page(journey), encoding="utf-8")
    elif file.suffix == ".svg":
        text = picture(journey, _PAPER)
        head = '<?xml version="1.0" encoding="utf-8"?>\n'
        file.write_text(head + text, encoding="utf-8")
    else:
        with _drawing(_PAPER):
            figure = _figure(journey)
            figure.patch.set(visible=True, facecolor="white")
            figure.savefig(file, format="png", dpi=DOTS_PER_INCH)


def check_kind(file: Path) -> None:
    """Raise `ConfigError` unless `write_picture` knows what to write."""
    if file.suffix not in KINDS:
        raise ConfigError(
            f"{file}: a picture ends in {', '.join(KINDS[:-1])} or {KINDS[-1]}; name the file so"
        )


def picture(journey: Journey, colours: tuple[str, str, str] = _PAGE) -> str:
    """As SVG, in the colours of a page or in those of paper."""
    with _drawing(colours):
        return _svg(_figure(journey), "journey", f"Weights over the history of {_plain(journey)}")


def page(journey: Journey) -> str:
    """As one HTML document without scripts or outside files, with the numbers below."""
    ranked = journey.ranked()
    rows = [
        {
            "events": f"{one.n_events:,}",
            "as_of": "" if one.as_of is None else one.as_of[:16].replace("T", " "),
            "by": journey.model if one.by == "model" else one.by,
            "cells": [f"{one.weights[base]:.2f}" if one.weights else "–" for base in ranked],
            "first": one.item_id or "–",
            "probability": "–" if one.probability is None else f"{one.probability:.1%}",
            "uncertainty": "–" if one.uncertainty is None else f"{one.uncertainty:.3f}",
        }
        for one in journey.moments
    ]
    shown = template("journey.html.j2").render(
        journey=journey,
        ranked=ranked,
        rows=rows,
        notes=journey.notes(),
        # The SVG is made here from escaped text, so the page may take it as it is.
        picture=Markup(picture(journey)),  # noqa: S704
    )
    return shown + "\n"


def _plain(journey: Journey) -> str:
    """The user's id as it may stand in an attribute."""
    return str(Markup.escape(journey.user_id))


def _figure(journey: Journey) -> "Figure":
    from matplotlib.figure import Figure

    curves = [
        (title, values)
        for title, values in (
            ("probability", [one.probability for one in journey.moments]),
            ("uncertainty", [one.uncertainty for one in journey.moments]),
        )
        if any(value is not None for value in values)
    ]
    figure = Figure(figsize=(10.8, 3.6 + 1.3 * len(curves)), layout="constrained")
    figure.patch.set_visible(False)
    ratios = [3.0, *(1.0 for _ in curves)]
    all_axes = figure.subplots(
        len(ratios), sharex=True, squeeze=False, gridspec_kw={"height_ratios": ratios}
    )[:, 0]
    for axes in all_axes:
        axes.patch.set_visible(False)
    areas = Areas.of([one.weights for one in journey.moments], journey.bases)
    draw_areas(all_axes[0], areas)
    for axes, (title, values) in zip(all_axes[1:], curves, strict=True):
        _curve(axes, title, values)
    all_axes[-1].set_xticks(range(len(journey.moments)), _ticks(journey))
    asked = "" if journey.moments[0].as_of is None else ", and when the list is asked for"
    all_axes[-1].set_xlabel(f"events in the history of {journey.user_id}{asked}")
    _legend(figure, all_axes[0], len(areas.names))
    return figure


def _curve(axes: "Axes", title: str, values: Sequence[float | None]) -> None:
    """Of the first item of each list, from 0."""
    y = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    axes.plot(range(len(y)), y, "o-", color=PALETTE[0], markersize=4.5)
    axes.set_ylim(0, 1.15 * float(np.nanmax(y)) or 1.0)
    axes.set_ylabel(f"{title}\nof the first")
    axes.grid(axis="y")


def _ticks(journey: Journey) -> list[str]:
    return [
        "\n".join(
            [
                f"{one.n_events:,}",
                *([] if one.as_of is None else [one.as_of[:10]]),
                *(["static"] if one.by == "static" else []),
            ]
        )
        for one in journey.moments
    ]
