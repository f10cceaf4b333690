"""`crossfade evaluate`: a protocol's numbers as a table, JSON and a report."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from crossfade.cli.fitting import ConfigOption, DatasetArgument, JsonOption, SeedOption, read_config

if TYPE_CHECKING:
    from crossfade.evaluation import Evaluation
    from crossfade.meta.experiment import Experiment


def evaluate(
    dataset: DatasetArgument,
    config: ConfigOption = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol", help="time, user, leave-last, repeat, cold-users or cold-items."
        ),
    ] = None,
    seed: SeedOption = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Also write results.json, per_user.parquet and report.html here."
        ),
    ] = None,
    as_json: JsonOption = False,
    scores: Annotated[
        list[Path] | None,
        typer.Option(
            "--scores", help="Parquet of user_id, item_id, score to judge as well; may be repeated."
        ),
    ] = None,
) -> None:
    """Judge every base and their blend on the last block of the log."""
    from crossfade.cli.progress import reporter
    from crossfade.data import load_dataset
    from crossfade.data.splits import ProtocolName
    from crossfade.evaluation import read_scores, save, to_json
    from crossfade.meta.experiment import run_experiment
    from crossfade.progress import reporting_to

    if protocol is not None and protocol not in get_args(ProtocolName):
        choices = ", ".join(get_args(ProtocolName))
        raise typer.BadParameter(f"{protocol} is none of {choices}", param_hint="--protocol")
    settings = read_config(config)
    rules = settings.protocol if protocol is None else settings.protocol.changed(name=protocol)
    with reporting_to(reporter()):
        data = load_dataset(dataset)
        if settings.target is not None:
            data = data.with_target(settings.target)
        experiment = run_experiment(
            data,
            settings.bases,
            settings.blend,
            rules,
            settings.evaluation,
            outside=[read_scores(path, data) for path in scores or []],
            seed=seed,
        )
    if out is not None:
        save(experiment.evaluation, out)
    if as_json:
        typer.echo(json.dumps(to_json(experiment.evaluation), allow_nan=False))
        return
    print_evaluation(experiment.evaluation)
    for line in blend_lines(experiment):
        typer.echo(line)
    if out is not None:
        typer.echo(f"report: {out / 'report.html'}")


def print_evaluation(evaluation: "Evaluation") -> None:
    """What was asked, the table, and the slices the best model loses."""
    from rich.console import Console
    from rich.table import Table

    from crossfade.evaluation import table_rows

    about = evaluation.about
    typer.echo(
        f"{about.dataset}: protocol {about.protocol}, {evaluation.n_users:,} users ask {about.n_requests:,} times, "
        f"{about.n_items:,} items; wanted: {about.target}"
    )
    for flag in about.flags:
        typer.echo(f"flag: {flag}")
    header, *rows = table_rows(evaluation)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, name in enumerate(header):
        table.add_column(name, justify="left" if column == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console(width=None if Console().is_terminal else 200).print(table)


def blend_lines(experiment: "Experiment") -> list[str]:
    """How the blend came about, and what bases say about themselves."""
    choice = experiment.choice
    used = sorted(((w, label) for label, w in choice.weights.items() if w > 0), reverse=True)
    lines = [f"blend ({choice.scaling}): " + ", ".join(f"{label} {w:.2f}" for w, label in used)]
    if not choice.kept:
        lines.append(
            f"the tuned blend lost to {choice.best_base} on the calibrate block "
            f"({choice.calibrate_blend:.4f} to {choice.calibrate_base:.4f}), so that base serves alone"
        )
    lines += [f"note: {text}" for label in experiment.notices for text in experiment.notices[label]]
    return lines
