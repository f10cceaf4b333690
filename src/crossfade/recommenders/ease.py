"""A linear item-to-item model in closed form."""

import numpy as np
from scipy.linalg import lapack

from crossfade.config import Field
from crossfade.data import Dataset, Queries
from crossfade.errors import ConfigError
from crossfade.recommenders.attribution import Attribution, of_parts, rest_of, weighted_items
from crossfade.recommenders.base import Recommender, mask_unscorable
from crossfade.recommenders.fading import FadingConfig, faded_evidence
from crossfade.recommenders.history import HistoryConfig, weighted_history
from crossfade.recommenders.kernels import weighted_sums
from crossfade.types import Arrays, Bools, Csr, Doubles, Floats, Rows


class EASEConfig(FadingConfig, HistoryConfig):
    """How strongly the item-to-item weights are held back."""

    regularisation: float = Field(
        200.0, gt=0, description="L2 penalty on the weights, in users; more for sparser data."
    )
    max_items: int = Field(
        6_000,
        ge=1,
        description="Most items the model works on; cost grows with the cube, memory with the square.",
    )


class EASE(Recommender[EASEConfig]):
    """Each item as a ridge regression on all others, solved at once.

    Memory is 12 bytes × items² while fitting, 4 bytes × items² afterwards; time grows
    with items³. Beyond ``max_items`` only the most supported items take part (ties by
    row), all others are NaN, and `notices` says so.

    Source:
        Steck (2019), "Embarrassingly Shallow Autoencoders for Sparse Data", eq. 8.
    """

    name = "ease"
    Config = EASEConfig
    attribution = "linear"

    def _fit(self, dataset: Dataset, rng: np.random.Generator) -> None:  # noqa: ARG002
        supported = np.argsort(-self.support, kind="stable")[: np.count_nonzero(self.support)]
        self._kept: Rows = np.sort(supported[: self.config.max_items]).astype(np.int32)
        config = self.config
        by_user = faded_evidence(dataset, config.counting, config.half_life_days)
        self._weights = ease_weights(Csr(by_user[:, self._kept]), config.regularisation)

    @property
    def notices(self) -> tuple[str, ...]:
        """Says when part of the catalogue was left out."""
        n_supported = int(np.count_nonzero(self.support))
        if len(self._kept) == n_supported:
            return ()
        return (
            f"{self.name} works on the {len(self._kept):,} most supported of {n_supported:,} items "
            "and gives the others no score; raise max_items to cover more",
        )

    def _score(self, queries: Queries) -> Floats:
        history = Csr(weighted_history(queries, self.config)[:, self._kept])
        scores = np.full((len(queries), queries.n_items), np.nan, dtype=np.float32)
        scores[:, self._kept] = weighted_sums(history, self._weights)
        return mask_unscorable(scores, queries, self._scorable)

    @property
    def _scorable(self) -> Bools:
        scorable = np.zeros(len(self.support), dtype=np.bool_)
        scorable[self._kept] = True
        return scorable

    def _attribute(self, query: Queries, item_rows: Rows) -> Attribution:
        """Each history item adds its learned weight in the item's score, and nothing else does."""
        scorable = self._scorable
        liked, weight = weighted_items(query, self.config)
        liked, weight = liked[scorable[liked]], weight[scorable[liked]]
        parts = np.zeros((len(item_rows), len(liked)), dtype=np.float32)
        there = scorable[item_rows]
        places = (np.searchsorted(self._kept, rows) for rows in (liked, item_rows[there]))
        parts[there] = self._weights[np.ix_(*places)].T * weight
        return of_parts(item_rows, liked, parts, rest_of(query, item_rows, scorable))

    def similar(self, item_row: int) -> Floats:
        """Learned weight of one item in the score of every other; see `Recommender.similar`."""
        similarity = np.full(len(self.support), np.nan, dtype=np.float32)
        place = int(np.searchsorted(self._kept, item_row))
        if place < len(self._kept) and self._kept[place] == item_row:
            similarity[self._kept] = self._weights[place]
            similarity[item_row] = np.nan
        return similarity

    def _state(self) -> Arrays:
        return {"kept": self._kept, "weights": self._weights}

    def _restore(self, state: Arrays) -> None:
        self._kept = state["kept"].astype(np.int32, copy=False)
        self._weights = state["weights"].astype(np.float32, copy=False)


def ease_weights(by_user: Csr, regularisation: float) -> Floats:
    """The item-to-item weights B with zero diagonal, shape ``(n_items, n_items)``.

    Args:
        by_user: Interactions ``(n_users, n_items)``.
        regularisation: Added to the diagonal of the item-item counts.
    """
    if not by_user.shape[1]:
        return np.zeros((0, 0), dtype=np.float32)
    # Doubles from start to end: counts of popular items are thousands of times the
    # regularisation, squared play counts far more; single precision loses what is small.
    by_user = by_user.astype(np.float64)
    gram: Doubles = (by_user.T @ by_user).toarray(order="F")
    gram[np.diag_indices_from(gram)] += regularisation
    factor, fault = lapack.dpotrf(gram, lower=False, overwrite_a=True)
    if not fault:
        inverse, fault = lapack.dpotri(factor, lower=False, overwrite_c=True)
    if fault:
        raise ConfigError(
            f"ease.regularisation {regularisation:g} is too small for this data; raise it"
        )
    diagonal = inverse.diagonal().copy()
    # potri fills the upper triangle only.
    weights = np.triu(inverse).astype(np.float32)
    weights += np.triu(weights, 1).T
    weights /= -diagonal.astype(np.float32)
    np.fill_diagonal(weights, 0)
    return np.ascontiguousarray(weights)
