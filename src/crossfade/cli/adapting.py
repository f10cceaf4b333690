"""`crossfade export` and `crossfade adapt`: what a service has logged, and the next version out of it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossfade.cli.fitting import DatasetArgument
from crossfade.cli.serving import DatabaseOption

if TYPE_CHECKING:
    from crossfade.online.updates import Export
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
