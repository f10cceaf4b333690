"""The report's section on probabilities, sets, uncertainty and weights."""

from typing import Any

from markupsafe import Markup

from crossfade.evaluation.calibration_plots import reliability_figure, risk_coverage_figure
from crossfade.evaluation.output import number_text
from crossfade.evaluation.plots import inline_svg
from crossfade.evaluation.trust import ConfidenceRow, CoverageRow, Trust


def trust_section(trust: Trust, target: str) -> dict[str, Any]:
    """What ``trust.html.j2`` shows.

    Args:
        trust: Of the model that serves.
        target: What counts as wanted, such as "plays".
    """
    reliability = reliability_figure([trust.reliability], f"the user {target}")
    risk = risk_coverage_figure(trust.risks, "share not wanted")
    return {
        "model": trust.model,
        "calibrator": trust.calibrator,
        # The SVG is made here from escaped text, so the page may take it as it is.
        "reliability": Markup(inline_svg(reliability, "reliability", "Reliability")),  # noqa: S704
        "risk": Markup(inline_svg(risk, "risk", "Risk against coverage")),  # noqa: S704
        "rows": [
            {
                "title": row.title,
                "n": f"{row.n:,}",
                "requests": f"{row.n_requests:,}",
                "share": f"{row.share:.2%}",
                "error": row.error_text.partition(" "),
                "brier": number_text(row.brier),
                "log_loss": number_text(row.log_loss),
            }
            for row in trust.rows
        ],
        "coverage": [_covered(row) for row in trust.coverage],
        "sorting": [row.text for row in trust.sorting],
        "bases": [] if not trust.weights else list(trust.weights[0].mean),
        "weights": [
            {
                "name": row.name,
                "n": f"{row.n:,}",
                "cells": [
                    (f"{row.mean[base]:.2f}", f"± {row.spread[base]:.2f}") for base in row.mean
                ],
                "speaking": f"{row.speaking:.1f}",
            }
            for row in trust.weights
        ],
        "confidences": [_believed(row) for row in trust.confidences],
    }


def _covered(row: CoverageRow) -> dict[str, Any]:
    return {
        "promise": row.promise,
        "name": row.name,
        "n": f"{row.n_wanted:,}",
        "nominal": f"{row.nominal:.0%}",
        "share": row.text.partition(" "),
        "by_request": f"{row.by_request:.1%}",
        "size": f"{row.mean_size:.0f} of {row.mean_candidates:.0f}",
    }


def _believed(row: ConfidenceRow) -> dict[str, str]:
    error = row.calibration_error
    return {
        "base": row.base,
        "n": f"{row.n:,}",
        "stated": f"{row.stated:.2%}",
        "share": f"{row.share:.2%}",
        "error": number_text(None if error is None else error["debiased"]),
        "brier": number_text(row.brier),
        "log_loss": number_text(row.log_loss),
    }
