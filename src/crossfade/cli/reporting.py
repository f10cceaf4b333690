"""`crossfade report`: the report of a protocol as one HTML file."""

from pathlib import Path
from typing import Annotated

import typer

from crossfade.cli.evaluating import CompareOption, ProtocolOption, ScoresOption, run_protocol
from crossfade.cli.fitting import (
    CacheOption,
    ConfigOption,
    DatasetArgument,
    DeviceOption,
    FusionOption,
    SeedOption,
    read_config,
)


def report(
    dataset: DatasetArgument,
    out: Annotated[Path, typer.Option("--out", help="The HTML file.")] = Path("report.html"),
    config: ConfigOption = None,
    protocol: ProtocolOption = None,
    seed: SeedOption = 0,
    fusion: FusionOption = None,
    compare: CompareOption = True,
    scores: ScoresOption = None,
    cache: CacheOption = None,
    device: DeviceOption = None,
) -> None:
    """Write what `evaluate` finds as one HTML file that needs nothing beside it."""
    from crossfade.evaluation import save_report

    if out.is_dir():
        raise typer.BadParameter(
            f"{out} is a directory; name a file, such as {out / 'report.html'}", param_hint="--out"
        )
    experiment = run_protocol(
        dataset,
        read_config(config, fusion, device),
        protocol,
        seed,
        folder=out.parent,
        compare=compare,
        scores=scores,
        cache=cache,
    )
    save_report(experiment.evaluation, out, experiment.findings)
    typer.echo(f"report: {out}")
