"""`crossfade import` and `crossfade check`: outside files in, and a look at what came in."""

import json
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossfade.cli.fitting import DatasetArgument, JsonOption

if TYPE_CHECKING:
    from crossfade.data.importing import DatasetSummary, ImportReport


class SourceFormat(StrEnum):
    """What `--format` accepts; a test keeps it equal to the library's formats."""

    spotify_history = "spotify-history"
    listenbrainz = "listenbrainz"
    lastfm_1k = "lastfm-1k"
    lastfm_csv = "lastfm-csv"
    movielens = "movielens"
    hetrec_lastfm = "hetrec-lastfm"
    thirtymusic = "30music"
    recbole = "recbole"
    goodbooks = "goodbooks"
    table = "table"


class OnErrorChoice(StrEnum):
    """What becomes of rows with faults."""

    fail = "fail"
    skip = "skip"


def import_command(
    to: Annotated[Path, typer.Option("--to", help="Directory of the data set to write.")],
    format_name: Annotated[
        SourceFormat, typer.Option("--format", help="What the source is.")
    ] = SourceFormat.table,
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="SOURCE",
            help="File or folder; for table, the folder that relative paths start at, or the log itself.",
        ),
    ] = None,
    events: Annotated[
        Path | None,
        typer.Option("--events", help="Table: the log (CSV, TSV, JSONL, JSON, Parquet)."),
    ] = None,
    items: Annotated[Path | None, typer.Option("--items", help="Table: the catalogue.")] = None,
    users: Annotated[
        Path | None, typer.Option("--users", help="Table: attributes of users.")
    ] = None,
    maps: Annotated[
        list[str] | None,
        typer.Option(
            "--map", help="Table: OURS=THEIRS, as in events.timestamp=rated_at; repeat it."
        ),
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option("--mapping", help="Table: a TOML file instead of flags.")
    ] = None,
    on_error: Annotated[
        OnErrorChoice,
        typer.Option(
            "--on-error",
            help="fail: write nothing; skip: leave faulty rows out, and keep them aside.",
        ),
    ] = OnErrorChoice.fail,
    as_json: JsonOption = False,
) -> None:
    """Turn outside files into a checked data set."""
    from crossfade.cli.progress import reporter
    from crossfade.data.importing import import_source
    from crossfade.progress import reporting_to

    now = datetime.now(UTC)
    of_tables = {"--events": events, "--items": items, "--users": users, "--mapping": mapping}
    with reporting_to(reporter()):
        if format_name is SourceFormat.table:
            report = _import_table(
                source, events, items, users, tuple(maps or ()), mapping, to, now, on_error
            )
        else:
            given = [flag for flag, value in of_tables.items() if value is not None]
            if maps or given:
                flag = "--map" if maps else given[0]
                raise typer.BadParameter(f"{flag} is for --format table only")
            if source is None:
                raise typer.BadParameter(f"--format {format_name} needs a SOURCE")
            report = import_source(format_name.value, source, to, now=now, on_error=on_error.value)
    if as_json:
        typer.echo(json.dumps(report.facts(), allow_nan=False))
    else:
        for line in report_lines(report):
            typer.echo(line)


def _import_table(
    source: Path | None,
    events: Path | None,
    items: Path | None,
    users: Path | None,
    maps: tuple[str, ...],
    mapping: Path | None,
    to: Path,
    now: datetime,
    on_error: OnErrorChoice,
) -> "ImportReport":
    from crossfade.data.importing import import_table, mapping_from_flags

    if mapping is not None:
        if events is not None or items is not None or users is not None or maps:
            raise typer.BadParameter(
                "--mapping says it all; leave --events, --items, --users and --map out"
            )
        return import_table(mapping, to, now=now, root=source, on_error=on_error.value)
    log = events if events is not None else source
    if log is None or (events is None and log.is_dir()):
        raise typer.BadParameter("--format table needs --events FILE or --mapping FILE.toml")
    if events is not None and source is not None and not source.is_dir():
        raise typer.BadParameter(f"beside --events, SOURCE is a folder, and {source} is none")
    said = mapping_from_flags(
        str(log),
        None if items is None else str(items),
        None if users is None else str(users),
        maps,
        name=to.name,
    )
    root = source if events is not None else None
    return import_table(said, to, now=now, root=root, on_error=on_error.value)


