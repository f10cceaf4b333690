"""Items liked by the same people: cosine neighbours."""

from typing import Literal

import numba
import numpy as np

from crossfade.arrays import pack_csr, unpack_csr
from crossfade.config import Field
from crossfade.data import Dataset, Queries
from crossfade.recommenders.attribution import (
    Attribution,
    corner,
    of_parts,
    rest_of,
    weighted_items,
)
from crossfade.recommenders.base import Recommender, mask_unscorable
from crossfade.recommenders.fading import FadingConfig, faded_evidence
from crossfade.recommenders.history import HistoryConfig, weighted_parts
from crossfade.recommenders.kernels import (
    csr_parts,
    sparse_sums,
    transposed,
)
from crossfade.threads import over
from crossfade.types import Arrays, Csr, Floats, Ints, Rows


class ItemKNNConfig(FadingConfig, HistoryConfig):
    """Which items count as neighbours."""

    n_neighbours: int = Field(200, ge=1, description="Nearest items kept for each item.")
    shrink: float = Field(
        10.0,
        ge=0,
        description="Added to the denominator of the cosine: doubts similarities that few people support.",
    )
    weighting: Literal["none", "idf", "bm25"] = Field(
        "idf",
        description="How much one person's vote counts: all the same, or less for people with long histories.",
    )


class ItemKNN(Recommender[ItemKNNConfig]):
    """Sum of the similarities between an item and the items in the history.

    Similarity is the cosine of two item columns plus ``shrink`` in the denominator.
    Only the ``n_neighbours`` nearest items of each history item add to a score; an
    item that is no neighbour of anything in the history scores 0: the model knows
    it and found nothing in common.

    Source:
        Deshpande and Karypis (2004), "Item-Based Top-N Recommendation Algorithms";
        the shrunk denominator as in Bell and Koren (2007).
    """

    name = "item_knn"
    Config = ItemKNNConfig
    attribution = "linear"

    def _fit(self, dataset: Dataset, rng: np.random.Generator) -> None:  # noqa: ARG002
        config = self.config
        evidence = faded_evidence(dataset, config.counting, config.half_life_days)
        by_user = vote_weights(evidence, config.weighting)
        self._neighbours = nearest_items(by_user, config.n_neighbours, config.shrink)

    def _score(self, queries: Queries) -> Floats:
        neighbours = self._kept_parts(self._neighbours)
        scores = sparse_sums(weighted_parts(queries, self.config), neighbours, queries.n_items)
        return mask_unscorable(scores, queries, self.supported)

    def _attribute(self, query: Queries, item_rows: Rows) -> Attribution:
        """Each history item adds its similarity to the item, and nothing else does."""
        liked, weight = weighted_items(query, self.config)
        parts = corner(self._neighbours, liked, item_rows).T * weight
        return of_parts(item_rows, liked, parts, rest_of(query, item_rows, self.support))

    def similar(self, item_row: int) -> Floats:
        """Shrunk cosine to the nearest items, 0 beyond them; see `Recommender.similar`."""
        similarity = np.zeros(len(self.support), dtype=np.float32)
        start, stop = self._neighbours.indptr[item_row : item_row + 2]
        similarity[self._neighbours.indices[start:stop]] = self._neighbours.data[start:stop]
        similarity[(self.support == 0) | (self.support[item_row] == 0)] = np.nan
        similarity[item_row] = np.nan
        return similarity

    def _neighbour_similarity(self, query: Queries, item_rows: Rows) -> Floats:
        liked = query.positives.indices
        if not len(liked):
            return np.full(len(item_rows), np.nan, dtype=np.float32)
        best: Floats = self._neighbours[liked].max(axis=0).toarray().ravel()[item_rows]
        best[self.support[item_rows] == 0] = np.nan
        return best

    def _state(self) -> Arrays:
        return pack_csr("neighbours", self._neighbours)

    def _restore(self, state: Arrays) -> None:
        self._neighbours = unpack_csr("neighbours", state)


