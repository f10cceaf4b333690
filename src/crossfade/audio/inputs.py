"""What a catalogue says about its items, as numbers: words, labels, duration and year.

Only the columns named here are read. Popularity, ratings and whatever else a catalogue
holds cannot reach the predictor.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from crossfade.arrays import pack_strings, unpack_strings
from crossfade.data.schema import ITEM_COLUMNS
from crossfade.types import Arrays, Bools, Csr, Floats

INPUT_COLUMNS = (
    "title",
    "creator",
    "creator_id",
    "collection",
    "genres",
    "moods",
    "duration_ms",
    "release_date",
)
N_NUMBERS = 7
_WORD = r"[\p{L}\p{N}']+"
_TEXTS = ("title", "collection", "creator")
_LABELS = ("genres", "moods")
_TYPICAL_MS = 200_000
_TYPICAL_YEAR = 2000


@dataclass(frozen=True)
class Inputs:
    """Items as a network sees them.

    Attributes:
        tokens: Which words and labels each item has, CSR ``(n, n_tokens)`` of ones.
        numbers: Duration, year, lengths and what is absent, shape ``(n, N_NUMBERS)``; finite.
        creator: Key of each item's creator, null where nobody is named.
        informed: Whether anything at all is known beside the creator, shape ``(n,)``.
    """

    tokens: Csr
    numbers: Floats
    creator: pl.Series
    informed: Bools


@dataclass(frozen=True)
class Words:
    """The words and labels that training saw often enough, sorted."""

    tokens: pl.Series

    @classmethod
    def of(cls, items: pl.DataFrame, min_creators: int) -> "Words":
        """Tokens that items of at least ``min_creators`` creators have.

        An item that names no creator counts as a creator of its own.
        """
        chosen = input_columns(items)
        own = pl.int_range(pl.len()).cast(pl.String)
        creators = chosen.select(creator=pl.coalesce(creator_keys(chosen), "item:" + own))
        found = _tokens(chosen)
        found = found.with_columns(creator=creators["creator"].gather(found["row"]))
        counted = found.group_by("token").agg(n=pl.col("creator").n_unique())
        return cls(counted.filter(pl.col("n") >= min_creators)["token"].sort())

    def inputs(self, items: pl.DataFrame) -> Inputs:
        """Any items in terms of these words; unknown words and labels are left out."""
        chosen = input_columns(items)
        found = _tokens(chosen).with_columns(
            column=pl.col("token").cast(pl.Enum(self.tokens), strict=False).to_physical()
        )
        found = found.drop_nulls("column").sort("row", "column")
        rows, columns = found["row"].to_numpy(), found["column"].to_numpy().astype(np.int32)
        tokens = Csr(
            (np.ones(len(rows), dtype=np.float32), (rows, columns)),
            shape=(items.height, len(self.tokens)),
        )
        said = found.filter(~pl.col("token").str.starts_with("none:"))["row"].unique().to_numpy()
        informed = np.zeros(items.height, dtype=np.bool_)
        informed[said] = True
        numbers = _numbers(chosen)
        informed |= (numbers[:, _NO_DURATION] == 0) | (numbers[:, _NO_YEAR] == 0)
        return Inputs(tokens, numbers, creator_keys(chosen), informed)

    def to_arrays(self) -> Arrays:
        """As plain arrays."""
        return pack_strings("tokens", self.tokens.to_list())

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "Words":
        """The inverse of `to_arrays`."""
        return cls(pl.Series("token", unpack_strings("tokens", arrays), dtype=pl.String))


def input_columns(items: pl.DataFrame) -> pl.DataFrame:
    """The columns a predictor may see, null where the catalogue lacks one."""
    absent = [pl.lit(None).alias(name) for name in INPUT_COLUMNS if name not in items.columns]
    return items.with_columns(absent).select(
        pl.col(name).cast(ITEM_COLUMNS[name]) for name in INPUT_COLUMNS
    )


def creator_keys(items: pl.DataFrame) -> pl.Series:
    """One text per creator: the id where the catalogue has one, else the name in lower case.

    Null where an item has neither.
    """
    chosen = input_columns(items)
    name = pl.col("creator").str.to_lowercase().str.strip_chars()
    name = pl.when(name != "").then(name)
    key = pl.coalesce("id:" + pl.col("creator_id"), "name:" + name)
    return chosen.select(creator=key)["creator"]


def _tokens(chosen: pl.DataFrame) -> pl.DataFrame:
    """Distinct pairs of ``row`` and ``token``; a token starts with the column it comes from."""
    frame = chosen.with_row_index("row")
    parts = [
        _words(frame, name, pl.col(name).str.to_lowercase().str.extract_all(_WORD))
        for name in _TEXTS
    ]
    for name in _LABELS:
        labels = pl.col(name).list.eval(pl.element().str.to_lowercase().str.strip_chars())
        parts.append(_words(frame, name, labels))
        inside = _words(frame, "", labels).with_columns(
            pl.col("token").str.slice(1).str.extract_all(_WORD)
        )
        parts.append(_words(inside, f"{name} word", pl.col("token")))
    # Coarse and fine steps beside the plain numbers: taste in length and sound of an era are no lines.
    seconds = pl.when(pl.col("duration_ms") > 0).then(pl.col("duration_ms") / 1000).log()
    year = pl.col("release_date").dt.year()
    for name, steps in (
        ("duration fine", seconds * 8),
        ("duration", seconds * 3),
        ("year", year.cast(pl.Float64)),
        ("years", (year // 5).cast(pl.Float64)),
    ):
        text = steps.round().cast(pl.Int64).cast(pl.String)
        parts.append(frame.select("row", token=name + ":" + text).drop_nulls())
    for name in (*_LABELS, "collection", "release_date"):
        column = pl.col(name)
        absent = column.list.len().fill_null(0) == 0 if name in _LABELS else column.is_null()
        parts.append(frame.filter(absent).select("row", token=pl.lit(f"none:{name}")))
    return pl.concat(parts)


def _words(frame: pl.DataFrame, prefix: str, words: pl.Expr) -> pl.DataFrame:
    found = frame.select("row", token=words).explode("token")
    found = found.filter(pl.col("token").is_not_null() & (pl.col("token") != ""))
    return found.with_columns(token=prefix + ":" + pl.col("token")).unique()


_NO_DURATION, _NO_YEAR = 2, 4


def _numbers(chosen: pl.DataFrame) -> Floats:
    seconds_ratio = pl.when(pl.col("duration_ms") > 0).then(pl.col("duration_ms") / _TYPICAL_MS)
    length = seconds_ratio.log().clip(-2, 2)
    year = ((pl.col("release_date").dt.year() - _TYPICAL_YEAR) / 15).clip(-6, 2)
    found = chosen.select(
        length=length.fill_null(0.0),
        unusual_length=length.abs().fill_null(0.0),
        no_duration=length.is_null(),
        year=year.fill_null(0.0),
        no_year=year.is_null(),
        title=pl.col("title").str.len_chars().fill_null(0).log1p() - 3,
        labels=sum(
            (pl.col(name).list.len().fill_null(0).log1p() for name in _LABELS), start=pl.lit(0.0)
        ),
    )
    return found.cast(pl.Float32).to_numpy()
