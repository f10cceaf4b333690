"""Two-tower recommender: what people did and what items are, in one space."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_array

from crossfade.arrays import pack_strings, unpack_strings
from crossfade.data import Dataset, Queries
from crossfade.features.acclaim import ItemAcclaim
from crossfade.features.text import TextEncoder, item_texts, make_encoder
from crossfade.features.text.cache import encode_cached
from crossfade.recommenders.base import Embeddings, Recommender
from crossfade.recommenders.kernels import cosines, factor_products
from crossfade.recommenders.two_tower.config import TwoTowerConfig
from crossfade.recommenders.two_tower.inputs import ItemInputs
from crossfade.recommenders.two_tower.reader import Reader
from crossfade.recommenders.two_tower.serving import unit, user_vectors
from crossfade.types import Arrays, Bools, Floats, Rows


class TwoTower(Recommender[TwoTowerConfig]):
    """Cosine of a vector for the request and a vector for the item, over a temperature.

    The item's vector comes from its content (text, creator, genres, moods, audio with its
    confidence, year, duration) plus, where training knew the item, a vector of its own. In
    part of the training steps that vector is hidden, so content learns to stand in for it
    and items nobody has played get vectors that fit. The request's vector comes from the
    items in its history and from stated tastes; nobody needs to have been there in
    training. A request that brings nothing gets the vector of an unknown person.

    The score, divided by the temperature, is a logit of a softmax over the catalogue.
    Items of which nothing is known get no score.

    Source:
        Yi et al. (2019), "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
        Recommendations"; ID-dropout as in Volkovs, Yu and Poutanen (2017), "DropoutNet".
    """

    name = "two_tower"
    Config = TwoTowerConfig
    serves_cold_users = True
    serves_cold_items = True

    _reader: Reader
    _item: Floats
    _pooled: Floats
    _user: Floats
    _weights: Arrays
    _temperature: float
    _encoder: tuple[dict[str, Any], Arrays]
    _health: dict[str, Any]

    @property
    def health(self) -> dict[str, Any]:
        """Monitoring values written at fit; see `monitor.EmbeddingHealth`."""
        return self._health

    def _fit(self, dataset: Dataset, rng: np.random.Generator) -> None:
        known = _known(dataset)
        encoder = make_encoder(self.config.encoder)
        texts = item_texts(dataset.items)
        encoder.fit([text for text, k in zip(texts, known, strict=True) if k])
        self._reader = Reader.fit(dataset, known, self.config.item, self.config.user)
        self._train(dataset, texts, encoder, rng)

    def _train(
        self,
        dataset: Dataset,
        texts: list[str],
        encoder: TextEncoder,
        rng: np.random.Generator,
        *,
        start: Arrays | None = None,
        previous: Floats | None = None,
    ) -> None:
        from crossfade.recommenders.two_tower.examples import Material, PositiveLog
        from crossfade.recommenders.two_tower.fitting import train_two_tower
        from crossfade.recommenders.two_tower.monitor import embedding_health

        # Met and not wanted is worth knowing too, so any event makes an item one to compare with.
        known = dataset.known_items(None)
        text = encode_cached(encoder, texts, self._cache())
        items = ItemInputs.make(self._reader.items, self._reader.schema, text)
        acclaim = ItemAcclaim.read(dataset) if self.config.item.rating_dim else None
        log = PositiveLog.read(dataset)
        material = Material(log, items, known, self._reader.read, acclaim)
        trained = train_two_tower(dataset, material, self.config, rng, start)
        self._weights, self._pooled = trained.weights, trained.pooled
        self._temperature = trained.temperature
        self._encoder = (encoder.settings, encoder.state())
        self._item = unit(trained.found)
        # Of an item without content and without a vector of its own there is nothing to say.
        self._item[~(items.has_content | (known & self.config.item.id_residual))] = np.nan
        queries = dataset.queries(np.arange(dataset.n_users, dtype=np.int32))
        vectors = self._vectors(queries)
        self._user = unit(vectors)
        pairs = coo_array(log.pairs)
        wanted = (pairs.coords[0].astype(np.int32), pairs.coords[1].astype(np.int32))
        found = np.where(np.isnan(self._item), np.float32(np.nan), trained.found)
        health = embedding_health(vectors, found, wanted, rng, previous)
        course = {} if trained.history is None else trained.history.to_json()
        # How long it took is no property of the model: equal seeds give equal models.
        course = {k: v for k, v in course.items() if k not in {"seconds", "examples_per_s"}}
        self._health = {
            **health.to_json(),
            "temperature": trained.temperature,
            "training": course or None,
        }

    def _score(self, queries: Queries) -> Floats:
        user = unit(self._vectors(queries))
        scores = factor_products(user, np.nan_to_num(self._item)) / np.float32(self._temperature)
        scores[:, np.isnan(self._item[:, 0])] = np.nan
        return scores

    def _vectors(self, queries: Queries) -> Floats:
        prefix = "user."
        weights = {
            name.removeprefix(prefix): w
            for name, w in self._weights.items()
            if name.startswith(prefix)
        }
        return user_vectors(self._reader.read(queries), weights, self._pooled, self.config.user)

    def _neighbour_similarity(self, query: Queries, item_rows: Rows) -> Floats:
        history = np.unique(query.item_row[query.strength > 0])
        similar = np.full(len(item_rows), np.nan, dtype=np.float32)
        vectors = self._item[history]
        vectors = vectors[~np.isnan(vectors[:, 0])]
        if len(vectors):
            similar = factor_products(self._item[item_rows], vectors).max(axis=1)
            similar[np.isnan(self._item[item_rows, 0])] = np.nan
        return similar

    def similar(self, item_row: int) -> Floats | None:
        """Cosine of every item's vector with one of them."""
        found = np.full(len(self._item), np.nan, dtype=np.float32)
        there = ~np.isnan(self._item[:, 0])
        if there[item_row]:
            found[there] = cosines(np.nan_to_num(self._item), item_row)[there]
            found[item_row] = np.nan
        return found

    def embeddings(self) -> Embeddings:
        """Unit vectors; NaN for items of which nothing is known."""
        return Embeddings(self._user, self._item)

    def _cache(self) -> Path | None:
        return None if self.config.text_cache is None else Path(self.config.text_cache)

    def _state(self) -> Arrays:
        settings, encoder = self._encoder
        parts = {"reader": self._reader.to_arrays(), "net": self._weights, "encoder": encoder}
        return {
            "item": self._item,
            "pooled": self._pooled,
            "user": self._user,
            "temperature": np.array([self._temperature]),
            **pack_strings("json", [json.dumps(self._health), json.dumps(settings)]),
            **{f"{part}.{name}": a for part, arrays in parts.items() for name, a in arrays.items()},
        }

    def _restore(self, state: Arrays) -> None:
        def part(name: str) -> Arrays:
            start = f"{name}."
            return {k.removeprefix(start): a for k, a in state.items() if k.startswith(start)}

        self._item, self._pooled, self._user = (
            state[name].astype(np.float32) for name in ("item", "pooled", "user")
        )
        self._temperature = float(state["temperature"].astype(np.float64)[0])
        health, settings = unpack_strings("json", state)
        self._health = json.loads(health)
        self._encoder = (json.loads(settings), part("encoder"))
        self._weights = part("net")
        self._reader = Reader.from_arrays(part("reader"), self.config.item, self.config.user)


def _known(dataset: Dataset) -> Bools:
    """Items somebody could have known of at the cut: vocabularies and text look at no others."""
    times = dataset.time_us
    return dataset.known_items(None if times is None else int(times[-1]) + 1)
