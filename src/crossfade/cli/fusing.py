"""`crossfade fuse`: somebody else's scores, blended by what people then did."""

import errno
import json
import math
import os
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossfade.cli.evaluating import fusion_lines, table_lines
from crossfade.cli.fitting import (
    ConfigOption,
    DeviceOption,
    FusionOption,
    JsonOption,
    SeedOption,
    read_config,
)
from crossfade.cli.recommending import moment

if TYPE_CHECKING:
    import polars as pl

    from crossfade.meta.outside import OutsideLists
    from crossfade.meta.outside_fusing import OutsideBlend
    from crossfade.meta.outside_report import Estimate, OutsideReport


FLAG = (
    "scores from elsewhere: nobody checked that what made them had not seen these outcomes; "
    "users are divided at random, not by time"
)


class ScoreFormat(StrEnum):
    """What `--format` accepts; a test keeps it equal to the library's formats."""

    auto = "auto"
    table = "table"
    lenskit = "lenskit"
    implicit = "implicit"
    recbole = "recbole"


def fuse(
    scores: Annotated[
        list[Path],
        typer.Option(
            "--scores",
            help="Scores of one or more bases: Parquet, CSV, TSV or NPZ; may be repeated.",
        ),
    ],
    events: Annotated[
        Path,
        typer.Option(
            "--events", help="What happened: a directory of `crossfade import`, or Parquet."
        ),
    ],
    items: Annotated[
        Path | None,
        typer.Option("--items", help="Catalogue for events in Parquet; also all items there are."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Parquet file for everybody's fused lists.")
    ] = None,
    fusion: FusionOption = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            help="When the scores were made: events before it are context, later ones outcomes. ISO 8601, UTC "
            "unless it has a zone. Leave it out where the scores have a column timestamp.",
        ),
    ] = None,
    format_name: Annotated[
        ScoreFormat, typer.Option("--format", help="What wrote the scores; auto finds out.")
    ] = ScoreFormat.auto,
    ignore_unknown: Annotated[
        bool,
        typer.Option("--ignore-unknown", help="Leave out scores of unknown users and items."),
    ] = False,
    shares: Annotated[
        str,
        typer.Option(
            "--shares", help="Shares of people who teach, who check, and who are held out."
        ),
    ] = "0.5,0.25,0.25",
    compare: Annotated[
        bool,
        typer.Option("--compare/--no-compare", help="Also fit and show the other fusion models."),
    ] = True,
    config: ConfigOption = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    device: DeviceOption = None,
) -> None:
    """Blend scores of other recommenders: learn from some people's outcomes, judge on others', fuse for all."""
    from crossfade.cli.progress import reporter
    from crossfade.meta.learning import installed
    from crossfade.meta.outside import make_lists
    from crossfade.meta.outside_events import read_events
    from crossfade.meta.outside_fusing import learn_outside
    from crossfade.meta.outside_report import fused_lists, judge_outside, write_lists
    from crossfade.meta.outside_table import read_scores
    from crossfade.progress import reporting_to

    when, parts = None if as_of is None else moment("--as-of", as_of), _shares(shares)
    settings = read_config(config, fusion, device)
    if out is not None:
        _check_place(out)  # now, not after the fitting
    with reporting_to(reporter()):
        happened = read_events(events, items)
        table = read_scores(
            scores,
            source=format_name.value,
            as_of=when,
            known=happened.known,
            ignore_unknown=ignore_unknown,
        )
        lists = make_lists(table, happened, settings.blend.n_candidates)
        others = installed(settings.compare if compare else ())
        blend = learn_outside(lists, settings.blend, others, parts, seed)
        report = judge_outside(lists, blend, settings.blend.depth, settings.evaluation, seed)
        fused = None if out is None else fused_lists(lists, blend)
        if out is not None and fused is not None:
            write_lists(fused, out)
    if as_json:
        document = to_json(lists, blend, report, settings.blend.depth, fused)
        typer.echo(
            json.dumps({**document, "out": None if out is None else str(out)}, allow_nan=False)
        )
        return
    for line in report_lines(lists, blend, report, settings.blend.depth):
        typer.echo(line)
    if out is not None and fused is not None:
        for line in fused_lines(fused, lists, out):
            typer.echo(line)


def _shares(text: str) -> tuple[float, float, float]:
    try:
        train, calibrate, test = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"{text} is not three numbers; write it like 0.5,0.25,0.25", param_hint="--shares"
        ) from None
    return train, calibrate, test


