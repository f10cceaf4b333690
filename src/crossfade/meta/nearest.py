"""Large catalogues: a base of vectors proposes through an index and is scored on candidates alone.

What is said of a candidate is what scoring the catalogue would say, but for the ranks of items that
the index did not find: those are estimated from a sample.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from crossfade.data import Queries
from crossfade.errors import BundleError, ConfigError
from crossfade.fusion.ranks import Ladder
from crossfade.fusion.standings import SAMPLED, moments_without
from crossfade.index import Index, IndexConfig, build_index
from crossfade.meta.common import blank_seen, seen_of
from crossfade.progress import task
from crossfade.recommenders.base import Recommender
from crossfade.recommenders.kernels import factor_products
from crossfade.types import Arrays, Bools, Doubles, Floats, Ints, Rows

_log = logging.getLogger(__name__)

N_FOUND = 512
"""Items the index is asked for: their ranks are exact."""

_SETTINGS = IndexConfig(kind="faiss", storage="float16")
_HERE = "of this bundle"


@dataclass(frozen=True, eq=False)
class Near:
    """What is prepared of one base.

    Attributes:
        base: Fitted.
        index: Over the vectors of the items that it may list.
        may_list: Those items, ``(n_items,)``.
        mean: Of their vectors, ``(width,)``.
        covariance: Of their vectors, ``(width, width)``.
        sample: Some of them at even distances, ascending.
    """

    base: Recommender[Any]
    index: Index
    may_list: Bools
    mean: Doubles
    covariance: Doubles
    sample: Rows

    @classmethod
    def build(
        cls, base: Recommender[Any], queries: Queries, candidates: Bools | None, seed: int
    ) -> "Near | None":
        """An index with its losses measured; None for a base that is no product of vectors.

        Args:
            base: Fitted.
            queries: Requests to tune and measure the index with.
            candidates: Items that may be listed, ``(n_items,)``; None means all.
            seed: The run's one seed.

        Raises:
            ConfigError: If no index finds enough of the true best.
            MissingExtraError: If FAISS is not installed.
        """
        found = base.products(queries)
        if found is None:
            return None
        may_list = found.known if candidates is None else found.known & candidates
        rows = np.flatnonzero(may_list).astype(np.int32)
        vectors = found.item[rows].astype(np.float64)
        listed = np.where(may_list[:, None], found.item, np.float32(np.nan))
        index = build_index(listed, _SETTINGS, version=_HERE, seed=seed, queries=found.request)
        covariance = np.cov(vectors, rowvar=False, bias=True)
        sample = rows[:: max(1, len(rows) // SAMPLED)]
        return cls(base, index, may_list, vectors.mean(axis=0), np.atleast_2d(covariance), sample)

    def arrays(self) -> Arrays:
        """As plain arrays; the inverse of `from_arrays`."""
        own = {name: getattr(self, name) for name in ("may_list", "mean", "covariance", "sample")}
        return {**own, **{f"index.{name}": array for name, array in self.index.arrays().items()}}

    @classmethod
    def from_arrays(cls, base: Recommender[Any], arrays: Arrays) -> "Near":
        """What `arrays` gave.

        Raises:
            BundleError: If something is missing or damaged.
            MissingExtraError: If FAISS is not installed.
        """
        start = "index."
        index = {k.removeprefix(start): a for k, a in arrays.items() if k.startswith(start)}
        try:
            return cls(
                base,
                Index.from_arrays(index, _HERE),
                may_list=arrays["may_list"].astype(np.bool_, copy=False),
                mean=arrays["mean"].astype(np.float64, copy=False),
                covariance=arrays["covariance"].astype(np.float64, copy=False),
                sample=arrays["sample"].astype(np.int32, copy=False),
            )
        except KeyError as error:
            raise BundleError(f"an index in the bundle lacks {error}; fit again") from None


def prepare(
    bases: Mapping[str, Recommender[Any]], queries: Queries, candidates: Bools | None, seed: int
) -> dict[str, Near]:
    """Indexes by label. A base that no index is good enough for has none, and a warning says so.

    Raises:
        MissingExtraError: If FAISS is not installed.
    """
    prepared: dict[str, Near] = {}
    for label, base in bases.items():
        with task(f"index {label}"):
            try:
                near = Near.build(base, queries, candidates, seed)
            except ConfigError as error:
                _log.warning("%s scores the whole catalogue at every request: %s", label, error)
                continue
        if near is not None:
            prepared[label] = near
    return prepared


class NearStandings:
    """`fusion.standings.Standings` of one base for some requests, without scoring the catalogue.

    Args:
        near: What is prepared of the base.
        queries: n requests.
        exclude_seen: Whether items in the history may not be listed.
    """

    def __init__(self, near: Near, queries: Queries, exclude_seen: bool) -> None:
        said = near.base.products(queries)
        assert said is not None, "only bases that are products are prepared"
        self._near, self._said = near, said
        self._seen = seen_of(queries, exclude_seen)
        self._found, _ = near.index.search(said.request, N_FOUND, self._seen)
        best = np.sort(self._scores(self._found), axis=1)  # NaN comes last
        n_best = (~np.isnan(best)).sum(axis=1)
        answered = ~np.isnan(said.request[:, 0])
        n_seen = np.array([near.may_list[rows].sum() for rows in self._seen], dtype=np.int64)
        n_known = np.where(answered, len(near.index.rows) - n_seen, 0)
        # What the index did not find is below all that it did.
        least = np.nextafter(best[:, :1], np.float32(-np.inf))
        floor = np.where(n_best < n_known, least[:, 0], np.float32(-np.inf)).astype(np.float32)
        sample = np.sort(factor_products(said.request, said.item[near.sample]), axis=1)
        self._ladder = Ladder(best, n_best, floor, sample, n_known)

    def best(self, k: int) -> Rows:
        """As `Standings.best`, of what the index finds."""
        found = self._found
        if k > found.shape[1]:
            found, _ = self._near.index.search(self._said.request, k, self._seen)
        return self._first(found, k)

    def among(self, item_rows: Rows, k: int) -> Rows:
        """As `Standings.among`."""
        return self._first(np.tile(item_rows, (len(self._seen), 1)), k)

    def tell(self, item_row: Rows, score: Floats, rank: Floats) -> None:
        """As `Standings.tell`."""
        scores, (mean, inverse) = self._scores(item_row), self._centre()
        score[:] = (scores - mean[:, None]) * inverse[:, None]
        self._ladder.write(scores, rank)

    def _first(self, columns: Rows, k: int) -> Rows:
        """The k best of some columns, ties by column, in the order of columns; -1 pads."""
        scores = self._scores(columns)
        out = np.full((len(columns), k), -1, dtype=np.int32)
        for row, (rows, values) in enumerate(zip(columns, scores, strict=True)):
            there = np.flatnonzero(~np.isnan(values))
            order = np.lexsort((rows[there], -values[there]))[:k]
            out[row, : len(order)] = np.sort(rows[there[order]])
        return out

    def _scores(self, columns: Ints | Rows) -> Floats:
        """Of some items, ``(n, L)``; NaN where they may not be listed, or the base cannot answer."""
        out = np.empty(columns.shape, dtype=np.float32)
        said = self._said
        _products_at(said.request, said.item, self._near.may_list, columns.astype(np.int32), out)
        blank_seen(out, columns, self._seen)
        return out

    def _centre(self) -> tuple[Doubles, Doubles]:
        """Mean of all scores, and 1 over their standard deviation, from the moments of the vectors."""
        near, request = self._near, self._said.request.astype(np.float64)
        n = float(len(near.index.rows))
        mean, inverse = request @ near.mean, np.zeros(len(request))
        squares = n * np.einsum("ri,ij,rj->r", request, near.covariance, request)
        for row, seen in enumerate(self._seen):
            gone = self._said.item[seen[near.may_list[seen]]].astype(np.float64) @ request[row]
            left, mean[row], rest = moments_without(n, mean[row], squares[row], gone)
            inverse[row] = 1 / np.sqrt(rest / left) if rest > 0 else 0.0
        return mean, inverse


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _products_at(
    request: Floats, item: Floats, may_list: Bools, columns: Rows, out: Floats
) -> None:
    for row in range(columns.shape[0]):
        for place in range(columns.shape[1]):
            column, total = columns[row, place], np.float32(0)
            if column < 0 or not may_list[column]:
                out[row, place] = np.nan
                continue
            for number in range(request.shape[1]):
                total += request[row, number] * item[column, number]
            out[row, place] = total
