"""`crossfade fit`: from a data set to a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from crossfade.hybrid import HybridConfig, HybridModel

DatasetArgument = Annotated[Path, typer.Argument(help="Directory written by `crossfade import`.")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="TOML file with settings.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="The run's one seed.")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document and nothing else.")
]


def read_config(path: Path | None) -> "HybridConfig":
    """Settings of the file, or the defaults."""
    from crossfade.config import load_toml
    from crossfade.hybrid import HybridConfig

    return HybridConfig() if path is None else load_toml(HybridConfig, path)


def fit(
    dataset: DatasetArgument,
    bundle: Annotated[Path, typer.Option("--bundle", help="Where the trained system goes.")],
    config: ConfigOption = None,
    seed: SeedOption = 0,
) -> None:
    """Train the bases and a static blend tuned out of time; write one bundle."""
    from crossfade.cli.progress import reporter
    from crossfade.data import load_dataset
    from crossfade.files import refuse_foreign
    from crossfade.hybrid import HybridModel
    from crossfade.progress import reporting_to

    refuse_foreign(bundle, "bundle")  # now, not after an hour of fitting
    settings = read_config(config)
    with reporting_to(reporter()):
        model = HybridModel.fit(load_dataset(dataset), settings, seed)
    version = model.save(bundle)
    for line in describe(model):
        typer.echo(line)
    typer.echo(f"bundle: {bundle} (version {version})")


def describe(model: "HybridModel") -> list[str]:
    """What was learned, in a few lines."""
    data, choice = model.dataset, model.blend.choice
    used = sorted(((w, label) for label, w in choice.weights.items() if w > 0), reverse=True)
    lines = [
        f"{data.name}: {data.n_events:,} events, {data.n_users:,} users, {data.n_items:,} items",
        f"blend ({choice.scaling}): "
        + ", ".join(f"{label} {weight:.2f}" for weight, label in used),
        f"NDCG@{model.config.blend.depth} on the calibrate block: blend {choice.calibrate_blend:.4f}, "
        f"best base {choice.best_base} {choice.calibrate_base:.4f}",
    ]
    lines += [f"flag: {flag}" for flag in choice.flags]
    if choice.calibrate_blend < choice.calibrate_base:
        lines.append("the blend did not hold there, so the best base serves alone")
    lines += [f"note: {notice}" for base in model.bases.values() for notice in base.notices]
    return lines
