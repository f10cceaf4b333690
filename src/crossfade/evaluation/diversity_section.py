"""The report's section on what diversity costs."""

import math
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from crossfade.evaluation.diversity import Compared, DiversityCurve
from crossfade.evaluation.output import number_text
from crossfade.evaluation.plots import PALETTE, _drawing, _figure, inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def diversity_section(curve: DiversityCurve) -> dict[str, Any]:
    """What ``diversity.html.j2`` shows."""
    title = f"NDCG@{curve.k} against diversity of lists"
    return {
        "model": curve.model,
        "k": curve.k,
        "level": f"{curve.level:.0%}",
        "n_requests": f"{curve.n_requests:,}",
        "n_users": f"{curve.n_users:,}",
        "n_diverse": f"{curve.n_diverse:,}",
        # The SVG is made here from numbers, so the page may take it as it is.
        "plot": Markup(inline_svg(_curve(curve), "diversity", title)),  # noqa: S704
        "rows": [
            {"strength": f"{one.strength:g}", "cells": [_cell(one.ndcg), _cell(one.diversity)]}
            for one in curve.points
        ],
    }


def _curve(curve: DiversityCurve) -> "Figure":
    with _drawing():
        figure, axes = _figure(6.4, 3.4)
        x = [one.diversity.mean for one in curve.points]
        y = [one.ndcg.mean for one in curve.points]
        axes.plot(x, y, marker="o", color=PALETTE[0])
        for one, place in zip(curve.points, zip(x, y, strict=True), strict=True):
            axes.annotate(
                f"{one.strength:g}", place, xytext=(4, 6), textcoords="offset points", fontsize=9
            )
        axes.set_xlabel(f"diversity within lists of {curve.k}")
        axes.set_ylabel(f"ndcg@{curve.k}")
        axes.margins(0.12)
        axes.set_ylim(0, 1.2 * max(y) or 1.0)
        axes.grid()
        return figure


def _cell(one: Compared) -> dict[str, str]:
    change = ""
    if not math.isnan(one.change_low):
        change = f"{one.change:+.1%} [{one.change_low:+.1%}, {one.change_high:+.1%}]"
    interval = "" if math.isnan(one.low) else f"[{number_text(one.low)}, {number_text(one.high)}]"
    return {"mean": number_text(one.mean), "interval": interval, "change": change}
