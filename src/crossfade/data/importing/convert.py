"""Source columns to the columns of the event contract, with every check on the way."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from crossfade.data.faults import Fault
from crossfade.data.importing.batch import Batch
from crossfade.data.importing.columns import (
    as_date,
    as_double,
    as_flag,
    as_id,
    as_is,
    as_labels,
    as_number,
    as_text,
    as_whole_number,
    plain_text,
    readable,
)
from crossfade.data.importing.findings import Findings
from crossfade.data.importing.mapping import Column
from crossfade.data.importing.times import TimeReader
from crossfade.data.schema import (
    EVENT_COLUMNS,
    FRIEND_COLUMNS,
    ITEM_COLUMNS,
    TAGGING_COLUMNS,
    TIMESTAMP,
)


@dataclass(frozen=True)
class TableKind:
    """What one of our tables may hold.

    Attributes:
        name: ``"events"``, ``"items"``, ….
        kinds: Types of the known columns.
        required: Columns without which the table means nothing.
        free: Whether columns of any other name are welcome.
        prefix: Other columns are welcome when they start with this.
        nan_is_missing: Whether NaN stands for missing instead of being a fault.
    """

    name: str
    kinds: dict[str, pl.DataType]
    required: tuple[str, ...]
    free: bool = False
    prefix: str | None = None
    nan_is_missing: bool = True

    def welcomes(self, name: str) -> bool:
        """Whether a column of this name may stand in the table."""
        by_prefix = self.prefix is not None and name.startswith(self.prefix)
        return self.free or name in self.kinds or by_prefix


EVENTS = TableKind(
    "events", EVENT_COLUMNS, ("user_id", "item_id"), prefix="context_", nan_is_missing=False
)
ITEMS = TableKind("items", ITEM_COLUMNS, ("item_id",), free=True)
USERS = TableKind("users", {"user_id": pl.String()}, ("user_id",), free=True)
TAGGINGS = TableKind("taggings", TAGGING_COLUMNS, ("user_id", "item_id", "tag"))
FRIENDS = TableKind("friends", FRIEND_COLUMNS, ("user_id", "friend_id"))


@dataclass
class Converter:
    """One table's conversion; remembers how its time columns are spelt.

    Attributes:
        table: What the result may hold.
        columns: Our columns and where they come from; known columns that are not named
            come from a source column of the same name, if there is one.
        keep_others: Whether unmapped source columns come along under their own names.
        require: Rows without these source columns are set aside.
        now: Times after this are in the future.
        findings: Takes what is wrong.
        optional: Columns that may be absent without being reported.
    """

    table: TableKind
    columns: dict[str, Column]
    now: datetime
    findings: Findings
    keep_others: bool = False
    require: tuple[str, ...] = ()
    also_read: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()
    _chosen: dict[str, Column] = field(default_factory=dict)
    _times: dict[str, TimeReader] = field(default_factory=dict)

    def choose(self, own_names: Sequence[str], file: str, joined: Sequence[str] = ()) -> list[str]:
        """The source columns to read of a file; none, and a problem, if a needed one is absent.

        Args:
            own_names: The columns of the file.
            file: Its name for messages.
            joined: Columns that come from joined files, as ``name.column``.
        """
        names = [*own_names, *joined]
        chosen = dict(self.columns)
        for name in own_names:
            known = name in self.table.kinds or (
                self.table.prefix is not None and name.startswith(self.table.prefix)
            )
            used = {source for column in chosen.values() for source in column.sources}
            if name not in chosen and (known or (self.keep_others and name not in used)):
                chosen[name] = Column(column=name)
        wanted = [source for column in chosen.values() for source in column.sources]
        wanted += [column.plus for column in chosen.values() if column.plus is not None]
        wanted += [*self.require, *self.also_read]
        absent = [
            name
            for name in dict.fromkeys(wanted)
            if name not in names and name not in self.optional
        ]
        unmapped = [name for name in self.table.required if name not in chosen]
        absent += [name for name in unmapped if name not in absent]
        if absent:
            ours = unmapped or [
                name for name, column in chosen.items() if absent[0] in column.sources
            ]
            self.findings.file(
                "missing_column",
                file,
                f"no column {', '.join(absent)}; the columns are {', '.join(own_names)}",
                f"map it with --map {self.table.name}.{(ours or absent)[0]}=COLUMN or in the mapping file",
            )
            return []
        self._chosen = {
            name: column
            for name, column in chosen.items()
            if column.constant is not None or any(source in names for source in column.sources)
        }
        return [name for name in dict.fromkeys(wanted) if name in own_names]

    def convert(self, batch: Batch) -> tuple[pl.DataFrame, Batch]:
        """The good rows in our columns, and the same rows as they were.

        Rows that lack a required source column are set aside, rows with faults go to
        the findings.
        """
        for name in self.require:
            values, _ = readable(batch.frame[name], name, lists=True)
            lacking = plain_text(values).is_null()
            batch = self.findings.put_aside(batch, f"no {name}", lacking)
        out: dict[str, pl.Series] = {}
        faults: list[Fault] = []
        for name, column in self._chosen.items():
            series, found = self._one(name, column, batch)
            out[name] = series
            faults += found
        keep = self.findings.sort_out(batch, faults)
        frame = pl.DataFrame([series.alias(name) for name, series in out.items()])
        return frame if keep.all() else frame.filter(keep), batch.where(keep)

    def describe_times(self) -> list[str]:
        """How each time column was understood, for the report."""
        return [
            f"{self.table.name}.{name} from {reader.column}: {reader.describe()}"
            for name, reader in self._times.items()
        ]

    def _one(self, name: str, column: Column, batch: Batch) -> tuple[pl.Series, list[Fault]]:
        label = " + ".join(column.sources) or f"{name} (constant)"
        sources = [batch.frame[s] for s in column.sources if s in batch.frame.columns]
        if column.constant is not None:
            same = pl.repeat(column.constant, len(batch), dtype=pl.String, eager=True)
            sources = [*sources, same]
        kind = self.table.kinds.get(name)
        if kind is None and name not in self.table.required:
            return as_is(sources)
        lists = kind is None or kind == pl.String or isinstance(kind, pl.List)
        read = [readable(values, label, lists=lists) for values in sources]
        sources, unreadable = [values for values, _ in read], [f for _, some in read for f in some]
        if name in self.table.required:
            series, faults = as_id(sources, label)
        elif kind is not None and kind == TIMESTAMP:
            series, faults = self._time(name, column, batch, sources[0], label)
        elif name == "event":
            series, faults = as_text(sources, lower=True), []
        else:
            series, faults = _typed(kind or pl.String(), sources, label, column, self.table)
        return series, [*unreadable, *faults]

    def _time(
        self, name: str, column: Column, batch: Batch, values: pl.Series, label: str
    ) -> tuple[pl.Series, list[Fault]]:
        if name not in self._times:
            self._times[name] = TimeReader(label, column.format, self.now)
        times, faults = self._times[name].read(values)
        if self.table.name == "taggings":
            faults = self._without_time(batch, faults)
        if name == "timestamp" and self.table.name == "events":
            # In a log with times, a row without one cannot be placed.
            empty = values.is_null() | (
                values.str.strip_chars() == "" if values.dtype == pl.String else values.is_null()
            )
            mend = "fill in the time or leave the row out"
            faults.append(Fault("empty_timestamp", label, empty, values, mend))
        if column.plus is not None:
            added, odd = readable(batch.frame[column.plus], column.plus, lists=False)
            offset, wrong = as_double(added, column.plus)
            times, outside = self._times[name].moved(times, offset * column.plus_seconds)
            mend = "check the unit (plus_seconds), or leave it empty if it is unknown"
            out = Fault("bad_timestamp", column.plus, outside, offset.cast(pl.String), mend)
            faults += [*odd, *wrong, out]
        return times, faults

    def _without_time(self, batch: Batch, faults: list[Fault]) -> list[Fault]:
        """A tag is of use without its time (no split will ever show it), so it is kept."""
        for fault in faults:
            places = fault.bad.arg_true()
            if len(places):
                self.findings.warn(
                    fault.check,
                    len(places),
                    f"{batch.file}: {batch.unit} {batch.numbers[int(places[0])]:,}",
                    f'"{fault.found[int(places[0])]}"',
                    "tags kept without a time",
                )
        return []


def _typed(
    kind: pl.DataType, sources: Sequence[pl.Series], label: str, column: Column, table: TableKind
) -> tuple[pl.Series, list[Fault]]:
    nan_is_missing = table.nan_is_missing
    series: tuple[pl.Series, list[Fault]]
    match kind:
        case pl.Float32():
            series = as_number(sources, label, column.scale, nan_is_missing=nan_is_missing)
        case pl.Int64():
            series = as_whole_number(sources, label, column.scale)
        case pl.Boolean():
            series = as_flag(sources, label)
        case pl.List():
            series = as_labels(sources, column.split), []
        case pl.Date():
            series = as_date(sources, label)
        case _:
            series = as_text(sources), []
    return series
