"""Times of every usual spelling, a column at a time.

How a column spells its times is decided once, from the first rows, and kept: a
column whose first values are Unix milliseconds is milliseconds to its end, and a
value that does not fit is a fault instead of a guess.
"""

from datetime import datetime
from typing import Literal

import polars as pl

from crossfade.data.faults import Fault
from crossfade.data.schema import TIMESTAMP

EARLIEST_US = 86_400_000_000
"""1970-01-02: what lies before is an unset clock, not a listener."""

MAX_SHIFT_US = 4e15
"""More than a century: no offset anybody means, and still exact as a float."""

Spelling = Literal["time", "date", "text", "s", "ms", "us"]
UNIT_US: dict[str, float] = {"s": 1e6, "ms": 1e3, "us": 1.0}
UNIT_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds"}
# A present-day time is about 1.7e9 s, 1.7e12 ms, 1.7e15 us: cut half way between.
LARGEST_S, LARGEST_MS = 5e10, 5e13

NUMERIC = r"^[+-]?\d+(\.\d+)?([eE][+-]?\d+)?$"
HOURS_ONLY = r"(:\d{2}(?:\.\d+)?[+-]\d{2})$"
ZONED_FORMATS = ("%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M%#z")
NAIVE_FORMATS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d", "%Y-%m-%d %H:%M")


