"""Items that are like the ones in the history, by whatever modalities one names."""

from typing import Annotated

import numpy as np
from pydantic import StringConstraints

from crossfade.arrays import as_part, part_of
from crossfade.config import Field
from crossfade.data import Dataset, Queries
from crossfade.data.vectors import NAME
from crossfade.features.modalities import Asked, Encoded, fit_modalities, known_items
from crossfade.recommenders.attribution import Attribution, of_parts, weighted_items
from crossfade.recommenders.base import Recommender
from crossfade.recommenders.history import HistoryConfig, weighted_parts
from crossfade.recommenders.kernels import factor_products
from crossfade.recommenders.products import Tiled, whole_products
from crossfade.types import Arrays, Bools, CsrParts, Doubles, Floats, Rows

_DESCRIBING = ("text", "tags")
"""Modalities of which an explanation may say that two items are described alike."""

_SMALL = 1e-6
"""A direction shorter than this share of what it is a difference or sum of is rounding, not a direction."""


class ModalityKNNConfig(HistoryConfig):
    """By what items are compared."""

    modalities: tuple[Annotated[str, StringConstraints(pattern=f"^{NAME}$")], ...] = Field(
        ("text",),
        min_length=1,
        description="Modalities of content: text, audio, tags, or names of tables of vectors such as image. Those "
        "that an item and the history both have count alike.",
    )


class ModalityKNN(Recommender[ModalityKNNConfig]):
    """Mean over modalities of the cosine between an item and the weighted sum of the history.

    In each modality the mean of the items known at fit is taken away first, since vectors of
    networks all point much the same way; then every item has length 1. A modality that
    an item lacks, or of which the history has nothing, is left out of that item's mean. Scores lie in [−1, 1].
    Items that share no modality with the history are NaN. Needs no events on an item.
    """

    name = "modality_knn"
    Config = ModalityKNNConfig
    serves_cold_items = True
    attribution = "additive"

    _unit: dict[str, Floats]
    _there: dict[str, Bools]

    def _fit(self, dataset: Dataset, rng: np.random.Generator) -> None:
        found = fit_modalities(
            self.config.modalities, dataset, {"content"}, seed=int(rng.integers(2**31))
        )
        everything = Asked(dataset, np.arange(dataset.n_items, dtype=np.int32))
        known = known_items(dataset)
        self._take({n: _directions(m.encode(everything), known) for n, m in found.items()})

    def _take(self, unit: dict[str, Floats]) -> None:
        self._unit = unit
        self._there = {name: np.asarray(v.any(axis=1)) for name, v in unit.items()}
        self._tiled = {name: Tiled() for name in unit}

    @property
    def notices(self) -> tuple[str, ...]:
        """Names the modalities in which no item has anything."""
        return tuple(
            f"{self.name}: no item has anything of {name}, so it says nothing"
            for name, there in self._there.items()
            if not there.any()
        )

    def _score(self, queries: Queries) -> Floats:
        history = weighted_parts(queries, self.config)
        total = np.zeros((len(queries), queries.n_items), dtype=np.float32)
        n = np.zeros_like(total)
        for name, vectors in self._unit.items():
            profile = self._profiles(name, history)
            total += whole_products(profile, self._tiled[name](vectors))
            n += np.asarray(profile.any(axis=1))[:, None] & self._there[name]
        return _mean(total, n)

    def _profiles(self, name: str, history: CsrParts) -> Floats:
        """Direction of each history in one modality, of length 1; 0 where it has none, ``(n, d)``."""
        indptr, liked, weight = history
        vectors = self._unit[name]
        out = np.zeros((len(indptr) - 1, vectors.shape[1]), dtype=np.float32)
        for row in range(len(out)):
            mine = slice(indptr[row], indptr[row + 1])
            summed = weight[mine].astype(np.float64) @ vectors[liked[mine]]
            out[row] = _of_length_one(summed[None, :], weight[mine].sum(keepdims=True))[0]
        return out

    def similar(self, item_row: int) -> Floats:
        """Mean cosine over the modalities that both items have; see `Recommender.similar`."""
        one = np.array([item_row], dtype=np.int32)
        everything = np.arange(len(self.support), dtype=np.int32)
        similarity: Floats = self._mean_cosines(one, everything)[0]
        similarity[item_row] = np.nan
        return similarity

    def _neighbour_similarity(self, query: Queries, item_rows: Rows) -> Floats:
        similarity = self._mean_cosines(query.positives.indices.astype(np.int32), item_rows)
        # fmax passes NaN over, and leaves it where nothing can be compared.
        nearest: Floats = np.fmax.reduce(similarity, axis=0, initial=np.nan)
        return nearest

    def _mean_cosines(self, left: Rows, right: Rows) -> Floats:
        """Of items with items, ``(n_left, n_right)``; NaN where they share no modality."""
        total = np.zeros((len(left), len(right)), dtype=np.float32)
        n = np.zeros_like(total)
        for name, vectors in self._unit.items():
            there = self._there[name]
            total += factor_products(vectors[left], vectors[right])
            n += there[left][:, None] & there[right]
        return _mean(total, n)

    def _attribute(self, query: Queries, item_rows: Rows) -> Attribution:
        """The products of the cosines, by item of the history and modality."""
        liked, weight = weighted_items(query, self.config)
        parts = np.zeros((len(item_rows), len(liked), 2), dtype=np.float32)
        n = np.zeros(len(item_rows), dtype=np.float32)
        for name, vectors in self._unit.items():
            if not self._profiles(name, (np.array([0, len(liked)]), liked, weight)).any():
                continue
            length = np.linalg.norm(weight.astype(np.float64) @ vectors[liked])
            products = factor_products(vectors[item_rows], vectors[liked])
            parts[:, :, int(name in _DESCRIBING)] += products * (weight / length).astype(np.float32)
            n += self._there[name][item_rows]
        parts /= np.maximum(n, 1)[:, None, None]
        rest = np.where(n > 0, np.float32(0), np.float32(np.nan))
        return of_parts(item_rows, liked, parts, rest, ("description",))

    def _state(self) -> Arrays:
        return as_part(dict(self._unit), "unit")

    def _restore(self, state: Arrays) -> None:
        unit = part_of(state, "unit")
        self._take(
            {name: unit[name].astype(np.float32, copy=False) for name in self.config.modalities}
        )


def _mean(total: Floats, n: Floats) -> Floats:
    """NaN where there is nothing."""
    mean: Floats = np.divide(total, n, out=np.full_like(total, np.nan), where=n > 0)
    return mean


def _directions(said: Encoded, known: Bools) -> Floats:
    """Where each item lies as seen from the mean of the known ones, of length 1; 0 where it is unknown."""
    use = said.known & known[:, None]
    n = np.maximum(use.sum(axis=0), 1)
    mean = np.where(use, said.values, 0).sum(axis=0, dtype=np.float64) / n
    moved = np.where(said.known, said.values - mean, 0.0)
    return _of_length_one(moved, np.linalg.norm(said.values.astype(np.float64), axis=1))


def _of_length_one(vectors: Doubles, size: Floats | Doubles) -> Floats:
    """Scaled to length 1; 0 where they are rounding beside ``size``, one number for each."""
    length = np.linalg.norm(vectors, axis=1)
    sure = length > _SMALL * np.maximum(size, np.finfo(np.float64).tiny)
    scaled = vectors / np.where(sure, length, np.inf)[:, None]
    return np.asarray(scaled, dtype=np.float32)
