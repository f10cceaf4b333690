"""A base that says the same to everybody is scored and sorted once, not at every request."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numba
import numpy as np

from crossfade.arrays import top_k
from crossfade.data import Queries
from crossfade.fusion.scaling import OFFSET
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
        self._indptr, self._seen = seen_parts(queries, exclude_seen)

    def best(self, k: int) -> Rows:
        """As `Standings.best`."""
        longest = int(np.diff(self._indptr).max(initial=0))
        out = np.full((len(self._indptr) - 1, k), -1, dtype=np.int32)
        _first_unseen(self._common.first(k + longest), self._indptr, self._seen, out)
        return out

    def among(self, item_rows: Rows, k: int) -> Rows:
        """As `Standings.among`."""
        scores = np.tile(self._common.scores[item_rows], (len(self._indptr) - 1, 1))
        for row in range(len(scores)):
            _blank(scores[row], item_rows, self._seen[self._indptr[row] : self._indptr[row + 1]])
        places = top_k(scores, k)
        return np.where(places >= 0, item_rows[places], -1).astype(np.int32)

    def tell(self, item_row: Rows, score: Floats, rank: Floats) -> None:
        """As `Standings.tell`; all ranks are exact."""
        common = self._common
        facts = (common.n_known, common.mean, common.squares)
        seen = (self._indptr, self._seen)
        _tell(common.scores, common.n_better, facts, *seen, item_row, score, rank)


@numba.njit(cache=True, nogil=True)
def _first_unseen(first: Rows, indptr: Ints, seen: Rows, out: Rows) -> None:
    for row in range(len(out)):
        mine, size = seen[indptr[row] : indptr[row + 1]], 0
        for item in first:
            if size == out.shape[1]:
                break
            if not _is_in(item, mine):
                out[row, size] = item
                size += 1
        out[row, :size].sort()


@numba.njit(cache=True, nogil=True)
def _tell(  # noqa: PLR0917  (kernels know no keywords)
    scores: Floats,
    n_better: Ints,
    facts: tuple[int, float, float],
    indptr: Ints,
    seen: Rows,
    item_row: Rows,
    score: Floats,
    rank: Floats,
) -> None:
    n_known, mean_of_all, squares_of_all = facts
    for row in range(item_row.shape[0]):
        mine = seen[indptr[row] : indptr[row + 1]]
        gone = scores[mine]
        gone = gone[~np.isnan(gone)]
        gone.sort()
        left, mean, squares = moments_without(
            float(n_known), mean_of_all, squares_of_all, gone.astype(np.float64)
        )
        inverse = 1 / np.sqrt(squares / left) if squares > 0 else 0.0
        for place in range(item_row.shape[1]):
            item = item_row[row, place]
            if item < 0 or np.isnan(scores[item]) or _is_in(item, mine):
                score[row, place] = rank[row, place] = np.nan
                continue
            score[row, place] = (scores[item] - mean) * inverse
            gone_better = len(gone) - _n_up_to(gone, scores[item])
            better = n_better[item] - gone_better
            rank[row, place] = (OFFSET + 1) / (OFFSET + better + 1)


def blank_seen(scores: Floats, columns: Ints | Rows, seen: Sequence[Rows]) -> None:
    """NaN where an item of a request is in its history; a history is short beside the columns."""
    for row, rows in enumerate(seen):
        _blank(scores[row], columns[row], rows)


@numba.njit(cache=True, nogil=True)
def _blank(scores: Floats, columns: Ints | Rows, seen: Rows) -> None:
    for place in range(len(columns)):
        if _is_in(columns[place], seen):
            scores[place] = np.nan


@numba.njit(cache=True, nogil=True)
def _is_in(item: int, ascending: Rows) -> bool:
    at = _n_up_to(ascending, item)
    return bool(at > 0 and ascending[at - 1] == item)


@numba.njit(cache=True, nogil=True)
def _n_up_to(ascending: Floats | Rows, value: float) -> int:
    """How many are no larger than a value; bisection in which nothing branches."""
    first, left = 0, len(ascending)
    while left > 0:
        half = (left + 1) // 2
        first += half * (ascending[first + half - 1] <= value)
        left -= half
    return first


def seen_of(queries: Queries, exclude_seen: bool) -> Sequence[Rows]:
    """Items that each request may not list because they are in its history, ascending."""
    indptr, seen = seen_parts(queries, exclude_seen)
    return [seen[start:stop] for start, stop in pairwise(indptr)]


def seen_parts(queries: Queries, exclude_seen: bool) -> tuple[Ints, Rows]:
    """As `seen_of`, one after the other, and where each begins, ``(n + 1,)``."""
    if exclude_seen:
        return queries.seen_parts[:2]
    return np.zeros_like(queries.indptr), queries.item_row[:0]