def vote_weights(by_user: Csr, weighting: Literal["none", "idf", "bm25"]) -> Csr:
    """Interactions whose rows are scaled by how telling each person's votes are.

    ``idf`` multiplies a row by log(1 + n_items / history length); ``bm25`` also lets
    repeats saturate, with the usual k1 = 1.2 and b = 0.75 over items as documents.
    """
    if weighting == "none" or not by_user.nnz:
        return by_user
    lengths = np.diff(by_user.indptr)
    factor = np.log1p(by_user.shape[1] / np.maximum(lengths, 1)).astype(np.float32)
    values = by_user.data
    if weighting == "bm25":
        k1, b = 1.2, 0.75
        popularity = np.bincount(by_user.indices, weights=values, minlength=by_user.shape[1])
        longness = popularity / popularity[popularity > 0].mean()
        norm = (1 - b + b * longness)[by_user.indices]
        values = values * (k1 + 1) / (values + k1 * norm)
    values = (values * np.repeat(factor, lengths)).astype(np.float32)
    return Csr((values, by_user.indices, by_user.indptr), shape=by_user.shape)


def nearest_items(by_user: Csr, n_neighbours: int, shrink: float) -> Csr:
    """The most similar items of each item, best first, shape ``(n_items, n_items)``.

    Four dense rows of length ``n_items`` per thread are the only working memory beside
    the result, whatever the size of the catalogue. Equal similarities are ordered by row.

    Args:
        by_user: Weighted interactions ``(n_users, n_items)``.
        n_neighbours: How many to keep; items nobody shares are never kept.
        shrink: Added to the product of the two lengths.
    """
    n_items = by_user.shape[1]
    width = min(n_neighbours, max(n_items - 1, 0))
    lengths = np.sqrt(
        np.bincount(
            by_user.indices, weights=by_user.data.astype(np.float64) ** 2, minlength=n_items
        )
    ).astype(np.float32)
    rows = np.full((n_items, width), -1, dtype=np.int32)
    values = np.zeros((n_items, width), dtype=np.float32)
    over(
        _nearest,
        n_items,
        *csr_parts(transposed(by_user)),
        *csr_parts(by_user),
        lengths,
        np.float32(shrink),
        rows,
        values,
    )
    found = rows >= 0
    indptr = np.concatenate([[0], np.cumsum(found.sum(axis=1))]).astype(np.int64)
    return Csr((values[found], rows[found], indptr), shape=(n_items, n_items))


@numba.njit(cache=True, nogil=True)
def _nearest(  # noqa: PLR0917  (kernels know no keywords)
    start: int,
    stop: int,
    item_indptr: Ints,
    item_users: Rows,
    item_values: Floats,
    user_indptr: Ints,
    user_items: Rows,
    user_values: Floats,
    lengths: Floats,
    shrink: float,
    rows: Rows,
    values: Floats,
) -> None:
    n_items, width = len(lengths), rows.shape[1]
    product = np.zeros(n_items, dtype=np.float32)
    # Only what an item was met with is looked at: the work must not grow with the catalogue squared.
    met, met_with = np.empty(n_items, dtype=np.int32), np.full(n_items, -1, dtype=np.int32)
    everything = np.arange(n_items, dtype=np.int32)
    for item in range(start, stop):
        n_met = 0
        for place in range(item_indptr[item], item_indptr[item + 1]):
            user, value = item_users[place], item_values[place]
            for at in range(user_indptr[user], user_indptr[user + 1]):
                other = user_items[at]
                if met_with[other] != item:
                    met_with[other], met[n_met], product[other] = item, other, 0
                    n_met += 1
                product[other] += value * user_values[at]
        size = 0
        # In the order of rows, so that of equal similarities the first stay; sorting many costs more.
        for other in np.sort(met[:n_met]) if n_met < n_items // 16 else everything:
            if met_with[other] != item or product[other] <= 0 or other == item:
                continue
            similarity = product[other] / (lengths[item] * lengths[other] + shrink)
            if size == width and not similarity > values[item, width - 1]:
                continue
            place = size if size < width else width - 1
            while place > 0 and similarity > values[item, place - 1]:
                values[item, place] = values[item, place - 1]
                rows[item, place] = rows[item, place - 1]
                place -= 1
            values[item, place] = similarity
            rows[item, place] = other
            if size < width:
                size += 1
