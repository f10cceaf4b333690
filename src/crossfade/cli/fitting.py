"""`crossfade fit`: from a data set to a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossfade.training.config import DeviceName

if TYPE_CHECKING:
    from crossfade.hybrid import HybridConfig, HybridModel
    from crossfade.meta.keeping import ListCache

DatasetArgument = Annotated[Path, typer.Argument(help="Directory written by `crossfade import`.")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="TOML file with settings.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="The run's one seed.")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document and nothing else.")
]


FusionOption = Annotated[
    str | None,
    typer.Option("--fusion", help="How the bases are blended: auto, static, meta, lambdamart …"),
]
DeviceOption = Annotated[
    DeviceName | None,
    typer.Option(
        "--device",
        help="Where networks are trained, of bases and of blends; otherwise as the settings say.",
    ),
]


CacheOption = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        help="Directory that keeps candidate lists, so that the next run on the same data with the same bases "
        "takes them from there.",
    ),
]


def read_config(
    path: Path | None, fusion: str | None = None, device: DeviceName | None = None
) -> "HybridConfig":
    """Settings of the file, or the defaults, with another fusion model or device if one is named.

    Raises:
        ConfigError: If settings are wrong, or there is no such fusion model or device.
    """
    from crossfade.config import load_toml
    from crossfade.fusion.registry import fusion_kind
    from crossfade.hybrid import HybridConfig

    settings = HybridConfig() if path is None else load_toml(HybridConfig, path)
    if fusion is not None:
        fusion_kind(fusion)  # an unknown name is told now, not after an hour of fitting
        settings = settings.changed(blend=settings.blend.changed(fusion=fusion))
    if device is not None:
        from crossfade.training.device import resolve_device

        resolve_device(device)  # likewise
        settings = settings.on_device(device)
    return settings


def open_cache(directory: Path | None, settings: "HybridConfig") -> "ListCache | None":
    """Where lists are kept from run to run; what it has to say goes beside what the command prints."""
    from crossfade.meta.keeping import ListCache

    if directory is None:
        return None
    return ListCache(directory, settings.cache, tell=lambda line: typer.echo(line, err=True))


def fit(
    dataset: DatasetArgument,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="Where the trained system goes.")
    ] = None,
    registry: Annotated[
        Path | None, typer.Option("--registry", help="Or a registry, where it is one version more.")
    ] = None,
    promote: Annotated[
        bool, typer.Option("--promote", help="Let the registry serve the new version at once.")
    ] = False,
    config: ConfigOption = None,
    weekly_from: Annotated[
        Path | None,
        typer.Option(
            "--weekly-from",
            help="Bundle of the version before: go on from it, with its settings and blend, instead of "
            "training afresh.",
        ),
    ] = None,
    device: DeviceOption = None,
    fusion: FusionOption = None,
    seed: SeedOption = 0,
    cache: CacheOption = None,
) -> None:
    """Train the bases, learn out of time how to blend them, and write one bundle."""
    from crossfade.cli.progress import reporter
    from crossfade.cli.registering import keep, refuse_place
    from crossfade.data import load_dataset
    from crossfade.hybrid import HybridModel
    from crossfade.progress import reporting_to

    if weekly_from is not None and (config is not None or fusion is not None):
        raise typer.BadParameter(
            "--weekly-from keeps the settings of that bundle; leave --config and --fusion out, or fit in full"
        )
    if weekly_from is not None and cache is not None:
        raise typer.BadParameter(
            "--weekly-from keeps the blend of that bundle and makes no lists; leave --cache out"
        )
    refuse_place(bundle, registry, promote=promote)  # now, not after an hour of fitting
    settings = read_config(config, fusion, device)
    kept = open_cache(cache, settings)
    with reporting_to(reporter()):
        if weekly_from is None:
            model = HybridModel.fit(load_dataset(dataset), settings, seed, cache=kept)
        else:
            before = HybridModel.load(weekly_from)
            model = HybridModel.update(before, load_dataset(dataset), seed, device)
    place = keep(model, bundle, registry, promote=promote)
    for line in describe(model):
        typer.echo(line)
    origin = "" if model.previous is None else f", updated from version {model.previous}"
    typer.echo(f"{place} (version {model.version}{origin})")


def describe(model: "HybridModel") -> list[str]:
    """What was learned, in a few lines."""
    data, choice = model.dataset, model.blend.choice
    from crossfade.cli.evaluating import choice_lines, fusion_lines

    tuned = "" if model.previous is None else " when it was tuned"
    lines = [
        f"{data.name}: {data.n_events:,} events, {data.n_users:,} users, {data.n_items:,} items",
        *choice_lines(choice),
        f"NDCG@{model.config.blend.depth} on the calibrate block{tuned}: static blend "
        f"{choice.calibrate_blend:.4f}, best base {choice.best_base} {choice.calibrate_base:.4f}",
    ]
    if model.learned is not None:
        lines += fusion_lines(model.learned.name, model.learned.model)
    lines += [f"flag: {flag}" for flag in choice.flags]
    lines += [f"note: {notice}" for base in model.bases.values() for notice in base.notices]
    return lines
