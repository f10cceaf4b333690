"""`crossfade audio`: learn audio features from a catalogue, and fill in those that are missing."""

from pathlib import Path
from typing import Annotated

import typer

from crossfade.cli.fitting import ConfigOption, DatasetArgument, SeedOption

app = typer.Typer(
    name="audio", help="Guess the audio features a catalogue lacks.", no_args_is_help=True
)


@app.command("fit")
def fit(
    catalogue: Annotated[
        Path,
        typer.Argument(
            help="Directory written by `crossfade import`, or a Parquet or CSV file of items."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Where the fitted model goes.")],
    config: ConfigOption = None,
    seed: SeedOption = 0,
) -> None:
    """Learn from the items that have audio features; say how good the guesses are."""
    from crossfade.audio.config import AudioConfig
    from crossfade.audio.files import read_items
    from crossfade.audio.predictor import AudioPredictor
    from crossfade.cli.evaluating import table_lines
    from crossfade.cli.progress import reporter
    from crossfade.config import load_toml
    from crossfade.files import refuse_foreign
    from crossfade.progress import reporting_to

    refuse_foreign(out, "bundle")  # now, not after minutes of fitting
    settings = AudioConfig() if config is None else load_toml(AudioConfig, config)
    predictor = AudioPredictor(settings)
    with reporting_to(reporter()):
        report = predictor.fit(read_items(catalogue), seed)
    version = predictor.save(out)
    typer.echo("on creators held out:")
    for line in table_lines(report.rows(), None):
        typer.echo(line)
    typer.echo(f"model: {out} (version {version})")


@app.command("complete")
def complete(
    dataset: DatasetArgument,
    model: Annotated[
        Path, typer.Option("--model", help="Directory written by `crossfade audio fit`.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Directory of the data set to write.")],
) -> None:
    """Write the data set again, with a guess and its spread where an audio feature is missing."""
    from dataclasses import replace

    from crossfade.audio.predictor import AudioPredictor
    from crossfade.cli.evaluating import table_lines
    from crossfade.data import load_dataset, save_dataset
    from crossfade.features.audio import AudioFeatures
    from crossfade.files import refuse_foreign

    refuse_foreign(out, "dataset")
    data = load_dataset(dataset)
    items = AudioPredictor.load(model).complete(data.items)
    version = save_dataset(
        replace(data, items=items), out, {"completed": str(dataset), "model": str(model)}
    )
    for line in table_lines(AudioFeatures.from_items(items).counts(), None):
        typer.echo(line)
    typer.echo(f"data set: {out} (version {version})")