def report_lines(report: "ImportReport") -> list[str]:
    """An import's outcome in sentences."""
    aside = "".join(f", {n:,} set aside ({why})" for why, n in report.set_aside.items())
    span = "no times"
    if report.span is not None:
        span = f"{report.span[0]:%Y-%m-%d} to {report.span[1]:%Y-%m-%d}"
    lines = [
        f"{report.n_read:,} rows read, {report.n_kept:,} kept, {report.n_skipped:,} skipped{aside}",
        f"{report.n_users:,} users, {report.n_items:,} items, {span}",
        f"target: {target_sentence(report.target.model_dump())}; {report.n_positives:,} events are positive",
    ]
    if report.n_skipped_elsewhere:
        lines.append(f"{report.n_skipped_elsewhere:,} rows of other tables skipped")
    lines += [f"skipped: {problem}" for problem in report.problems]
    lines += [f"warning: {problem}" for problem in report.warnings]
    lines += [f"note: {text}" for text in report.notes]
    if report.side_file is not None:
        lines.append(f"rows left out: {report.side_file}")
    lines.append(f"data set: {report.directory}")
    return lines


def target_sentence(target: dict[str, object]) -> str:
    """A target rule in words."""
    rules = []
    if target["min_value"] is not None:
        rules.append(f"value of {target['min_value']} or more")
    if target["min_played_ms"] is not None:
        rules.append(f"played {target['min_played_ms']} ms or more")
    rules.append("not disliked" if target["skips_count"] else "not skipped or disliked")
    weight = {"one": "1", "value": "the value", "log_value": "log(1 + value)"}[
        str(target["strength"])
    ]
    return f"{target['name']} ({', '.join(rules)}), each worth {weight}"


def check_command(dataset: DatasetArgument, as_json: JsonOption = False) -> None:
    """Verify a data set's checksums and print what it holds."""
    from crossfade.data.importing import summarise

    summary = summarise(dataset)
    if as_json:
        typer.echo(json.dumps(summary.facts(), allow_nan=False))
        return
    for name, value in summary_rows(summary):
        typer.echo(f"{name:<12} {value}")
    for text in summary.problems:
        typer.echo(f"note: {text}")


def summary_rows(summary: "DatasetSummary") -> list[tuple[str, str]]:
    """A summary as a table of names and values."""
    span = "no times" if summary.first is None else f"{summary.first} to {summary.last}"
    sessions = "unknown" if summary.n_sessions is None else f"{summary.n_sessions:,}"
    rows = [
        ("name", summary.name),
        ("users", f"{summary.n_users:,} ({summary.n_users_with_events:,} with events)"),
        ("items", f"{summary.n_items:,} ({summary.n_items_with_events:,} with events)"),
        ("events", f"{summary.n_events:,} ({', '.join(summary.columns) or 'pairs only'})"),
        ("time span", span),
        ("positives", f"{summary.n_positives:,}: {target_sentence(summary.target)}"),
        ("density", f"{100 * summary.density:.3g} %"),
        ("sessions", sessions),
        ("genres", f"{100 * summary.share_with_genres:.1f} % of items"),
        ("audio", f"{100 * summary.share_with_audio:.1f} % of items"),
        ("taggings", f"{summary.n_taggings:,}"),
        ("friends", f"{summary.n_friend_pairs:,} pairs"),
    ]
    if summary.n_vectors:
        told = ", ".join(f"{name} of {n:,} items" for name, n in summary.n_vectors.items())
        rows.append(("vectors", told))
    if summary.side_file is not None:
        rows.append(("left out", summary.side_file))
    return rows
