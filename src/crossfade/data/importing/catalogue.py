"""Catalogue tables: read, joined to further files, converted, ids checked."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import polars as pl

from crossfade.data.faults import Fault
from crossfade.data.importing.batch import Batch
from crossfade.data.importing.blocks import Choose
from crossfade.data.importing.columns import plain_text
from crossfade.data.importing.convert import Converter, TableKind
from crossfade.data.importing.findings import Findings
from crossfade.data.importing.mapping import Column
from crossfade.data.importing.plan import PlannedJoin, PlannedTable


def read_table(
    planned: PlannedTable, kind: TableKind, now: datetime, findings: Findings
) -> pl.DataFrame:
    """A whole table in our columns; where it is a catalogue, one row per id."""
    converter = Converter(
        kind,
        planned.columns,
        now,
        findings,
        keep_others=planned.keep_others,
        require=planned.require,
        also_read=tuple(join.key for join in planned.joins),
    )
    joined = load_joins(planned.joins, planned.columns, findings)
    names = [name for frame in joined for name in frame.columns]
    seen: set[str] = set()
    frames = []
    for batch in planned.read(
        lambda file: lambda own: converter.choose(own, file, names), findings
    ):
        whole = replace(batch, frame=with_joins(batch.frame, planned.joins, joined))
        frame, kept = converter.convert(whole)
        if len(kind.required) == 1:
            frame = _one_row_per_id(frame, kept, kind.required[0], seen, findings)
        frames.append(frame)
    for text in converter.describe_times():
        findings.note(text)
    if not frames:
        return pl.DataFrame(schema=dict.fromkeys(kind.required, pl.String))
    return pl.concat(frames, how="diagonal_relaxed")


def load_joins(
    joins: Sequence[PlannedJoin], columns: dict[str, Column], findings: Findings
) -> list[pl.DataFrame]:
    """The joined files, their columns renamed to ``name.column``, the key to ``name``.

    Only columns that the mapping uses are read. A key is compared as text; its first
    row counts, rows without a key are of no use.
    """
    frames = []
    for join in joins:
        prefix = f"{join.name}."
        sources = [source for column in columns.values() for source in column.sources]
        wanted = [s.removeprefix(prefix) for s in sources if s.startswith(prefix)]
        names = list(dict.fromkeys([join.on, *wanted]))

        choose = _all_of(names, findings)
        parts = [batch.frame for batch in join.read(choose, findings)]
        frame = pl.concat(parts) if parts else pl.DataFrame(schema=dict.fromkeys(names, pl.String))
        key = plain_text(frame[join.on]).alias(join.name)
        frame = frame.select(
            key, *(pl.col(name).alias(f"{prefix}{name}") for name in dict.fromkeys(wanted))
        )
        frames.append(
            frame.drop_nulls(join.name).unique(join.name, keep="first", maintain_order=True)
        )
    return frames


def with_joins(
    frame: pl.DataFrame, joins: Sequence[PlannedJoin], joined: Sequence[pl.DataFrame]
) -> pl.DataFrame:
    """The rows of a table with what the joined files know about them, null where nothing."""
    for join, other in zip(joins, joined, strict=True):
        frame = (
            frame.with_columns(plain_text(frame[join.key]).alias(join.name))
            .join(other, on=join.name, how="left", maintain_order="left")
            .drop(join.name)
        )
    return frame


def _all_of(names: Sequence[str], findings: Findings) -> Callable[[str], Choose]:
    """Chooses these columns of any file, or none and a problem if one is absent."""

    def choose_for(file: str) -> Choose:
        def choose(own: Sequence[str]) -> Sequence[str]:
            absent = [name for name in names if name not in own]
            if absent:
                found = f"no column {', '.join(absent)}; the columns are {', '.join(own)}"
                findings.file("missing_column", file, found, "mend the join in the mapping")
            return () if absent else names

        return choose

    return choose_for


def _one_row_per_id(
    frame: pl.DataFrame, batch: Batch, key: str, seen: set[str], findings: Findings
) -> pl.DataFrame:
    ids = frame[key].to_list()
    repeated = []
    for one in ids:
        repeated.append(one in seen)
        seen.add(one)
    fault = Fault(
        "repeated_id",
        key,
        pl.Series(repeated, dtype=pl.Boolean),
        frame[key],
        "keep one row per id",
    )
    return frame.filter(findings.sort_out(batch, [fault]))
