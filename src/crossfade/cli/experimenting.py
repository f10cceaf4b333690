"""`crossfade experiments`: begin, let grow, stop and look at A/B experiments."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from crossfade.cli.fitting import JsonOption
from crossfade.cli.serving import ConfigOption, DatabaseOption, open_log

app = typer.Typer(
    name="experiments",
    help="A/B experiments: who is answered how, and what comes of it.",
    no_args_is_help=True,
)

NameArgument = Annotated[str, typer.Argument(help="Name of an experiment.")]


@app.command("list")
def list_command(
    config: ConfigOption = None, database: DatabaseOption = None, as_json: JsonOption = False
) -> None:
    """Print all experiments that ever were, oldest first."""
    from crossfade.experiments.kept import settings_of
    from crossfade.experiments.lines import title
    from crossfade.service.experiment_messages import ExperimentLine, ExperimentsAnswer

    with open_log(config, database) as log:
        found = log.experiments.every()
    if as_json:
        lines = [ExperimentLine.of(one) for one in found]
        typer.echo(ExperimentsAnswer(experiments=lines).model_dump_json())
        return
    for one in found:
        typer.echo(title(one, settings_of(one)))
    if not found:
        typer.echo("no experiments yet")


@app.command("add")
def add(
    file: Annotated[Path, typer.Argument(help="TOML file with the settings of the experiment.")],
    config: ConfigOption = None,
    database: DatabaseOption = None,
) -> None:
    """Begin an experiment; a running service follows within seconds."""
    from crossfade.config import load_toml
    from crossfade.experiments import Experiment
    from crossfade.experiments.kept import begin

    experiment = load_toml(Experiment, file)
    with open_log(config, database) as log:
        begin(log, experiment, _now_us())
    typer.echo(f"begun: {experiment.name}")


@app.command("show")
def show(
    name: NameArgument,
    as_of: Annotated[
        datetime | None,
        typer.Option("--as-of", help="What it said at this moment (UTC), instead of now."),
    ] = None,
    config: ConfigOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what came of each arm, and whether to stop."""
    from crossfade.data.dataset import to_us
    from crossfade.experiments.kept import analysed, settings_of
    from crossfade.experiments.lines import told
    from crossfade.service.experiment_messages import ExperimentAnswer

    now_us = _now_us() if as_of is None else to_us(as_of)
    with open_log(config, database) as log:
        stored = log.experiments.get(name)
        analysis = analysed(log, stored, now_us)
    if as_json:
        typer.echo(ExperimentAnswer.telling(stored, analysis).model_dump_json())
        return
    for line in told(stored, settings_of(stored), analysis):
        typer.echo(line)


@app.command("grow")
def grow(
    name: NameArgument,
    traffic: Annotated[float, typer.Argument(help="Share that takes part from now on.")],
    config: ConfigOption = None,
    database: DatabaseOption = None,
) -> None:
    """Let more take part; who does already stays in the same arm."""
    with open_log(config, database) as log:
        log.experiments.grow(name, traffic, _now_us())
    typer.echo(f"grown: {name} has {traffic:g} of the traffic")


@app.command("stop")
def stop(name: NameArgument, config: ConfigOption = None, database: DatabaseOption = None) -> None:
    """Let nobody take part any more, for good; what was found stays."""
    with open_log(config, database) as log:
        log.experiments.stop(name, _now_us())
    typer.echo(f"stopped: {name}")


def _now_us() -> int:
    from crossfade.data.dataset import to_us

    return to_us(datetime.now(UTC))
