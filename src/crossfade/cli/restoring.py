"""`crossfade backup`, `restore` and `tombstones`: the event log in a safe place, and back."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from crossfade.cli.fitting import JsonOption
from crossfade.cli.serving import (
    ConfigOption,
    DatabaseOption,
    open_log,
    refuse_without_extra,
    service_settings,
)
from crossfade.errors import ConfigError

tombstones = typer.Typer(
    name="tombstones",
    help="Who was forgotten, as salted hashes: what cleans a backup.",
    no_args_is_help=True,
)


def backup(
    to: Annotated[Path, typer.Option("--to", help="File to write; it must not be there yet.")],
    config: ConfigOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy the event log in SQLite to a file, while the service runs; the copy is checked.

    PostgreSQL has `pg_dump` for this.
    """
    refuse_without_extra()
    from crossfade.store.log import backups

    url = service_settings(config, {"database": database}).database
    done = backups.backup(url, to)
    if as_json:
        typer.echo(json.dumps({"file": str(to), **asdict(done)}))
    else:
        typer.echo(f"{to}: {done.events:,} events, {done.n_bytes:,} bytes, checked")


def restore(
    file: Annotated[Path, typer.Argument(help="Written by `crossfade backup`.")],
    to: Annotated[str, typer.Option("--to", help="URL of the event log to make: sqlite:///FILE.")],
    stones: Annotated[
        Path | None,
        typer.Option(
            "--tombstones", help="Of the log that was lost: who was forgotten stays forgotten."
        ),
    ] = None,
    without: Annotated[
        bool,
        typer.Option("--without-tombstones", help="Nobody was forgotten since the backup."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make an event log of a backup, without those who were forgotten since; nothing is overwritten.

    After `pg_restore` on PostgreSQL, `crossfade tombstones apply` cleans likewise.
    """
    if (stones is None) != without:
        raise ConfigError(
            "who was forgotten after the backup would come back: give --tombstones FILE as written by "
            "`crossfade tombstones export`, or --without-tombstones if there was nobody"
        )
    refuse_without_extra()
    from crossfade.store.log import backups

    gone = backups.restore(file, to, [] if stones is None else backups.read_tombstones(stones))
    if as_json:
        typer.echo(json.dumps({"forgotten_again": asdict(gone)}))
    else:
        typer.echo(f"restored; forgotten again: {_counts(asdict(gone))}")


@tombstones.command("export")
def export(
    to: Annotated[Path, typer.Option("--to", help="File to write, or to write anew.")],
    config: ConfigOption = None,
    database: DatabaseOption = None,
) -> None:
    """Write down who was forgotten; keep it apart from backups, and write it more often."""
    with open_log(config, database) as log:
        from crossfade.store.log import backups

        found = log.tombstones()
        backups.write_tombstones(found, to)
    typer.echo(f"{to}: {len(found):,} tombstones")


@tombstones.command("apply")
def apply(
    file: Annotated[Path, typer.Argument(help="Written by `crossfade tombstones export`.")],
    config: ConfigOption = None,
    database: DatabaseOption = None,
) -> None:
    """Forget again, in a restored log, who was forgotten after its backup; before the service starts."""
    with open_log(config, database) as log:
        from crossfade.store.log import backups

        gone = log.clean(backups.read_tombstones(file))
    typer.echo(f"forgotten again: {_counts(asdict(gone))}")


def _counts(gone: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {what}" for what, n in gone.items() if what != "wiped")
