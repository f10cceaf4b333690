"""One score file checked: every fault is found, the rest becomes a wide table of house types."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from crossfade.data.schema import TIMESTAMP
from crossfade.errors import DataError, Problem
from crossfade.meta.outside_formats import base_columns

KEYS = ("user_id", "timestamp", "request_id")
"""What makes a request; the last two are null where a file has none."""

Known = Mapping[str, pl.Series]
"""Ids there are, by ``user_id`` and ``item_id``."""

N_EXAMPLES = 3

TIME_FORMATS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")
"""Times without a zone, which are UTC; ``T`` may stand for the space."""


@dataclass(frozen=True, eq=False)
class CheckedScores:
    """One file.

    Attributes:
        frame: The keys, ``item_id``, and one column per base with null for no score; of no
            use where there are problems.
        problems: What is wrong.
        notes: What was left out.
    """

    frame: pl.DataFrame
    problems: list[Problem]
    notes: list[str]


def checked_scores(
    path: Path,
    frame: pl.DataFrame,
    as_of: datetime | None = None,
    known: Known | None = None,
    ignore_unknown: bool = False,
) -> CheckedScores:
    """Check the rows of a score file.

    Args:
        path: For messages, and as the name of a base without one.
        frame: From `read_source`.
        as_of: When the scores were made, where the file does not say.
        known: Any id goes for what is not in it.
        ignore_unknown: Leave rows with other ids out instead of refusing them.

    Raises:
        DataError: If nobody can tell what its times mean.
    """
    frame, problems = _named(path, frame)
    frame, found = _timed(path, frame, as_of)
    problems += found
    long = "score" in frame.columns
    bases = ["score"] if long else base_columns(frame)
    for name in bases:
        frame, found = _numbers(path, frame, name)
        problems += found
    pair = [*KEYS, "item_id", *(["base"] if long else [])]
    twice = ~frame.select(pl.struct(pair).is_first_distinct()).to_series()
    mend = "keep one score per user, item and base"
    problems += _found("duplicate_pair", path, frame["item_id"], twice, mend)
    notes: list[str] = []
    for column, ids in (known or {}).items():
        unknown = ~frame[column].is_in(ids.implode()) & frame[column].is_not_null()
        if unknown.any():
            told = _told(frame[column].filter(unknown))
            if ignore_unknown:
                notes.append(
                    f"{path.name}: {count(int(unknown.sum()), 'row')} with {told} left out"
                )
                frame = frame.filter(~unknown)
            else:
                problems.append(_unknown(path, unknown, told, ids))
    frame = frame.select(*pair, *bases)
    if long and not problems:
        names = frame["base"].unique(maintain_order=True).to_list()
        frame = frame.pivot(on="base", on_columns=names, index=[*KEYS, "item_id"], values="score")
    return CheckedScores(frame, problems, notes)


def _named(path: Path, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[Problem]]:
    """With ids as text, a column ``request_id`` and, in a long table, ``base``."""
    if "request_id" not in frame.columns:
        frame = frame.with_columns(request_id=pl.lit(None, pl.String))
    if "score" in frame.columns and "base" not in frame.columns:
        frame = frame.with_columns(base=pl.lit(path.stem))
    problems = []
    for name in ("user_id", "item_id", "request_id", "base"):
        if name in frame.columns:
            frame = frame.with_columns(pl.col(name).cast(pl.String).replace("", None))
            if name != "request_id":
                empty = frame[name].is_null()
                mend = "fill it in or drop the row"
                problems += _found("no_id", path, frame[name], empty, mend)
    return frame, problems


def _timed(
    path: Path, frame: pl.DataFrame, as_of: datetime | None
) -> tuple[pl.DataFrame, list[Problem]]:
    """With a full column ``timestamp``, or one of nulls where nobody says when."""
    if "timestamp" not in frame.columns:
        return frame.with_columns(timestamp=pl.lit(as_of, TIMESTAMP)), []
    given = frame["timestamp"]
    if as_of is not None:
        raise DataError(f"{path}: column timestamp says when scores were made; leave --as-of out")
    if given.dtype.is_numeric():
        raise DataError(
            f"{path}: column timestamp holds numbers; turn them into datetimes first, for example "
            "with polars.from_epoch"
        )
    times = _from_text(given) if given.dtype == pl.String else _from_times(given)
    mend = "write every time as ISO 8601, as in 2024-05-01T18:30:00Z"
    problems = _found("bad_timestamp", path, given, times.is_null(), mend)
    return frame.with_columns(times.alias("timestamp")), problems


def _from_text(given: pl.Series) -> pl.Series:
    text = pl.col("timestamp").str.replace("T", " ", literal=True).str.strip_chars()
    zoned = text.str.replace("Z$", "+00:00")
    ways = [zoned.str.to_datetime("%Y-%m-%d %H:%M:%S%.f%:z", time_unit="us", strict=False)]
    ways += [
        text.str.to_datetime(spelling, time_unit="us", strict=False).dt.replace_time_zone("UTC")
        for spelling in TIME_FORMATS
    ]
    return given.to_frame("timestamp").select(pl.coalesce(ways).cast(TIMESTAMP)).to_series()


def _from_times(given: pl.Series) -> pl.Series:
    if isinstance(given.dtype, pl.Datetime) and given.dtype.time_zone is not None:
        return given.dt.convert_time_zone("UTC").cast(TIMESTAMP)
    return given.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _numbers(path: Path, frame: pl.DataFrame, name: str) -> tuple[pl.DataFrame, list[Problem]]:
    """A column of scores as numbers; nothing, NaN and null are the same: no score."""
    given = frame[name]
    if given.dtype == pl.String:
        given = given.str.strip_chars().replace("", None)
    elif not given.dtype.is_numeric() and given.dtype != pl.Null:
        mend = "a base holds numbers; drop the column"
        where = f"{path.name}: column {name}"
        return frame, [Problem("no_number", 0, where, f"holds {given.dtype}", mend)]
    number = given.cast(pl.Float64, strict=False)
    bad = number.is_null() & given.is_not_null()
    problems = _found("no_number", path, given, bad, "write a number, or nothing for no score")
    infinite = number.is_infinite().fill_null(value=False)
    mend = "leave out what a base cannot score, or give it a finite worst score"
    problems += _found("infinite_score", path, number, infinite, mend)
    return frame.with_columns(number.fill_nan(None).alias(name)), problems


def _told(strange: pl.Series) -> str:
    """Unknown ids: how many, and some of them."""
    noun, ids = strange.name.removesuffix("_id"), strange.unique().sort()
    more = ", …" if len(ids) > N_EXAMPLES else ""
    return f"{count(len(ids), f'unknown {noun}')} ({_examples(ids)}{more})"


def count(n: int, noun: str) -> str:
    """A number of things, in words."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _examples(ids: pl.Series) -> str:
    return ", ".join(ids.head(N_EXAMPLES).to_list())


def _unknown(path: Path, unknown: pl.Series, told: str, ids: pl.Series) -> Problem:
    noun = unknown.name.removesuffix("_id")
    mend = (
        f"use ids like {_examples(ids)} ({len(ids):,} {noun}s), drop the rows, or leave them out with "
        "--ignore-unknown"
    )
    where = f"{path.name}: row {int(unknown.arg_max() or 0) + 1}"
    return Problem(f"unknown_{noun}", int(unknown.sum()), where, told, mend)


def _found(check: str, path: Path, column: pl.Series, wrong: pl.Series, mend: str) -> list[Problem]:
    if not wrong.any():
        return []
    first = int(wrong.arg_max() or 0)
    value = column[first]
    found = f"{column.name} is {'missing' if value is None else repr(value)}"
    return [Problem(check, int(wrong.sum()), f"{path.name}: row {first + 1}", found, mend)]