def _check_place(out: Path) -> None:
    """Raise `OSError` where no file can be written."""
    folder = out.absolute().parent
    if out.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(out))
    if not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def report_lines(
    lists: "OutsideLists", blend: "OutsideBlend", report: "OutsideReport", depth: int
) -> list[str]:
    """What came in, who taught, and what the people held out say."""
    facts = _facts(lists, blend)
    lines = [
        f"scores: {_count(len(lists.bases), 'base')}, {_count(facts['n_users'], 'user')}, "
        f"{_count(facts['n_lists'], 'list')}, {_count(facts['n_candidates'], 'candidate')}",
        f"outcomes ({lists.dataset.target.name}): {_count(facts['n_users_with_outcome'], 'user')} wanted "
        f"{_count(facts['n_wanted'], 'item')} since, {facts['share_listed']:.0%} of them on a list",
        "lists with an outcome, divided by user: "
        + ", ".join(f"{n:,} to {part}" for part, n in facts["split"].items()),
        *(f"note: {note}" for note in blend.notes),
        f"flag: {FLAG}",
    ]
    rows = [("model", "n", f"ndcg@{depth}")]
    rows += [(model.name, f"{model.n:,}", _estimate(model)) for model in report.models]
    lines += table_lines(rows, None)
    return lines + _verdict_lines(blend, report, depth)


def _verdict_lines(blend: "OutsideBlend", report: "OutsideReport", depth: int) -> list[str]:
    """Whether the blend may serve, and why."""
    if not blend.models:
        return [f"nothing was learned, so the best base serves alone: {blend.best_base}"]
    (gain,) = (gain for gain in report.gains if gain.name == blend.fusion)
    lines = [
        f"held out, {blend.fusion} minus {blend.best_base}, the best base when learning: {_estimate(gain, '+')}",
        f"do no harm, ndcg@{depth} where it was checked: {blend.fusion} {blend.calibrate_blend:.4f}, "
        f"{blend.best_base} {blend.calibrate_base:.4f}; {blend.serves} serves",
    ]
    if blend.serves == blend.fusion:
        lines += fusion_lines(blend.fusion, blend.models[blend.fusion])
    return lines


def fused_lines(fused: "pl.DataFrame", lists: "OutsideLists", out: Path) -> list[str]:
    """What was written."""
    from crossfade.meta.outside_report import mean_weights, n_answered

    weights = mean_weights(fused, lists.bases)
    known = [f"{base} {weight:.2f}" for base, weight in weights.items() if weight is not None]
    n_out, n_silent = len(lists.item_row) - fused.height, len(lists) - n_answered(fused)
    lines = [f"mean weights, where bases are weighed: {', '.join(known)}"] if known else []
    if n_out:
        what = "left out, because only bases without a weight score them"
        lines.append(f"note: {_count(n_out, 'candidate')} {what}")
    if n_silent:
        lines.append(f"note: {_count(n_silent, 'list')} without any score stay empty")
    n_users = fused["user_id"].n_unique()
    return [*lines, f"fused: {out} ({_count(fused.height, 'row')}, {_count(n_users, 'user')})"]


def to_json(
    lists: "OutsideLists",
    blend: "OutsideBlend",
    report: "OutsideReport",
    depth: int,
    fused: "pl.DataFrame | None" = None,
) -> dict[str, Any]:
    """The same as one document; NaN becomes null."""
    from crossfade.fusion.auto import AutoFusion
    from crossfade.meta.outside_report import mean_weights

    metric = f"ndcg@{depth}"
    model = blend.models.get(blend.fusion)
    verdicts = model.verdicts if isinstance(model, AutoFusion) else ()
    checked = {"blend": blend.calibrate_blend, "best_base": blend.calibrate_base}
    return {
        **_facts(lists, blend),
        "bases": list(lists.bases),
        "target": lists.dataset.target.name,
        "context": lists.context is not None,
        "notes": list(blend.notes),
        "flags": [FLAG],
        "metric": metric,
        "models": [_clean(asdict(estimate)) for estimate in report.models],
        "gains": [_clean(asdict(estimate)) for estimate in report.gains],
        "best_base": blend.best_base,
        "fusion": blend.fusion,
        "checked": _clean(checked),
        "serves": blend.serves,
        "verdicts": [_clean(vars(verdict)) for verdict in verdicts],
        "mean_weights": None if fused is None else mean_weights(fused, lists.bases),
        "n_rows": None if fused is None else fused.height,
    }


def _facts(lists: "OutsideLists", blend: "OutsideBlend") -> dict[str, Any]:
    n_wanted, split = int(lists.n_relevant.sum()), blend.split
    return {
        "n_users": len(set(lists.user_row.tolist())),
        "n_lists": len(lists),
        "n_candidates": len(lists.item_row),
        "n_users_with_outcome": len(set(lists.user_row[lists.n_relevant > 0].tolist())),
        "n_wanted": n_wanted,
        "share_listed": float(lists.relevant.sum()) / n_wanted,
        "split": {
            "learn": len(split.train),
            "check": len(split.calibrate),
            "hold out": len(split.test),
        },
    }


def _clean(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in values.items()
    }


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _estimate(estimate: "Estimate", sign: str = "") -> str:
    if math.isnan(estimate.mean):
        return "–"
    text = f"{estimate.mean:{sign}.4f}"
    if math.isnan(estimate.low):
        return text
    return f"{text} [{estimate.low:{sign}.4f}, {estimate.high:{sign}.4f}]"
