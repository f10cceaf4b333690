"""Frames from outside brought into the shape of the event contract, or refused."""

from collections.abc import Sequence

import polars as pl

from crossfade.data.frames import Frame, check_ids, to_polars
from crossfade.data.schema import PLAY, SKIP, TIMESTAMP
from crossfade.data.vocabulary import Vocabulary
from crossfade.errors import DataError


def conform(
    frame: Frame,
    columns: dict[str, pl.DataType],
    table: str,
    required: Sequence[str],
    others: str | None = None,
) -> pl.DataFrame:
    """Known columns in their house types.

    Args:
        frame: A table from outside.
        columns: The columns of the event contract and their types.
        table: Its name, for messages.
        required: Columns that must be there and full.
        others: Unknown columns are refused unless they start with this.

    Raises:
        DataError: If a column is missing or unknown, a value does not fit, or an id is empty.
    """
    frame = to_polars(frame, table)
    missing = [name for name in required if name not in frame.columns]
    if missing:
        raise DataError(
            f"{table}: column {', '.join(missing)} is missing; the columns are {', '.join(frame.columns)}"
        )
    unknown = [
        name
        for name in frame.columns
        if name not in columns and (others is None or not name.startswith(others))
    ]
    if unknown:
        raise DataError(
            f"{table}: unknown column {', '.join(unknown)}; map it to one of {', '.join(columns)}"
        )
    check_ids(frame, required, table)
    frame = frame.with_columns(
        _cast(frame[name], kind, table) for name, kind in columns.items() if name in frame.columns
    )
    infinite = [
        name
        for name, kind in columns.items()
        if kind == pl.Float32 and name in frame.columns and frame[name].is_infinite().any()
    ]
    if infinite:
        raise DataError(
            f"{table}: {', '.join(infinite)} is infinite in some rows, or too large to be kept as a "
            "32-bit number; mend these values or leave them empty"
        )
    empty = [name for name in required if frame[name].null_count() or (frame[name] == "").any()]
    if empty:
        raise DataError(
            f"{table}: {', '.join(empty)} is empty in some rows; fill them in or drop those rows"
        )
    return frame


def _cast(column: pl.Series, kind: pl.DataType, table: str) -> pl.Series:
    """A column in its house type."""
    # Seconds or milliseconds, since which year? Polars would take any number for microseconds.
    if kind.is_temporal() and column.dtype.is_numeric():
        raise DataError(
            f"{table}: column {column.name} holds numbers; turn them into datetimes first, for example with "
            f"polars.{'from_epoch' if kind == TIMESTAMP else 'date'}"
        )
    if kind.is_numeric() and column.dtype.is_temporal():
        raise DataError(
            f"{table}: column {column.name} holds {column.dtype}; turn it into numbers first, for example with "
            "dt.total_milliseconds"
        )
    try:
        return _to_utc(column) if kind == TIMESTAMP else column.cast(kind)
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{table}: a value does not fit its column {column.name}: {str(error).splitlines()[0]}; "
            f"turn it into {kind} first"
        ) from None


def _to_utc(column: pl.Series) -> pl.Series:
    """Naive times are taken as UTC; others are converted."""
    kind = column.dtype
    if isinstance(kind, pl.Datetime) and kind.time_zone is not None:
        return column.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    return column.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def conform_catalogue(
    frame: Frame | None, columns: dict[str, pl.DataType], noun: str
) -> pl.DataFrame:
    """A table with one row per id; columns the contract does not know are kept.

    Raises:
        DataError: As `conform`, and if an id occurs twice.
    """
    key = f"{noun}_id"
    if frame is None:
        return pl.DataFrame(schema={key: pl.String})
    frame = to_polars(frame, f"{noun}s")
    known = {name: kind for name, kind in columns.items() if name in frame.columns}
    extra = {name: kind for name, kind in frame.schema.items() if name not in columns}
    frame = conform(frame, {**known, **extra}, f"{noun}s", (key,))
    n_twice = frame.height - frame[key].n_unique()
    if n_twice:
        first = frame.filter(pl.col(key).is_duplicated())[key][0]
        raise DataError(
            f'{noun}s: {n_twice:,} ids occur more than once (first: "{first}"); keep one row per {noun}'
        )
    return frame


def all_timed(events: pl.DataFrame, name: str) -> pl.DataFrame:
    """Events that all have a time, or no column of times.

    Raises:
        DataError: If some have one and some have not.
    """
    n_missing = events["timestamp"].null_count() if "timestamp" in events.columns else 0
    if 0 < n_missing < events.height:
        raise DataError(
            f"{name}: {n_missing:,} of {events.height:,} events have no timestamp; fill in or drop them"
        )
    return events.drop("timestamp") if n_missing else events


def by_id(ids: Vocabulary, catalogue: pl.DataFrame) -> pl.DataFrame:
    """One row per id, in the order of the ids; null where the catalogue says nothing."""
    frame = pl.DataFrame({f"{ids.noun}_id": ids.ids})
    return frame.join(catalogue, on=f"{ids.noun}_id", how="left", maintain_order="left")


def encode(frame: pl.DataFrame, **vocabularies: Vocabulary) -> pl.DataFrame:
    """Columns named ``x_id`` become ``x_row``; ids their vocabulary does not know become null."""
    rows = [
        v.encode(frame[column]).alias(column.replace("_id", "_row"))
        for column, v in vocabularies.items()
    ]
    return frame.drop(*vocabularies).select(*rows, pl.all())


def conform_pairs(
    frame: Frame | None, columns: dict[str, pl.DataType], table: str, *ids: Vocabulary
) -> pl.DataFrame | None:
    """A table of pairs with rows in place of its two ids; pairs with an unknown one are left out.

    Args:
        frame: From outside; None stays None.
        columns: As the contract has them, the ids first; all are required but times.
        table: Its name, for messages.
        ids: Of the two.

    Raises:
        DataError: As `conform`.
    """
    if frame is None:
        return None
    required = [name for name, kind in columns.items() if kind != TIMESTAMP]
    rows = encode(conform(frame, columns, table, required), **dict(zip(columns, ids, strict=False)))
    return rows.drop_nulls(rows.columns[: len(ids)])


def with_skips(events: pl.DataFrame) -> pl.DataFrame:
    """Events whose ``skipped`` also tells of skips that are events of kind ``skip``.

    A log without the column that has such events tells skips by kind: there a ``play`` was
    not skipped. A log without any such event stays as it is, for its plays say nothing.
    """
    if "event" not in events.columns or not (events["event"] == SKIP).any():
        return events
    kind = pl.col("event")
    told = (
        pl.col("skipped")
        if "skipped" in events.columns
        else pl.when(kind == PLAY).then(statement=False)
    )
    skip = pl.when(kind == SKIP).then(statement=True).otherwise(told)
    return events.with_columns(skip.alias("skipped"))
