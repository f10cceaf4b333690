"""`crossfade export` and `crossfade adapt`: what a service has logged, and the next version out of it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossfade.cli.fitting import DatasetArgument, SeedOption
from crossfade.cli.registering import RegistryOption
from crossfade.cli.serving import DatabaseOption

if TYPE_CHECKING:
    from crossfade.online.updates import Adapted, Comparison, Export
    from crossfade.store.log import Log


def export(
    dataset: DatasetArgument,
    out: Annotated[Path, typer.Option("--out", help="Where the data set with the log goes.")],
    database: DatabaseOption = None,
) -> None:
    """Write a data set that holds every event of the log too, without whoever was forgotten."""
    from crossfade.cli.progress import reporter
    from crossfade.data import load_dataset, save_dataset
    from crossfade.data.dataset import to_us
    from crossfade.files import refuse_foreign
    from crossfade.online.updates import export as export_log
    from crossfade.progress import reporting_to

    refuse_foreign(out, "dataset")
    with open_log(database) as log, reporting_to(reporter()):
        found = export_log(log, load_dataset(dataset), to_us(datetime.now(UTC)))
    save_dataset(found.dataset, out, {"from": str(dataset), "events_of_the_log": found.n_read})
    for line in export_lines(found):
        typer.echo(line)
    typer.echo(f"data set: {out}")


REFUSED = 3
"""Exit code where a candidate was not accepted."""


def adapt(
    registry: RegistryOption,
    database: DatabaseOption = None,
    mode: Annotated[
        str,
        typer.Option(
            "--mode",
            help="weekly: go on from the version that serves; full: fit afresh; auto: full where the last full "
            "fit is too old.",
        ),
    ] = "auto",
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Data set that the log adds to, with today's catalogue; otherwise what the version that serves "
            "learned from.",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="TOML file with settings of updates.")
    ] = None,
    seed: SeedOption = 0,
) -> None:
    """Make the next version of what a service logged; promote it if it is not worse.

    Exit code 3: a candidate was made and not accepted; it waits in the registry.
    """
    from crossfade.cli.progress import reporter
    from crossfade.config import load_toml
    from crossfade.data import load_dataset
    from crossfade.errors import ConfigError
    from crossfade.online.updates import AdaptConfig
    from crossfade.online.updates import adapt as update
    from crossfade.progress import reporting_to
    from crossfade.store import Registry

    if mode not in {"auto", "weekly", "full"}:
        raise ConfigError(f'mode "{mode}" is none; it is auto, weekly or full')
    settings = AdaptConfig() if config is None else load_toml(AdaptConfig, config)
    start = None if data is None else load_dataset(data)
    with open_log(database) as log, reporting_to(reporter()):
        done = update(
            log,
            Registry(registry),
            datetime.now(UTC),
            settings,
            mode=mode,  # type: ignore[arg-type]
            data=start,
            seed=seed,
        )
    for line in adapt_lines(done):
        typer.echo(line)
    if done.decision is not None:
        promoted = "serves" if done.decision.accepted else "still serves the version before; not"
        typer.echo(f"{registry} {promoted} version {done.version}")
        if not done.decision.accepted:
            raise typer.Exit(REFUSED)


def adapt_lines(done: "Adapted") -> list[str]:
    """What was judged, with the number of people and intervals, and what came of it."""
    lines = export_lines(done.export)
    if done.decision is None:
        forgotten = done.export.n_forgotten
        note = f"; it knows {forgotten:,} who were forgotten: --mode full" if forgotten else ""
        return [*lines, f"nothing is newer than what version {done.previous} knows{note}"]
    said = done.decision
    return [
        *lines,
        f"{done.mode} candidate after version {done.previous}, NDCG, means over people:",
        f"{'':<16} {'people':>8} {'promoted':>9} {'candidate':>9}  difference",
        _compared("newest events", said.newest),
        _compared("of known people", said.known),
        _compared("older, learned", said.replayed),
        *(f"not accepted: {why}" for why in said.why),
        *(
            ["accepted, and fitted once more with the events it was judged by"]
            if said.accepted
            else []
        ),
    ]


def _compared(name: str, found: "Comparison") -> str:
    def told(value: float | None, sign: str = "") -> str:
        return "none" if value is None else f"{value:{sign}.4f}"

    means = f"{told(found.promoted):>9} {told(found.candidate):>9}"
    interval = f"[{told(found.low, '+')}, {told(found.high, '+')}]"
    return f"{name:<16} {found.n_users:>8,} {means}  {told(found.difference, '+')} {interval}"


def open_log(database: str | None) -> "Log":
    """The event log of this URL, or of the settings of the service in the environment.

    Raises:
        ConfigError: If the URL is none.
        MissingExtraError: If SQLAlchemy is missing.
        StoreError: If it cannot be opened.
    """
    from crossfade.cli.serving import service_settings
    from crossfade.store.log import Log

    return Log.open(service_settings(None, {"database": database}).database)


def export_lines(found: "Export") -> list[str]:
    """What came out of the log, and what stayed in it."""
    data = found.dataset
    lines = [
        f"{data.name} with the {found.n_read:,} events of the log: {data.n_events:,} events, "
        f"{data.n_users:,} users, {data.n_items:,} items"
    ]
    left_out = {
        "events of sessions without a user": found.n_nameless,
        "events of a time to come": found.n_untimely,
        "people who were forgotten": found.n_forgotten,
    }
    told = ", ".join(f"{what} ({n:,})" for what, n in left_out.items() if n)
    return [*lines, f"left out: {told}"] if told else lines
