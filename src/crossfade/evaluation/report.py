"""One self-contained HTML page that says what was asked and what was found."""

import json
import math
from collections.abc import Sequence
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from crossfade.evaluation.candidates_section import candidates_section
from crossfade.evaluation.config import ACCURACY, split
from crossfade.evaluation.cost_section import cost_section
from crossfade.evaluation.findings import Findings
from crossfade.evaluation.landscape_section import landscape_section, weights_text
from crossfade.evaluation.output import estimate_text, number_text, to_json
from crossfade.evaluation.plots import PALETTE, Series, by_slice, forest, trade_off
from crossfade.evaluation.result import Evaluation
from crossfade.evaluation.samples_section import samples_section
from crossfade.evaluation.trust_section import trust_section

PROTOCOLS = {
    "time": "The log is cut at fixed moments. Models learn from everything before a cut and are asked at it: "
    "what new items will each user want next? Items a user already met may not be recommended.",
    "user": "Each user's own history is cut by share. Models learn from the earlier part of every history and "
    "are asked for the later one. Items a user already met may not be recommended.",
    "leave-last": "The last wanted item of each user is held out and must be found among all items the user has "
    "not met before.",
    "repeat": "The log is cut at fixed moments. In the middle of each later session models are asked what will be "
    "wanted in the rest of it. Items already met may come again.",
    "cold-users": "Some users are kept out of training altogether. They show their first few events and are "
    "then asked what they want.",
    "cold-items": "Some items are kept out of training altogether. Models rank only those items for each user.",
}
EXPLAINED = {
    "ndcg": "wanted items found, the higher in the list the better",
    "recall": "share of all wanted items that are in the list",
    "precision": "share of the list that was wanted",
    "map": "precision at the ranks of the wanted items, averaged",
    "mrr": "one over the rank of the first wanted item",
    "hr": "share of users with any wanted item in the list",
    "novelty": "bits: how few training users know the listed items",
    "diversity": "how much genres differ within a list",
    "popularity": "share of training users who know the listed items",
    "coverage": "share of the catalogue shown to anybody",
    "gini": "inequality of exposure; 0 is equal",
    "answered": "requests that got any list",
}
FAMILIES = {
    "history_length": "Events in the history when the request was made",
    "user": "Whether training holds any event of the user",
    "item_popularity": "Wanted items by how many training users know them; decile 10 is the best known tenth",
    "item_metadata": "Wanted items by what the catalogue knows: title, creator, genres, audio",
    "item_age": "Wanted items by the time since their first event in training",
}


def to_html(evaluation: Evaluation, findings: Findings | None = None) -> str:
    """The report as one HTML document without scripts or outside files.

    Equal evaluations and findings give equal bytes.

    Args:
        evaluation: What to show.
        findings: What was found beside the table; what is not there has no section.
    """
    findings = findings or Findings()
    config, about = evaluation.config, evaluation.about
    ranking = evaluation.ranking()
    measured = (*config.metrics, "answered")
    accuracy = [metric for metric in measured if _name(metric) in ACCURACY]
    page = template("report.html.j2").render(
        about=about,
        asked=PROTOCOLS.get(about.protocol or "", "Requests were made by hand."),
        n_users=evaluation.n_users,
        n_models=len(ranking),
        n_events=_n_events(evaluation),
        level=f"{config.level:.0%}",
        primary=config.primary,
        blocks=_blocks(evaluation),
        accuracy=_table(evaluation, ranking, accuracy),
        beyond=_table(evaluation, ranking, [m for m in measured if m not in accuracy]),
        colour={name: PALETTE[m % len(PALETTE)] for m, name in enumerate(ranking)},
        plots=_plots(evaluation, ranking),
        **_sections(findings, about.target),
        losses=_losses(evaluation, ranking[0]),
        best=ranking[0],
        comparisons=_comparisons(evaluation),
        families=_families(evaluation, ranking),
        settings=json.dumps(to_json(evaluation)["settings"], indent=2, ensure_ascii=False),
        flips=f"{config.flips:,}",
        resamples=f"{config.resamples:,}",
    )
    return page + "\n"


