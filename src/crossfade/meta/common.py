"""A base that says the same to everybody is scored and sorted once, not at every request."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numba
import numpy as np

from crossfade.arrays import top_k
from crossfade.data import Queries
from crossfade.fusion.scaling import OFFSET, Scaling
from crossfade.fusion.standings import moments_without
from crossfade.recommenders.base import Recommender
from crossfade.types import Bools, Floats, Ints, Rows

N_FIRST = 1_024
"""Of the best so many are kept in order."""


class Common:
    """What such a base says of what may be listed.

    Args:
        base: Fitted, and `Recommender.same_for_all`.
        candidates: Items that may be listed, ``(n_items,)``; None means all.
    """

    def __init__(self, base: Recommender[Any], candidates: Bools | None) -> None:
        self.scores = np.array(base.score_batch(Queries.of_items([], len(base.support)))[0])
        if candidates is not None:
            self.scores[~candidates] = np.nan
        known = self.scores[~np.isnan(self.scores)].astype(np.float64)
        self.n_known = len(known)
        self.n_better = self.n_known - np.searchsorted(np.sort(known), self.scores, "right")
        """Items with a larger score than each, ``(n_items,)``."""
        self.mean = float(known.mean()) if len(known) else 0.0
        self.squares = float(np.square(known - self.mean).sum())
        self._first: Rows = top_k(self.scores[None, :], N_FIRST)[0]

    def first(self, k: int) -> Rows:
        """At least the k best, best first, where there are so many."""
        rows = self._first if k <= N_FIRST else top_k(self.scores[None, :], k)[0]
        return rows[rows >= 0]


class CommonStandings:
    """`fusion.standings.Standings` of one base for some requests.

    Args:
        common: What it says to everybody.
        queries: n requests.
        exclude_seen: Whether items in the history may not be listed.
    """

    def __init__(self, common: Common, queries: Queries, exclude_seen: bool) -> None:
        self._common = common
        self._seen = seen_of(queries, exclude_seen)

    def best(self, k: int) -> Rows:
        """As `Standings.best`."""
        out = np.full((len(self._seen), k), -1, dtype=np.int32)
        for row, seen in enumerate(self._seen):
            first = self._common.first(k + len(seen))
            mine = first[~np.isin(first, seen)][:k]
            out[row, : len(mine)] = np.sort(mine)
        return out

    def among(self, item_rows: Rows, k: int) -> Rows:
        """As `Standings.among`."""
        places = top_k(self._scores(np.tile(item_rows, (len(self._seen), 1))), k)
        return np.where(places >= 0, item_rows[places], -1).astype(np.int32)

    def at(self, columns: Ints | Rows, scaling: Scaling) -> Floats:
        """As `Standings.at`; all ranks are exact."""
        scores, common = self._scores(columns), self._common
        out = np.empty(columns.shape, dtype=np.float32)
        for row, seen in enumerate(self._seen):
            gone = common.scores[seen]
            gone = gone[~np.isnan(gone)]
            if scaling == "zscore":
                n, mean, squares = moments_without(
                    common.n_known, common.mean, common.squares, gone.astype(np.float64)
                )
                out[row] = (scores[row] - mean) * (1 / np.sqrt(squares / n) if squares > 0 else 0.0)
                continue
            gone_better = len(gone) - np.searchsorted(np.sort(gone), scores[row], "right")
            better = common.n_better[columns[row]] - gone_better
            out[row] = (OFFSET + 1) / (OFFSET + better + 1)
        out[np.isnan(scores)] = np.nan
        return out

    def _scores(self, columns: Ints | Rows) -> Floats:
        scores: Floats = self._common.scores[columns]
        blank_seen(scores, columns, self._seen)
        return scores


def blank_seen(scores: Floats, columns: Ints | Rows, seen: Sequence[Rows]) -> None:
    """NaN where an item of a request is in its history; a history is short beside the columns."""
    for row, rows in enumerate(seen):
        _blank(scores[row], columns[row], rows)


@numba.njit(cache=True, nogil=True)
def _blank(scores: Floats, columns: Ints | Rows, seen: Rows) -> None:
    for place in range(len(columns)):
        at = np.searchsorted(seen, columns[place])
        if at < len(seen) and seen[at] == columns[place]:
            scores[place] = np.nan


def seen_of(queries: Queries, exclude_seen: bool) -> Sequence[Rows]:
    """Items that each request may not list because they are in its history, ascending."""
    if not exclude_seen:
        return [queries.item_row[:0]] * len(queries)
    return [
        np.unique(queries.item_row[start:stop]).astype(np.int32)
        for start, stop in pairwise(queries.indptr)
    ]
