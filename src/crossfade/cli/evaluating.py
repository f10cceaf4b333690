"""`crossfade evaluate`: a protocol's numbers as a table, JSON and a report."""

import errno
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from crossfade.cli.fitting import (
    CacheOption,
    ConfigOption,
    DatasetArgument,
    DeviceOption,
    FusionOption,
    JsonOption,
    SeedOption,
    open_cache,
    read_config,
)

if TYPE_CHECKING:
    from crossfade.evaluation import Evaluation
    from crossfade.fusion.base import FusionModel
    from crossfade.fusion.verdict import Verdict
    from crossfade.hybrid import HybridConfig
    from crossfade.meta.blending import BlendChoice
    from crossfade.meta.experiment import Experiment


ProtocolOption = Annotated[
    str | None,
    typer.Option("--protocol", help="time, user, leave-last, repeat, cold-users or cold-items."),
]
CompareOption = Annotated[
    bool, typer.Option("--compare/--no-compare", help="Also fit and show the other fusion models.")
]
ScoresOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--scores", help="Parquet of user_id, item_id, score to judge as well; may be repeated."
    ),
]


def evaluate(
    dataset: DatasetArgument,
    config: ConfigOption = None,
    protocol: ProtocolOption = None,
    seed: SeedOption = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Also write results.json, per_user.parquet and report.html here."
        ),
    ] = None,
    as_json: JsonOption = False,
    fusion: FusionOption = None,
    compare: CompareOption = True,
    scores: ScoresOption = None,
    cache: CacheOption = None,
    device: DeviceOption = None,
) -> None:
    """Judge every base and the ways to blend them on the last block of the log."""
    from crossfade.evaluation import save, to_json

    experiment = run_protocol(
        dataset,
        read_config(config, fusion, device),
        protocol,
        seed,
        folder=out,
        compare=compare,
        scores=scores,
        cache=cache,
    )
    if out is not None:
        save(experiment.evaluation, out, experiment.findings)
    if as_json:
        answer = {
            **to_json(experiment.evaluation, experiment.findings),
            "fusion": experiment.fusion,
        }
        typer.echo(json.dumps(answer, allow_nan=False))
        return
    print_evaluation(experiment.evaluation)
    for line in blend_lines(experiment):
        typer.echo(line)
    if out is not None:
        typer.echo(f"report: {out / 'report.html'}")


def run_protocol(
    dataset: Path,
    settings: "HybridConfig",
    protocol: str | None,
    seed: int,
    *,
    folder: Path | None,
    compare: bool,
    scores: Sequence[Path] | None,
    cache: Path | None,
) -> "Experiment":
    """What `evaluate` and `report` have in common: everything but what is written.

    Args:
        dataset: Directory written by `crossfade import`.
        settings: From the file and the flags.
        protocol: Name of another protocol than that of the settings.
        seed: The run's one seed.
        folder: Where something will be written; it is seen to now, not after an hour of fitting.
        compare: Whether other fusion models are judged too.
        scores: Files of scores from elsewhere.
        cache: Keeps candidate lists.
    """
    from crossfade.cli.progress import reporter
    from crossfade.data import load_dataset
    from crossfade.data.splits import ProtocolName
    from crossfade.evaluation import read_scores
    from crossfade.meta.experiment import check_names, evaluate
    from crossfade.progress import reporting_to

    if protocol is not None and protocol not in get_args(ProtocolName):
        choices = ", ".join(get_args(ProtocolName))
        raise typer.BadParameter(f"{protocol} is none of {choices}", param_hint="--protocol")
    check_names(settings.bases, [path.stem for path in scores or []])
    if protocol is not None:
        settings = settings.changed(protocol=settings.protocol.changed(name=protocol))
    kept = open_cache(cache, settings)
    with reporting_to(reporter()):
        data = load_dataset(dataset)
        if folder is not None:
            _make_writable(folder)
        given = {path.stem: read_scores(path, data) for path in scores or []}
        return evaluate(data, settings, seed, scores=given, compare=compare, cache=kept)


def _make_writable(directory: Path) -> None:
    """Create the place of the report.

    Raises:
        OSError: If it cannot be, or nothing can be written there.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if not os.access(directory, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(directory))


def print_evaluation(evaluation: "Evaluation") -> None:
    """What was asked, the table, and the slices the best model loses."""
    from crossfade.evaluation import table_rows

    typer.echo(evaluation.headline)
    for flag in evaluation.about.flags:
        typer.echo(f"flag: {flag}")
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in table_lines(table_rows(evaluation), width):
        typer.echo(line)


def table_lines(rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """A table as aligned text; what does not fit beside the first two columns goes below.

    No cell is ever cut: half an interval, or a mean without its n, would be a wrong number.
    """
    widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
    groups: list[list[int]] = [[0, 1]]
    for column in range(2, len(widths)):
        wider = [*groups[-1], column]
        fits = width is None or sum(widths[c] + 2 for c in wider) - 2 <= width
        if fits or len(groups[-1]) == 2:
            groups[-1] = wider
        else:
            groups.append([0, 1, column])
    lines = []
    for place, group in enumerate(groups):
        lines += [""] if place else []
        for row in rows:
            cells = [row[c].rjust(widths[c]) for c in group[1:]]
            lines.append("  ".join([row[0].ljust(widths[0]), *cells]))
    return lines


def blend_lines(experiment: "Experiment") -> list[str]:
    """How the blend came about, and what bases say about themselves."""
    model = experiment.learned.models.get(experiment.fusion)
    lines = choice_lines(experiment.choice)
    lines += fusion_lines(experiment.fusion, model)
    for part in (experiment.findings.candidates, experiment.trust):
        lines += [] if part is None else part.lines()
    lines += [f"note: {text}" for label in experiment.notices for text in experiment.notices[label]]
    return lines


def choice_lines(choice: "BlendChoice") -> list[str]:
    """The static blend."""
    used = sorted(((w, label) for label, w in choice.weights.items() if w > 0), reverse=True)
    lines = [
        f"static blend ({choice.scaling}): " + ", ".join(f"{label} {w:.2f}" for w, label in used)
    ]
    if choice.calibrate_blend < choice.calibrate_base:
        lines.append(
            f"the tuned static blend lost to {choice.best_base} on the calibrate block "
            f"({choice.calibrate_blend:.4f} to {choice.calibrate_base:.4f}), so that base serves in its place"
        )
    return lines


def _later(verdict: "Verdict") -> str:
    if not verdict.n_later:
        return ""
    return f", worse in {verdict.harm_later:.0%} on the calibrate block"


def fusion_lines(name: str, model: "FusionModel[Any] | None") -> list[str]:
    """What serves, and what the do-no-harm test said."""
    from crossfade.fusion.auto import AutoFusion

    if model is None:
        return [f"fusion {name}: too few lists to learn from, so the static blend serves"]
    if not isinstance(model, AutoFusion):
        return [f"fusion {name} serves"]
    used = [f"{kind} {share:.2f}" for kind, share in model.shares.items() if share > 0]
    lines = [f"fusion auto: {', '.join(used)}"]
    lines += [f"flag: {kind} was not tried; install crossfade[boost]" for kind in model.left_out]
    for verdict in model.verdicts:
        if verdict.n:
            lines.append(
                f"  {verdict.name}, {verdict.n:,} unseen lists: learned {verdict.learned:.4f}, static "
                f"{verdict.static:.4f}; better in {verdict.certainty:.0%} of resamples"
                f"{_later(verdict)}; {'learned' if verdict.serves else 'static'} serves"
            )
    return lines