class TimeReader:
    """Turns the values of one time column into UTC microseconds."""

    def __init__(self, column: str, format_: str | None, now: datetime) -> None:
        self.column, self.format = column, format_
        self.now_us = int(pl.Series([now], dtype=TIMESTAMP).to_physical()[0])
        self._spelling: Spelling | None = None
        self._zoned: bool | None = None

    def read(self, values: pl.Series) -> tuple[pl.Series, list[Fault]]:
        """Times (null where missing or wrong) and what is wrong with the others.

        Naive times are taken as UTC. A column in which some texts have a zone and
        some have none is at fault where it leaves its first row's way.
        """
        empty = values.is_null()
        if values.dtype == pl.String:
            values = values.str.strip_chars()
            empty = values.is_null() | (values == "")
            values = values.set(empty, None)
        if self._spelling is None and not empty.all():
            self._spelling = self._decide(values)
        faults = []
        mixed = pl.repeat(value=False, n=len(values), dtype=pl.Boolean, eager=True)
        match self._spelling:
            case None:
                times = pl.repeat(None, len(values), dtype=pl.Int64, eager=True)
            case "time" | "date":
                times = _typed(values)
            case "text":
                times, mixed = self._texts(values)
            case unit:
                times = _unix(values, UNIT_US[unit])
        bad = ~empty & ~mixed & (times.is_null() | (times < EARLIEST_US).fill_null(value=False))
        future = (times > self.now_us).fill_null(value=False)
        mend = "write times as ISO 8601 or Unix time, all in one way, or set format"
        faults.append(self._fault("bad_timestamp", bad, values, mend))
        mend = "write every time with a zone, or none with a zone (then taken as UTC)"
        faults.append(self._fault("mixed_time_zones", mixed, values, mend))
        mend = f"check the clock or the unit of this column (read as {self.describe()})"
        faults.append(self._fault("future_timestamp", future, values, mend))
        return times.set(bad | mixed | future, None).cast(TIMESTAMP).rename("time"), faults

    def moved(self, times: pl.Series, seconds: pl.Series) -> tuple[pl.Series, pl.Series]:
        """Times moved by some seconds (unknown ones by none), and which lead out of all reason.

        Those come out null: before 1970, after now, or beyond what a time can say.
        """
        shift = (seconds.fill_null(0.0) * 1e6).round(0)
        beyond = ~shift.is_between(-MAX_SHIFT_US, MAX_SHIFT_US)
        moved = times.to_physical() + shift.set(beyond, 0.0).cast(pl.Int64)
        out = (moved < EARLIEST_US) | (moved > self.now_us) | beyond
        out &= times.is_not_null()
        return moved.set(out, None).cast(TIMESTAMP), out.fill_null(value=False)

    def describe(self) -> str:
        """How the column was understood."""
        match self._spelling:
            case None:
                return "empty"
            case "s" | "ms" | "us":
                return f"Unix {UNIT_NAMES[self._spelling]}"
            case "date":
                return "dates, taken as midnight UTC"
            case _:
                return "times with zones" if self._zoned else "times without zone, taken as UTC"

    def _decide(self, values: pl.Series) -> Spelling:
        if values.dtype == pl.Date:
            return "date"
        if isinstance(values.dtype, pl.Datetime):
            self._zoned = values.dtype.time_zone is not None
            return "time"
        if self.format is not None:
            return "text"
        known = values.drop_nulls()
        if known.dtype == pl.String:
            numeric = known.filter(known.str.contains(NUMERIC))
            if 2 * len(numeric) <= len(known):
                return "text"
            known = numeric
        middle = known.cast(pl.Float64, strict=False).abs().median()
        assert isinstance(middle, float)
        return "s" if middle < LARGEST_S else "ms" if middle < LARGEST_MS else "us"

    def _texts(self, values: pl.Series) -> tuple[pl.Series, pl.Series]:
        """Microseconds, and which texts are zoned where the column is not, or the reverse."""
        if values.dtype != pl.String:
            values = values.cast(pl.String)
        if self.format is not None:
            parsed = values.str.to_datetime(self.format, strict=False, time_unit="us")
            none = pl.repeat(value=False, n=len(values), dtype=pl.Boolean, eager=True)
            return parsed.to_physical(), none
        if values.str.ends_with(" UTC").any():
            values = values.str.replace(r" UTC$", "Z")
        texts = values.str.replace("T", " ", literal=True)
        if texts.str.contains(HOURS_ONLY).any():
            texts = texts.str.replace(HOURS_ONLY, "${1}00")
        if self._zoned is None:
            self._zoned = self._first_is_zoned(texts)
        ours: tuple[str, ...] = ZONED_FORMATS if self._zoned else NAIVE_FORMATS
        theirs: tuple[str, ...] = NAIVE_FORMATS if self._zoned else ZONED_FORMATS
        times = _first_fit(texts, ours)
        left = times.is_null() & texts.is_not_null()
        if not left.any():
            return times, left
        return times, left & _first_fit(texts.set(~left, None), theirs).is_not_null()

    @staticmethod
    def _first_is_zoned(texts: pl.Series) -> bool | None:
        zoned = _first_fit(texts, ZONED_FORMATS).is_not_null()
        known = (zoned | _first_fit(texts, NAIVE_FORMATS).is_not_null()).arg_true()
        return bool(zoned[int(known[0])]) if len(known) else None

    def _fault(self, check: str, bad: pl.Series, values: pl.Series, mend: str) -> Fault:
        return Fault(check, self.column, bad, values, mend)


def _typed(values: pl.Series) -> pl.Series:
    kind = values.dtype
    if isinstance(kind, pl.Datetime) and kind.time_zone is not None:
        values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return values.cast(pl.Datetime("us"), strict=False).to_physical()


def _unix(values: pl.Series, unit_us: float) -> pl.Series:
    numbers = values.cast(pl.Float64, strict=False)
    # Beyond this a float is no exact microsecond any more, and no year anybody means.
    numbers = numbers.set((numbers.abs() * unit_us > 9e18) | numbers.is_nan(), None)
    return (numbers * unit_us).round(0).cast(pl.Int64, strict=False)


def _first_fit(texts: pl.Series, formats: tuple[str, ...]) -> pl.Series:
    """Each text by the first format it has; later formats see only what is left."""
    times = pl.repeat(None, len(texts), dtype=pl.Int64, eager=True)
    for form in formats:
        left = (times.is_null() & texts.is_not_null()).arg_true()
        if left.is_empty():
            break
        whole = len(left) == len(texts)
        these = texts if whole else texts.gather(left)
        parsed = these.str.to_datetime(form, strict=False, time_unit="us").to_physical()
        times = parsed if whole else times.scatter(left, parsed)
    return times
