"""Beyond accuracy: how known, how varied and how widely spread the recommended items are."""

from dataclasses import dataclass

import numba
import numpy as np
import polars as pl

from crossfade.arrays import n_shared
from crossfade.data import Dataset
from crossfade.types import Doubles, Ints, Rows


@dataclass(frozen=True)
class ItemFacts:
    """What is known about items at the cut, for judging lists.

    Attributes:
        n_known_by: Training users with any event on the item, shape ``(n_items,)``.
        n_users: Training users with any event at all.
        genre_indptr: Genres of item ``i`` are ``[genre_indptr[i], genre_indptr[i + 1])`` of:
        genre_row: Genre numbers, sorted and unique within an item; none means unknown.
    """

    n_known_by: Ints
    n_users: int
    genre_indptr: Ints
    genre_row: Rows

    @classmethod
    def of(cls, train: Dataset) -> "ItemFacts":
        """Facts from training events and the catalogue; nothing later is looked at."""
        pairs = train.events.select("user_row", "item_row").unique()
        n_known_by = np.bincount(pairs["item_row"].to_numpy(), minlength=train.n_items)
        genres = _genre_pairs(train.items)
        sizes = np.bincount(genres["item_row"].to_numpy(), minlength=train.n_items)
        return cls(
            n_known_by=n_known_by.astype(np.int64),
            n_users=pairs["user_row"].n_unique(),
            genre_indptr=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            genre_row=genres["genre_row"].to_numpy().astype(np.int32),
        )


def novelty(lists: Rows, facts: ItemFacts) -> Doubles:
    """Mean of -log2 of the share of training users who know the item, in bits.

    An item that nobody knows counts as known to one user: it is as novel as the rarest
    known item, since the data cannot tell how much more.

    Args:
        lists: Item rows, -1 padded, shape ``(n, k)``.
        facts: As of the cut.

    Returns:
        Shape ``(n,)``, 0 or more; NaN for empty lists.

    Source:
        Zhou et al. (2010), "Solving the apparent diversity-accuracy dilemma of
        recommender systems" (mean self-information).
    """
    return _mean_over_list(-np.log2(np.maximum(facts.n_known_by, 1) / facts.n_users), lists)


def popularity(lists: Rows, facts: ItemFacts) -> Doubles:
    """Mean share of training users who know the recommended items, in [0, 1]; NaN if empty."""
    return _mean_over_list(facts.n_known_by / facts.n_users, lists)


def diversity(lists: Rows, facts: ItemFacts) -> Doubles:
    """Mean over pairs of items of 1 - Jaccard similarity of their genres, in [0, 1].

    Only pairs whose genres are both known count; NaN where a list has no such pair.

    Source:
        Ziegler et al. (2005), "Improving recommendation lists through topic
        diversification" (intra-list similarity).
    """
    out = np.full(len(lists), np.nan)
    _diversity(lists, facts.genre_indptr, facts.genre_row, out)
    return out


PER_LIST_METRICS = {"novelty": novelty, "diversity": diversity, "popularity": popularity}


def coverage(exposure: Ints) -> float:
    """Share of the catalogue that is recommended to anybody; NaN for an empty catalogue.

    Args:
        exposure: How often each recommendable item was recommended, shape ``(n_items,)``.
    """
    return float((exposure > 0).mean()) if len(exposure) else float("nan")


def gini(exposure: Ints) -> float:
    """Inequality of exposure: 0 where all items are shown equally often, near 1 where one gets all.

    NaN where nothing was recommended.

    Args:
        exposure: How often each recommendable item was recommended, shape ``(n_items,)``.
    """
    n, total = len(exposure), exposure.sum()
    if total == 0:
        return float("nan")
    ranks = np.arange(1, n + 1)
    return float(((2 * ranks - n - 1) * np.sort(exposure)).sum() / (n * total))


OVERALL_METRICS = {"coverage": coverage, "gini": gini}


def _mean_over_list(per_item: Doubles, lists: Rows) -> Doubles:
    filled = lists >= 0
    total = np.where(filled, per_item[lists], 0.0).sum(axis=1)
    n_filled = filled.sum(axis=1)
    out = np.full(len(lists), np.nan)
    np.divide(total, n_filled, out=out, where=n_filled > 0)
    return out


def _genre_pairs(items: pl.DataFrame) -> pl.DataFrame:
    """Unique (item_row, genre_row) pairs, sorted; empty without a genre column."""
    if "genres" not in items.columns:
        return pl.DataFrame(schema={"item_row": pl.Int64, "genre_row": pl.Int64})
    return (
        items.select(pl.int_range(pl.len()).alias("item_row"), "genres")
        .explode("genres")
        .drop_nulls()
        .select("item_row", (pl.col("genres").rank("dense").cast(pl.Int64) - 1).alias("genre_row"))
        .unique()
        .sort("item_row", "genre_row")
    )


@numba.njit(cache=True, nogil=True)
def _diversity(lists: Rows, indptr: Ints, genre: Rows, out: Doubles) -> None:
    for row in range(lists.shape[0]):
        total, n_pairs = 0.0, 0
        for i in range(lists.shape[1]):
            for j in range(i):
                a, b = lists[row, i], lists[row, j]
                if a < 0 or b < 0:
                    continue
                at_a, end_a, at_b, end_b = indptr[a], indptr[a + 1], indptr[b], indptr[b + 1]
                if at_a == end_a or at_b == end_b:
                    continue
                n_both = n_shared(genre, at_a, end_a, at_b, end_b)
                n_either = (end_a - at_a) + (end_b - at_b) - n_both
                total += 1 - n_both / n_either
                n_pairs += 1
        if n_pairs:
            out[row] = total / n_pairs
