"""A base that says the same to everybody is scored and sorted once, not at every request."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from crossfade.arrays import top_k
from crossfade.data import Queries
from crossfade.fusion.scaling import OFFSET, Scaling, moments_without
from crossfade.recommenders.base import Recommender
from crossfade.types import Bools, Doubles, Floats, Ints, Rows

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
        self.ascending = np.sort(known).astype(np.float32)
        self.mean = float(known.mean()) if len(known) else 0.0
        self.squares = float(np.square(known - self.mean).sum())
        self._first: Rows = top_k(self.scores[None, :], N_FIRST)[0]

    def first(self, k: int) -> Rows:
        """At least the k best, best first, where there are so many."""
        rows = self._first if k <= N_FIRST else top_k(self.scores[None, :], k)[0]
        return rows[rows >= 0]


class CommonStandings:
    """`fusion.scaling.Standings` of one base for some requests.

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
                mean, inverse = self._centre(gone.astype(np.float64))
                out[row] = (scores[row] - mean) * inverse
                continue
            better = len(common.ascending) - np.searchsorted(common.ascending, scores[row], "right")
            better -= len(gone) - np.searchsorted(np.sort(gone), scores[row], "right")
            out[row] = np.where(np.isnan(scores[row]), np.nan, (OFFSET + 1) / (OFFSET + better + 1))
        return out

    def _centre(self, gone: Doubles) -> tuple[float, float]:
        common = self._common
        n, mean, squares = moments_without(len(common.ascending), common.mean, common.squares, gone)
        return mean, 1 / np.sqrt(squares / n) if n > 0 and squares > 0 else 0.0

    def _scores(self, columns: Ints | Rows) -> Floats:
        scores: Floats = self._common.scores[columns]
        for row, seen in enumerate(self._seen):
            if len(seen):
                scores[row, np.isin(columns[row], seen)] = np.nan
        return scores


def seen_of(queries: Queries, exclude_seen: bool) -> Sequence[Rows]:
    """Items that each request may not list because they are in its history, ascending."""
    if not exclude_seen:
        return [queries.item_row[:0]] * len(queries)
    return [
        np.unique(queries.item_row[start:stop]).astype(np.int32)
        for start, stop in pairwise(queries.indptr)
    ]
