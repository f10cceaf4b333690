"""Tables from outside become Polars frames here; the one place that knows of other libraries."""

import sys
from collections.abc import Sequence
from typing import Any, Protocol

import polars as pl
import pyarrow as pa

from crossfade.data.vocabulary import check_texts
from crossfade.errors import DataError


class Frame(Protocol):
    """A data frame of Polars, of pandas, or of whatever else hands out Arrow data."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The table as a stream of Arrow data."""


def to_polars(frame: Frame, table: str) -> pl.DataFrame:
    """The same table as a Polars frame.

    From pandas all spellings of missing (NaN, None, NaT, NA) become null. Its row labels are left
    behind where they have no name, and refused where they have one, for then they hold something.

    Args:
        frame: From outside.
        table: Its name, for messages.

    Raises:
        DataError: If it is no data frame, or a column cannot be read.
    """
    if isinstance(frame, pl.DataFrame):
        return frame
    pandas = sys.modules.get("pandas")  # who has a pandas frame has imported it
    if pandas is not None and isinstance(frame, pandas.DataFrame):
        return _from_pandas(frame, table)
    if not hasattr(frame, "__arrow_c_stream__"):
        mend = (
            "collect it first" if isinstance(frame, pl.LazyFrame) else "polars.DataFrame makes one"
        )
        raise DataError(
            f"{table}: a data frame of Polars or pandas is needed, got {type(frame).__name__}; {mend}"
        )
    return pl.DataFrame(frame)


def to_pairs(pairs: Frame | Sequence[tuple[str, str]]) -> pl.DataFrame:
    """``user_id`` and ``item_id`` as text; further columns are left out.

    Args:
        pairs: A table with these columns, or pairs of ids.

    Raises:
        DataError: As `to_polars`, and if a column is missing or holds no ids.
        ConfigError: If an id of a pair is no text.
    """
    names = ("user_id", "item_id")
    if isinstance(pairs, Sequence):
        ids = {name: [pair[at] for pair in pairs] for at, name in enumerate(names)}
        for name, column in ids.items():
            check_texts(f"{name} of pairs", column)
        return pl.DataFrame(ids, dict.fromkeys(names, pl.String))
    frame = to_polars(pairs, "pairs")
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise DataError(
            f"pairs: column {', '.join(missing)} is missing; the columns are {', '.join(frame.columns)}"
        )
    check_ids(frame, names, "pairs")
    return frame.select(pl.col(names).cast(pl.String))


def check_ids(frame: pl.DataFrame, names: Sequence[str], table: str) -> None:
    """Raise where ids are floats, which pandas makes of whole numbers with gaps.

    Raises:
        DataError: For the first such column.
    """
    for name in names:
        if frame.schema[name].is_float():
            raise DataError(
                f"{table}: {name} holds {frame.schema[name]}, and 7.0 is not the id 7; drop the rows without an "
                "id, then turn the others into whole numbers or text"
            )


def _from_pandas(frame: Any, table: str) -> pl.DataFrame:
    labels = [str(name) for name in frame.index.names if name is not None]
    if labels:
        raise DataError(
            f"{table}: {', '.join(labels)} is the index of the frame, not a column; call reset_index() "
            "first, or reset_index(drop=True) to leave it out"
        )
    names = list(frame.columns)
    odd = [name for name in names if not isinstance(name, str) or names.count(name) > 1]
    if odd:
        raise DataError(f"{table}: column {odd[0]!r} needs a text of its own as a name; rename it")
    return pl.DataFrame([_column(frame[name], name, table) for name in names])


def _column(column: Any, name: str, table: str) -> pl.Series:
    """One column of a pandas frame."""
    try:
        series = pl.Series(name, pa.array(column, from_pandas=True))
    except (pa.ArrowException, OverflowError, UnicodeError) as error:
        raise DataError(
            f"{table}: column {name} cannot be read ({str(error).splitlines()[0]}): it holds {_kinds(column)}; "
            'make all its values of one kind, for example with .map(str, na_action="ignore")'
        ) from None
    if isinstance(series.dtype, pl.List) and "set" in _kinds(column):
        raise DataError(
            f"{table}: column {name} holds sets, whose order differs from run to run; sort them into lists"
        )
    if isinstance(series.dtype, pl.BaseExtension):
        raise DataError(
            f"{table}: column {name} holds {column.dtype}; turn it into times, numbers or text first"
        )
    return series


def _kinds(column: Any) -> str:
    """Python types of the values, such as ``int, str``."""
    return ", ".join(sorted({type(value).__name__ for value in column.dropna()}))