def template(name: str) -> Template:
    """A page or part of one; what is put into it is escaped."""
    environment = Environment(
        loader=PackageLoader("crossfade.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _sections(findings: Findings, target: str) -> dict[str, Any]:
    trust, landscape, cost = findings.trust, findings.landscape, findings.cost
    candidates = findings.candidates
    return {
        "trust": None if trust is None else trust_section(trust, target),
        "landscape": None if landscape is None else landscape_section(landscape),
        "candidates": None if candidates is None else candidates_section(candidates),
        "static": weights_text(findings.static),
        "samples": samples_section(findings.samples),
        "cost": None if cost is None else cost_section(cost),
    }


def _name(metric: str) -> str:
    return metric if metric == "answered" else split(metric)[0]


def _n_events(evaluation: Evaluation) -> int:
    return sum(int(str(block["n_events"])) for block in evaluation.about.blocks.values())


def _blocks(evaluation: Evaluation) -> list[dict[str, Any]]:
    total = _n_events(evaluation)
    return [
        {
            "name": name,
            "n_events": f"{block['n_events']:,}",
            "share": 100 * int(str(block["n_events"])) / max(total, 1),
            "start": "" if block["start"] is None else str(block["start"])[:10],
        }
        for name, block in evaluation.about.blocks.items()
    ]


def _table(
    evaluation: Evaluation, ranking: Sequence[str], metrics: Sequence[str]
) -> dict[str, Any]:
    """Cells as text, with the share of the best value for the bar behind each."""
    cells = {(row["model"], row["metric"]): row for row in evaluation.summary.iter_rows(named=True)}
    rows = []
    for model in ranking:
        row = []
        for metric in metrics:
            cell = cells[model, metric]
            top = max((_value(cells[m, metric]["mean"]) for m in ranking), default=0.0)
            mean, _, interval = estimate_text(cell).partition(" ")
            share = 100 * _value(cell["mean"]) / top if top > 0 else 0.0
            row.append({"mean": mean, "interval": interval, "share": max(share, 0.0)})
        n = f"{cells[model, evaluation.config.primary]['n']:,}"
        rows.append({"model": model, "n": n, "cells": row})
    header = [{"name": metric, "says": EXPLAINED[_name(metric)]} for metric in metrics]
    return {"header": header, "rows": rows}


def _value(number: float) -> float:
    return 0.0 if math.isnan(number) else number


def _plots(evaluation: Evaluation, ranking: Sequence[str]) -> dict[str, Markup]:
    config = evaluation.config
    main = [_series(evaluation.summary, name, [config.primary], "metric") for name in ranking]
    # The SVG is made here from escaped text, so the page may take it as it is.
    plots = {"forest": Markup(forest(main, config.primary))}  # noqa: S704
    shown = [metric for metric in config.overall if split(metric)[0] == "coverage"]
    if shown:
        coverage = [evaluation.mean(name, shown[0]) for name in ranking]
        plots["trade_off"] = Markup(trade_off(main, coverage, shown[0], config.primary))  # noqa: S704
    recall = f"recall@{config.slice_recall_k}"
    for family, metric in (("history_length", config.primary), ("item_popularity", recall)):
        rows = evaluation.slices.filter(pl.col("family") == family, pl.col("metric") == metric)
        labels = rows["slice"].unique(maintain_order=True).to_list()
        first = rows.filter(pl.col("model") == ranking[0])
        series = [_series(rows, name, labels, "slice") for name in ranking]
        short = [
            label.replace("unseen in training", "unseen").replace("decile ", "") for label in labels
        ]
        svg = by_slice(series, short, first["n"].to_list(), metric, family)
        plots[family] = Markup(svg)  # noqa: S704
    return plots


def _series(frame: pl.DataFrame, model: str, keys: Sequence[str], column: str) -> Series:
    rows = {
        row[column]: row for row in frame.filter(pl.col("model") == model).iter_rows(named=True)
    }
    return Series(
        model,
        [rows[key]["mean"] for key in keys],
        [rows[key]["low"] for key in keys],
        [rows[key]["high"] for key in keys],
    )


def _losses(evaluation: Evaluation, model: str) -> list[dict[str, str]]:
    rows = evaluation.losing_slices(model).filter(pl.col("difference") < 0)
    return [
        {
            "where": f"{row['family'].replace('_', ' ')}: {row['slice']}",
            "metric": row["metric"],
            "n": f"{row['n']:,}",
            "mean": number_text(row["mean"]),
            "other": row["best_other"],
            "difference": _signed(row["difference"]),
            "interval": _interval(row["difference_low"], row["difference_high"]),
        }
        for row in rows.iter_rows(named=True)
    ]


def _comparisons(evaluation: Evaluation) -> list[dict[str, Any]]:
    return [
        {
            "model": row["model"],
            "other": row["other"],
            "against": row["against"],
            "n": f"{row['n']:,}",
            "difference": _signed(row["difference"]),
            "interval": _interval(row["low"], row["high"]),
            "p": f"{row['p']:.4f}",
            "p_holm": f"{row['p_holm']:.4f}",
            "sure": row["p_holm"] < 1 - evaluation.config.level,
            "better": row["difference"] > 0,
        }
        for row in evaluation.comparisons.iter_rows(named=True)
    ]


def _families(evaluation: Evaluation, ranking: Sequence[str]) -> list[dict[str, Any]]:
    """Every slice on its leading metric: one line per slice, one cell per model."""
    families = []
    recall = f"recall@{evaluation.config.slice_recall_k}"
    for name in evaluation.slices["family"].unique(maintain_order=True):
        metric = recall if name.startswith("item_") else evaluation.config.primary
        rows = evaluation.slices.filter(pl.col("family") == name, pl.col("metric") == metric)
        lines = []
        for label in rows["slice"].unique(maintain_order=True):
            cells = {
                row["model"]: row
                for row in rows.filter(pl.col("slice") == label).iter_rows(named=True)
            }
            best = max(_value(cell["mean"]) for cell in cells.values())
            texts = [estimate_text(cells[model]).partition(" ") for model in ranking]
            lines.append(
                {
                    "label": label,
                    "n": f"{cells[ranking[0]]['n']:,}",
                    "cells": [
                        {
                            "mean": mean,
                            "interval": interval,
                            "best": 0 < best == cells[model]["mean"],
                        }
                        for model, (mean, _, interval) in zip(ranking, texts, strict=True)
                    ],
                }
            )
        families.append(
            {
                "name": name.replace("_", " "),
                "says": FAMILIES[name],
                "metric": metric,
                "models": list(ranking),
                "lines": lines,
            }
        )
    return families


def _signed(value: float) -> str:
    if math.isnan(value):
        return "–"
    # What rounds to nothing has no sign to speak of.
    return f"{value:+.4f}" if round(value, 4) else "0.0000"


def _interval(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"[{_signed(low)}, {_signed(high)}]"
