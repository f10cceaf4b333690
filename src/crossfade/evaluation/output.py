"""An evaluation as JSON and as rows for a terminal."""

import math
from typing import Any

import polars as pl

from crossfade.evaluation.config import ACCURACY, split
from crossfade.evaluation.findings import Findings
from crossfade.evaluation.result import Evaluation
from crossfade.evaluation.trust import NOTHING


def to_json(evaluation: Evaluation, findings: Findings | None = None) -> dict[str, Any]:
    """The document that ``crossfade evaluate --json`` prints; NaN becomes null.

    Models come best first. ``slices`` nests family, slice, model, metric; the leading metric
    of a slice also says how it stands ``versus`` the best other model.

    Args:
        evaluation: What to show.
        findings: What was found beside the table. Of trust the keys of `Trust.to_json`, empty
            without it; ``landscape`` and ``candidates``, null without them. Samples are for people,
            and cost differs from run to run: neither is in the document.
    """
    about, findings = evaluation.about, findings or Findings()
    trust, landscape, candidates = findings.trust, findings.landscape, findings.candidates
    return {
        "dataset": about.dataset,
        "target": about.target,
        "protocol": about.protocol,
        "flags": list(about.flags),
        "blocks": about.blocks,
        "n_users": evaluation.n_users,
        "n_requests": about.n_requests,
        "n_items": about.n_items,
        "seed": about.seed,
        "models": _models(evaluation),
        "comparisons": [_clean(row) for row in evaluation.comparisons.iter_rows(named=True)],
        "slices": _slices(evaluation),
        **(NOTHING if trust is None else trust.to_json()),
        "landscape": None if landscape is None else landscape.to_json(),
        "candidates": None if candidates is None else candidates.to_json(),
        "settings": {
            "protocol": about.protocol_rules,
            "target": about.target_rules,
            "evaluation": evaluation.config.model_dump(mode="json"),
        },
    }


def table_rows(
    evaluation: Evaluation, metrics: tuple[str, ...] | None = None
) -> list[tuple[str, ...]]:
    """The main table as text: a header, then one row per model, best first.

    Args:
        evaluation: What to show.
        metrics: Columns; by default the primary metric, the first other accuracy metric,
            everything beyond accuracy that has no interval, and ``answered``.
    """
    if metrics is None:
        config = evaluation.config
        accuracy = [m for m in config.metrics if split(m)[0] in ACCURACY and m != config.primary]
        metrics = (config.primary, *accuracy[:1], *config.overall, "answered")
    rows = [("model", "n", *metrics)]
    for model in evaluation.ranking():
        cells = {
            row["metric"]: row
            for row in evaluation.summary.filter(pl.col("model") == model).iter_rows(named=True)
        }
        n = f"{cells[evaluation.config.primary]['n']:,}"
        rows.append((model, n, *(estimate_text(cells[metric]) for metric in metrics)))
    return rows


def estimate_text(row: dict[str, Any]) -> str:
    """A mean with its interval where it has one, such as ``0.0512 [0.0489, 0.0536]``."""
    if row["metric"] == "answered":
        return "–" if math.isnan(row["mean"]) else f"{row['mean']:.1%}"
    mean = number_text(row["mean"])
    if math.isnan(row["low"]):
        return mean
    return f"{mean} [{number_text(row['low'])}, {number_text(row['high'])}]"


def number_text(value: float | None) -> str:
    """Four decimals, three significant ones above 10; a dash where there is no number."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def _models(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    models: dict[str, dict[str, Any]] = {name: {} for name in evaluation.ranking()}
    for row in evaluation.summary.iter_rows(named=True):
        cell = {key: row[key] for key in ("mean", "low", "high", "n")}
        models[row["model"]][row["metric"]] = _clean(cell)
    return models


def _slices(evaluation: Evaluation) -> dict[str, Any]:
    slices: dict[str, Any] = {}
    for row in evaluation.slices.iter_rows(named=True):
        cell: dict[str, Any] = {key: row[key] for key in ("mean", "low", "high", "n")}
        if row["best_other"] is not None:
            cell["versus"] = _clean(
                {
                    "model": row["best_other"],
                    "difference": row["difference"],
                    "low": row["difference_low"],
                    "high": row["difference_high"],
                }
            )
        family = slices.setdefault(row["family"], {}).setdefault(row["slice"], {})
        family.setdefault(row["model"], {})[row["metric"]] = _clean(cell)
    return slices


def _clean(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: what could not be measured is null."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }
