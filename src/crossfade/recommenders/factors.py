"""What models with one vector per user and item share."""

from abc import abstractmethod
from typing import TypeVar

import numpy as np

from crossfade.config import Field
from crossfade.data import Dataset, Queries
from crossfade.recommenders.attribution import Attribution, of_parts, rest_of
from crossfade.recommenders.base import (
    Embeddings,
    Products,
    Recommender,
    answerable,
    mask_unscorable,
)
from crossfade.recommenders.fading import FadingConfig, faded_evidence
from crossfade.recommenders.kernels import (
    Counting,
    cosines,
    counted_values,
    csr_parts,
    gram,
)
from crossfade.recommenders.products import Tiled, whole_products
from crossfade.types import Arrays, Csr, CsrParts, Floats, Rows


class FactorConfig(FadingConfig):
    """Settings of confidence-weighted factor models.

    A pair with summed strength s has target 1 and confidence 1 + alpha × evidence(s),
    every other pair target 0 and confidence 1.
    """

    factors: int = Field(64, ge=1, description="Length of the vectors.")
    alpha: float = Field(
        5.0, gt=0, description="Extra confidence in a wanted pair, per unit of evidence."
    )
    counting: Counting = Field(
        "log",
        description="Evidence of repeats: nothing more, log2(1 + strength), or their sum.",
    )


C = TypeVar("C", bound=FactorConfig)


class FactorRecommender(Recommender[C]):
    """Score = product of the vector found for a history and the vector of the item.

    The user's vector is always solved from the history inside the request, with the
    item vectors fixed; training vectors of users serve as `embeddings` only. So people
    seen in training and strangers are one case.
    """

    attribution = "additive"

    _user: Floats
    _item: Floats
    _kept_gram: tuple[Floats, Floats] | None = None

    def __init__(self, config: C | None = None) -> None:
        super().__init__(config)
        self._tiled = Tiled()

    @abstractmethod
    def _train(self, evidence: Csr, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """User and item vectors from evidence ``(n_users, n_items)`` with at least one entry.

        Users and items without evidence get a vector of zeros.
        """

    def fold_in_users(self, evidence: Csr) -> Floats:
        """Vectors of new users, items fixed.

        Args:
            evidence: Shape ``(n, n_items)``.

        Returns:
            Shape ``(n, factors)``; 0 for a user without evidence.
        """
        return self._fold_in_users(csr_parts(evidence))

    @abstractmethod
    def _fold_in_users(self, evidence: CsrParts) -> Floats:
        """As `fold_in_users`."""

    @property
    def _item_gram(self) -> Floats:
        """Product of the item vectors with themselves, ``(factors, factors)``."""
        kept = self._kept_gram  # with the vectors it belongs to: read and written at once
        if kept is None or kept[0] is not self._item:
            kept = (self._item, gram(self._item))
            self._kept_gram = kept
        return kept[1]

    @abstractmethod
    def _parts(self, liked: Rows, evidence: Floats, item_rows: Rows) -> tuple[Floats, Floats]:
        """Parts of one history in the scores of some items, and what they leave.

        Args:
            liked: Items of the history, ``(H,)``.
            evidence: For each, ``(H,)``.
            item_rows: The items asked for, ``(L,)``.

        Returns:
            Parts ``(L, H)``; rest ``(L,)``.
        """

    def _fit(self, dataset: Dataset, rng: np.random.Generator) -> None:
        config = self.config
        evidence = faded_evidence(dataset, config.counting, config.half_life_days)
        if evidence.nnz:
            self._user, self._item = self._train(evidence, rng)
        else:
            self._user, self._item = (
                np.zeros((n, self.config.factors), dtype=np.float32) for n in evidence.shape
            )

    @property
    def notices(self) -> tuple[str, ...]:
        """Says when the penalty left nothing of the vectors."""
        if self._item.any() or not self.support.any():
            return ()
        return (
            f"{self.name}: every vector is 0, so all scores are 0: regularisation "
            "is too strong for this little data; lower it",
        )

    def _score(self, queries: Queries) -> Floats:
        vectors = self._folded(queries)
        return mask_unscorable(self._products(vectors), queries, self.supported)

    def _folded(self, queries: Queries) -> Floats:
        indptr, liked, summed = queries.positive_parts
        return self._fold_in_users((indptr, liked, counted_values(summed, self.config.counting)))

    def products(self, queries: Queries) -> Products:
        """See `Recommender.products`."""
        vectors, known = self._folded(queries), self.supported
        vectors[~answerable(queries, known)] = np.nan
        return Products(vectors, self._item, known)

    def _products(self, vectors: Floats) -> Floats:
        """Of users' vectors with those of all items, ``(n, n_items)``."""
        return whole_products(vectors, self._tiled(self._item))

    def _attribute(self, query: Queries, item_rows: Rows) -> Attribution:
        """The folded-in vector is a sum over the history, so is its product with an item's."""
        _, liked, summed = query.positive_parts
        evidence = counted_values(summed, self.config.counting)
        parts, left = self._parts(liked, evidence, item_rows)
        rest = rest_of(query, item_rows, self.support)
        return of_parts(item_rows, liked, parts, rest + left)

    def similar(self, item_row: int) -> Floats:
        """Cosine of the item vectors; see `Recommender.similar`."""
        similarity = cosines(self._item, item_row)
        similarity[(self.support == 0) | (self.support[item_row] == 0)] = np.nan
        similarity[item_row] = np.nan
        return similarity

    def embeddings(self) -> Embeddings:
        """Training vectors; NaN rows where there was no positive event."""
        vectors = (self._user.copy(), self._item.copy())
        for table in vectors:
            table[~table.any(axis=1)] = np.nan
        return Embeddings(*vectors)

    def _neighbour_similarity(self, query: Queries, item_rows: Rows) -> Floats:
        liked = query.positives.indices
        liked = liked[self.support[liked] > 0]
        if not len(liked):
            return np.full(len(item_rows), np.nan, dtype=np.float32)
        best = np.max([cosines(self._item, int(row))[item_rows] for row in liked], axis=0)
        best[self.support[item_rows] == 0] = np.nan
        return np.asarray(best, dtype=np.float32)

    def _state(self) -> Arrays:
        return {"user": self._user, "item": self._item}

    def _restore(self, state: Arrays) -> None:
        self._user = state["user"].astype(np.float32, copy=False)
        self._item = state["item"].astype(np.float32, copy=False)
