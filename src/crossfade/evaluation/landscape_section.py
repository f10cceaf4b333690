"""The report's section on the weight landscape."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from crossfade.evaluation.area_plots import Areas, areas_figure
from crossfade.evaluation.landscape import UNKNOWN, Landscape, WeightBin, unweighed_text
from crossfade.evaluation.plots import inline_svg

N_TOLD = 3
"""Bases named in a sentence."""

ENOUGH = 10
"""Requests of a bin that a sentence may speak of."""


HISTORY = ("history", "wanted events in the history of who asks", "requests")
AGE = ("age", "time since the first event of the item", "candidates")
"""Name of a picture, what its bins are of, and what is counted below them."""


def landscape_section(landscape: Landscape) -> dict[str, Any]:
    """What ``landscape.html.j2`` shows."""
    bases = landscape.bases
    plots = [
        _plot(landscape.by_history, bases, *HISTORY),
        _plot(landscape.by_age, bases, *AGE),
    ]
    return {
        "model": landscape.model,
        "n": f"{landscape.n:,}",
        "without": f"{landscape.n_without:,}" if landscape.n_without else "",
        "unweighed": unweighed_text(landscape.model, landscape.unweighed),
        "modalities": weights_text(landscape.modalities),
        "told": [
            *_told(landscape.by_history, "Wanted events before: {}"),
            *_told(landscape.by_age, "Age of the item: {}"),
        ],
        "plots": [plot for plot in plots if plot],
        "tables": [
            _table(title, bins, landscape.bases)
            for title, bins in (
                ("wanted events", landscape.by_history),
                ("age of the item", landscape.by_age),
            )
            if bins
        ],
    }


def _plot(
    bins: Sequence[WeightBin], bases: Sequence[str], name: str, across: str, counted: str
) -> Markup:
    if not bins:
        return Markup()
    weights, ticks = [], []
    for one in bins:
        n = one.n_requests if counted == "requests" else one.n
        weights.append(one.mean)
        ticks.append(f"{one.name}\nn = {n:,}")
        if one.name == UNKNOWN:  # what is unknown lies beside no age
            weights.append({})
            ticks.append("")
    figure = areas_figure(Areas.of(weights, bases), ticks, f"{across} (n: {counted})")
    # The SVG is made here from escaped text, so the page may take it as it is.
    return Markup(inline_svg(figure, f"weights-{name}", f"Mean weight of each base by {name}"))  # noqa: S704


def _told(bins: Sequence[WeightBin], where: str) -> list[str]:
    """Whom the first and the last bin with enough requests trust most; nothing where there is but one."""
    there = [one for one in bins if one.n_requests >= ENOUGH and one.name != UNKNOWN]
    if len(there) < 2:
        return []
    return [f"{where.format(one.name)} – {_largest(one)}." for one in (there[0], there[-1])]


def _largest(one: WeightBin) -> str:
    ranked = sorted(one.mean.items(), key=lambda pair: -pair[1])[:N_TOLD]
    return weights_text(dict(ranked))


def weights_text(weights: Mapping[str, float]) -> str:
    """Such as ``ease 0.70, nmf 0.30``, the largest first, without what rounds to nothing."""
    ranked = sorted(weights.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{base} {weight:.2f}" for base, weight in ranked if round(weight, 2))


def _table(title: str, bins: Sequence[WeightBin], bases: Sequence[str]) -> dict[str, Any]:
    return {
        "title": title,
        "bases": bases,
        "rows": [
            {
                "name": one.name,
                "n": f"{one.n:,}",
                "requests": f"{one.n_requests:,}",
                "cells": [f"{one.mean[base]:.2f}" if one.mean else "–" for base in bases],
            }
            for one in bins
        ],
    }
