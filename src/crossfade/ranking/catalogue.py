"""What ranking knows of the items, as arrays, read once from the catalogue."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import polars as pl

from crossfade.arrays import pack_strings, unpack_strings
from crossfade.errors import DataError
from crossfade.ranking.rule_masks import as_utc, matching
from crossfade.types import Arrays, Bools, Doubles, Floats, Ints, Rows, Times

N_MASKS = 64
"""Sets of rules whose masks are remembered, a byte an item each."""

ALWAYS_FROM, ALWAYS_UNTIL = np.iinfo(np.int64).min, np.iinfo(np.int64).max


class RankingCatalogue:
    """The items of one data set, for making lists of them.

    Args:
        items: One row per item row, as in `Dataset`; rules speak of its columns.
        kept: `facts` of a catalogue of the same items, such as a bundle keeps; None reads them.

    Attributes:
        facts: What is read of the items: all that follows, as plain arrays.
        creator: Number of each item's creator, -1 where unknown, shape ``(n_items,)``.
            ``creator_id`` tells creators apart, the name where an item has none.
        n_creators: How many there are.
        genres: Their names in lower case, sorted; their numbers are their places here.
        genre_indptr: Genres of item ``i`` are ``[genre_indptr[i], genre_indptr[i + 1])`` of:
        genre: Genre numbers, sorted and unique within an item; none means unknown.
        available_from_us: First moment of each item, shape ``(n_items,)``; the smallest
            integer where there is no bound. None without a column ``available_from``.
        available_until_us: The moment it is gone, likewise, by ``available_until``.

    Raises:
        DataError: If availability holds no dates, or ends before it begins.
        KeyError: If something is missing in ``kept``.
        ValueError: If what is kept is of another number of items.
    """

    def __init__(self, items: pl.DataFrame, kept: Arrays | None = None) -> None:
        self.items = items
        self.facts = facts = _read(items) if kept is None else kept
        self.creator: Rows = facts["creator"].astype(np.int32, copy=False)
        if len(self.creator) != items.height:
            raise ValueError(
                f"the ranking is of {len(self.creator):,} items, not of {items.height:,}"
            )
        self.n_creators = int(self.creator.max(initial=-1)) + 1
        self.genres = tuple(unpack_strings("genres", facts))
        self.genre_indptr: Ints = facts["genre_indptr"].astype(np.int64, copy=False)
        self.genre: Rows = facts["genre"].astype(np.int32, copy=False)
        self.available_from_us = _window(facts, "available_from")
        self.available_until_us = _window(facts, "available_until")
        self._allowed = lru_cache(N_MASKS)(self._matching)

    @property
    def n_items(self) -> int:
        """Number of item rows."""
        return self.items.height

    @property
    def has_windows(self) -> bool:
        """Whether items come and go, so that a list needs a moment."""
        return self.available_from_us is not None or self.available_until_us is not None

    def allowed(self, rules: Sequence[str]) -> Bools:
        """Items for which every rule is true, shape ``(n_items,)``, read-only; see `matching`.

        The last masks are remembered, so rules that come again cost nothing.

        Raises:
            ConfigError: As `matching`.
        """
        return self._allowed(tuple(rules))

    def _matching(self, rules: tuple[str, ...]) -> Bools:
        mask = matching(rules, self.items)
        mask.flags.writeable = False
        return mask

    def genre_shares(
        self, item_rows: Rows, weight: Floats | Doubles | None = None
    ) -> Doubles | None:
        """How some items, such as a history, spread over the genres.

        Each item gives its weight in equal parts to its genres.

        Args:
            item_rows: Any number; -1 (unknown) and items without a genre do not count.
            weight: 0 or more for each, such as the strength of an event; None counts all alike.

        Returns:
            Shares that sum to 1, shape ``(n_genres,)``; None where no genre is known.

        Source:
            Steck (2018), "Calibrated Recommendations", p(g|u).
        """
        weights = np.ones(len(item_rows)) if weight is None else np.asarray(weight, np.float64)
        known = item_rows >= 0
        rows, weights = item_rows[known], weights[known]
        starts, sizes = self.genre_indptr[rows], np.diff(self.genre_indptr)[rows]
        first = np.cumsum(sizes) - sizes
        flat = np.repeat(starts - first, sizes) + np.arange(sizes.sum())
        parts = np.repeat(weights / np.maximum(sizes, 1), sizes)
        total = np.bincount(self.genre[flat], weights=parts, minlength=len(self.genres))
        return total / total.sum() if total.sum() > 0 else None


def _read(items: pl.DataFrame) -> Arrays:
    """The facts of a catalogue."""
    genres, indptr, genre = _genres(items)
    found: Arrays = {"creator": _creators(items), "genre_indptr": indptr, "genre": genre}
    found |= pack_strings("genres", genres)
    for name, without in (("available_from", ALWAYS_FROM), ("available_until", ALWAYS_UNTIL)):
        moments = _moments(items, name, without)
        if moments is not None:
            found[name] = moments
    _check_windows(items, found)
    return found


def _window(facts: Arrays, name: str) -> Times | None:
    return facts[name].astype(np.int64, copy=False) if name in facts else None


def _check_windows(items: pl.DataFrame, facts: Arrays) -> None:
    begin, end = (_window(facts, name) for name in ("available_from", "available_until"))
    if begin is None or end is None:
        return
    wrong = np.flatnonzero(end < begin)
    if len(wrong):
        raise DataError(
            f"items: {len(wrong):,} of {items.height:,} have available_until before available_from (first: "
            f'"{items["item_id"][int(wrong[0])]}"); mend or empty one of the two'
        )


def _creators(items: pl.DataFrame) -> Rows:
    """A number for each creator, -1 where it is unknown."""
    # The two kinds of key may not meet: a name is no id.
    keys = [
        pl.lit(f"{column} ") + pl.when(label != "").then(label)
        for column, label in (
            ("creator_id", pl.col("creator_id").cast(pl.String)),
            ("creator", pl.col("creator").cast(pl.String).str.strip_chars().str.to_lowercase()),
        )
        if column in items.columns
    ]
    if not keys:
        return np.full(items.height, -1, dtype=np.int32)
    number = items.select(key=pl.coalesce(keys)).select(
        pl.when(pl.col("key").is_not_null()).then(pl.col("key").rank("dense").cast(pl.Int32) - 1)
    )["key"]
    # Copied, since Polars lends memory that may not be written: another type to a compiled loop.
    return number.fill_null(-1).to_numpy().copy()


def _genres(items: pl.DataFrame) -> tuple[tuple[str, ...], Ints, Rows]:
    """Names of the genres, and those of each item by number."""
    if "genres" not in items.columns:
        return (), np.zeros(items.height + 1, dtype=np.int64), np.empty(0, dtype=np.int32)
    pairs = (
        items.select(pl.int_range(pl.len()).alias("item_row"), genre="genres")
        .explode("genre")
        .with_columns(pl.col("genre").cast(pl.String).str.strip_chars().str.to_lowercase())
        .filter(pl.col("genre") != "")
        .unique()
        .sort("item_row", "genre")
    )
    number = pairs["genre"].rank("dense").cast(pl.Int32).to_numpy() - 1
    sizes = np.bincount(pairs["item_row"].to_numpy(), minlength=items.height)
    indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return tuple(pairs["genre"].unique().sort()), indptr, number.astype(np.int32)


def _moments(items: pl.DataFrame, name: str, without: int) -> Times | None:
    """A column of dates in microseconds, ``without`` where it is empty; None without the column."""
    if name not in items.columns or items[name].null_count() == items.height:
        return None
    column = items[name]
    if not isinstance(column.dtype, pl.Date | pl.Datetime):
        raise DataError(
            f"items: column {name} holds {column.dtype}; turn it into dates or datetimes first, for example with "
            "str.to_datetime or polars.from_epoch"
        )
    moment = items.select(as_utc(pl.col(name), column.dtype).to_physical().fill_null(without))
    return moment[name].to_numpy()
