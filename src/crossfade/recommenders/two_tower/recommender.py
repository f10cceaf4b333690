"""Two-tower recommender: what people did and what items are, in one space."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_array

from crossfade.arrays import pack_strings, unpack_strings
from crossfade.data import Dataset, Queries
from crossfade.errors import ConfigError
from crossfade.features.acclaim import ItemAcclaim
from crossfade.features.text import TextEncoder, item_texts, make_encoder
from crossfade.features.text.cache import encode_cached
from crossfade.features.text.registry import restore_encoder
from crossfade.recommenders.attribution import Attribution, without_each
from crossfade.recommenders.base import Change, Embeddings, Products, Recommender
from crossfade.recommenders.kernels import cosines, factor_products
from crossfade.recommenders.products import Tiled, whole_products
from crossfade.recommenders.two_tower.config import TwoTowerConfig
from crossfade.recommenders.two_tower.inputs import ItemInputs, from_middle
from crossfade.recommenders.two_tower.parts import LEFT_OUT, Asked, newest, tower_parts
from crossfade.recommenders.two_tower.reader import Reader
from crossfade.recommenders.two_tower.serving import (
    Network,
    joined_items,
    joined_temperature,
    joined_users,
)
from crossfade.recommenders.two_tower.weekly import carried_over, previous_vectors, update_users
from crossfade.training.history import History
from crossfade.types import Arrays, Bools, Csr, Floats, Rows

KEPT = ("output_dim", "n_networks", "encoder", "item", "user")
"""Settings that weights belong to, which no update can change."""


class TwoTower(Recommender[TwoTowerConfig]):
    """Cosine of a vector for the request and a vector for the item, over a temperature.

    The item's vector comes from its content (text, creator, genres, moods, audio with its
    confidence, year, duration) plus, where training knew the item, a vector of its own. In
    part of the training steps that vector is hidden, so content learns to stand in for it
    and items nobody has played get vectors that fit. The request's vector comes from the
    items in its history and from stated tastes; nobody needs to have been there in
    training. A request that brings nothing gets the vector of an unknown person.

    The score, divided by the temperature, is a logit of a softmax over the catalogue.
    Items of which nothing is known get no score. It is the mean over a few networks, trained
    from seeds of their own.

    Source:
        Yi et al. (2019), "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
        Recommendations"; ID-dropout as in Volkovs, Yu and Poutanen (2017), "DropoutNet"; the mean of
        networks as in Lakshminarayanan, Pritzel and Blundell (2017), "Deep Ensembles".
    """

    name = "two_tower"
    Config = TwoTowerConfig
    serves_cold_users = True
    serves_cold_items = True
    reads_tastes = True
    updates = True
    attribution = "leave_one_out"

    _reader: Reader
    _item: Floats
    _hidden: dict[str, Floats]
    _user: Floats
    _networks: tuple[Network, ...]
    _encoder: tuple[dict[str, Any], Arrays]
    _health: dict[str, Any]

    @property
    def health(self) -> dict[str, Any]:
        """Monitoring values written at fit; see `monitor.EmbeddingHealth`."""
        return self._health

    def __init__(self, config: TwoTowerConfig | None = None) -> None:
        super().__init__(config)
        self._tiled = Tiled()

    def _fit(self, dataset: Dataset, rng: np.random.Generator) -> None:
        known = _known(dataset)
        encoder = make_encoder(self.config.encoder)
        texts = item_texts(dataset.items)
        encoder.fit([text for text, k in zip(texts, known, strict=True) if k])
        self._reader = Reader.fit(dataset, known, self.config.item, self.config.user)
        self._train(dataset, texts, encoder, rng)

    def _update(
        self,
        previous: "TwoTower",
        dataset: Dataset,
        change: Change,
        rng: np.random.Generator,
    ) -> None:
        self._refuse_other_towers(previous)
        settings, arrays = previous._encoder
        encoder = restore_encoder(self.config.encoder, settings, arrays)
        self._reader = previous._reader.renewed(dataset)
        self._train(
            dataset, item_texts(dataset.items), encoder, rng, previous=previous, change=change
        )

    def _refuse_other_towers(self, previous: "TwoTower") -> None:
        differing = [
            name for name in KEPT if getattr(self.config, name) != getattr(previous.config, name)
        ]
        if differing:
            raise ConfigError(
                f"two_tower: {', '.join(differing)} differ from the previous version, whose weights need them as "
                "they were; leave them, or fit in full"
            )

    def _train(
        self,
        dataset: Dataset,
        texts: list[str],
        encoder: TextEncoder,
        rng: np.random.Generator,
        *,
        previous: "TwoTower | None" = None,
        change: Change | None = None,
    ) -> None:
        """Train, and compute all that is served in one go, so that no two versions ever mix."""
        from crossfade.recommenders.two_tower.examples import Material, PositiveLog
        from crossfade.recommenders.two_tower.fitting import train_two_tower

        # Met and not wanted is worth knowing too, so any event makes an item one to compare with.
        known = dataset.known_items(None)
        text = encode_cached(encoder, texts, self._cache())
        items = ItemInputs.make(self._reader.items, self._reader.schema, text)
        acclaim = ItemAcclaim.read(dataset) if self.config.item.rating_dim else None
        log = PositiveLog.read(dataset)
        material = Material(log, items, known, self._reader.read, acclaim)
        config, users, before = self.config, None, None
        starts: list[Arrays | None] = [None] * config.n_networks
        if previous is not None and change is not None:
            config = _weekly(self.config)
            starts = [carried_over(network.weights, change) for network in previous._networks]
            users = update_users(dataset, log.users, change, config.weekly.replay, rng)
            before = previous_vectors(previous._item, change)
        trained = [
            train_two_tower(dataset, material, config, rng, start=start, users=users)
            for start in starts
        ]
        self._networks = tuple(Network(t.weights, t.pooled, t.temperature) for t in trained)
        self._encoder = (encoder.settings, encoder.state())
        # Of an item without content and without a vector of its own there is nothing to say, and
        # where nobody ever wanted anything of no item.
        speaks = (items.has_content | (known & self.config.item.id_residual)) & (log.pairs.nnz > 0)
        found = [np.where(speaks[:, None], t.found, np.float32(np.nan)) for t in trained]
        self._item = joined_items(found)
        self._hidden = {
            what: joined_items([t.hidden[what] for t in trained]) for what in trained[0].hidden
        }
        vectors = self._vectors(dataset.queries(np.arange(dataset.n_users, dtype=np.int32)))
        self._user = joined_users(vectors, self._networks)
        courses = [_course(t.history) for t in trained if t.history is not None]
        self._health = {
            **_health(np.hstack(vectors), np.hstack(found), log.pairs, rng, before),
            "temperature": joined_temperature(self._networks),
            "training": courses,
        }
        made = [t.synthesis for t in trained if t.synthesis is not None]
        if made:
            self._health["synthesis"] = made

    def _score(self, queries: Queries) -> Floats:
        user = joined_users(self._vectors(queries), self._networks)
        temperature = np.float32(joined_temperature(self._networks))
        scores = whole_products(user, self._tiled(self._item)) / temperature
        scores[:, np.isnan(self._item[:, 0])] = np.nan
        return scores

    def products(self, queries: Queries) -> Products:
        """See `Recommender.products`."""
        user = joined_users(self._vectors(queries), self._networks)
        temperature = np.float32(joined_temperature(self._networks))
        return Products(user / temperature, self._item, ~np.isnan(self._item[:, 0]))

    def _attribute(self, query: Queries, item_rows: Rows) -> Attribution:
        """What the score loses without each of the newest items of the history; see `tower_parts`.

        The towers are not linear, so these parts do not add up to the score; ``rest`` is what
        they leave. Items beyond the newest `LEFT_OUT` are in it as well.
        """
        liked = newest(query, LEFT_OUT)
        less = self._vectors(without_each(query, liked))
        unheard = self._unheard(query, liked) if "sound" in self._hidden else less
        asked = Asked(
            item_rows,
            self._item[item_rows],
            {what: vectors[item_rows] for what, vectors in self._hidden.items()},
            liked,
            partial(self._met, less),
            partial(self._met, unheard),
        )
        return tower_parts(asked, self._reader.items, self._reader.schema.audio_spread)

    def _met(self, vectors: list[Floats], items: Floats) -> Floats:
        """Scores where vectors of requests meet those of items, ``(n, L)``."""
        user = joined_users(vectors, self._networks)
        return factor_products(user, items) / np.float32(joined_temperature(self._networks))

    def _unheard(self, query: Queries, liked: Rows) -> list[Floats]:
        """As `_vectors`: one request as it is, and as if nobody knew how each of some items sounds."""
        inputs = self._reader.read(query.take(np.zeros(1 + len(liked), dtype=np.int64)))
        weight = inputs.history[[0]].toarray()[0, liked]
        audio = from_middle(self._reader.items.audio[liked])
        sure = self._reader.items.audio_confidence[liked]
        found = []
        for network in self._networks:
            moved = np.zeros((1 + len(liked), self.config.output_dim), dtype=np.float32)
            moved[1:] -= weight[:, None] * network.sound(audio, sure, self.config.item)
            found.append(network.users(inputs, self.config.user, moved))
        return found

    def _vectors(self, queries: Queries) -> list[Floats]:
        """What each network says of some requests, before normalisation."""
        inputs = self._reader.read(queries)
        return [network.users(inputs, self.config.user) for network in self._networks]

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
        parts = {"reader": self._reader.to_arrays(), "encoder": encoder}
        for place, network in enumerate(self._networks):
            parts[f"net{place}"] = {
                "pooled": network.pooled,
                "temperature": np.array([network.temperature]),
                **network.weights,
            }
        return {
            "item": self._item,
            "user": self._user,
            **{f"hidden.{what}": vectors for what, vectors in self._hidden.items()},
            **pack_strings("json", [json.dumps(self._health), json.dumps(settings)]),
            **{f"{part}.{name}": a for part, arrays in parts.items() for name, a in arrays.items()},
        }

    def _restore(self, state: Arrays) -> None:
        def part(name: str) -> Arrays:
            start = f"{name}."
            return {k.removeprefix(start): a for k, a in state.items() if k.startswith(start)}

        def network(place: int) -> Network:
            weights = part(f"net{place}")
            pooled = weights.pop("pooled").astype(np.float32)
            return Network(weights, pooled, float(weights.pop("temperature")[0]))

        self._item, self._user = (state[name].astype(np.float32) for name in ("item", "user"))
        # Networks saved before this was kept can name neither sound nor acclaim.
        self._hidden = {
            what: vectors.astype(np.float32) for what, vectors in part("hidden").items()
        }
        health, settings = unpack_strings("json", state)
        self._health = json.loads(health)
        self._encoder = (json.loads(settings), part("encoder"))
        self._networks = tuple(network(place) for place in range(self.config.n_networks))
        self._reader = Reader.from_arrays(part("reader"), self.config.item, self.config.user)


def _weekly(config: TwoTowerConfig) -> TwoTowerConfig:
    """Settings of an update: few epochs, and not more of them because there are few users."""
    train = {**config.train.model_dump(), "epochs": config.weekly.epochs, "lr": config.weekly.lr}
    examples = {**config.examples.model_dump(), "min_steps": 1}
    return config.changed(train=train, examples=examples)


def _course(history: History) -> dict[str, Any]:
    """How training went, without how long it took: equal seeds give equal models."""
    return {k: v for k, v in history.to_json().items() if k not in {"seconds", "examples_per_s"}}


def _health(
    user: Floats, item: Floats, pairs: Csr, rng: np.random.Generator, before: Floats | None
) -> dict[str, Any]:
    """What is written down at each fit, without anything that depends on the clock."""
    from crossfade.recommenders.two_tower.monitor import embedding_health

    places = coo_array(pairs).coords
    wanted = (places[0].astype(np.int32), places[1].astype(np.int32))
    health = embedding_health(user, item, wanted, rng, before).to_json()
    plain: dict[str, Any] = json.loads(json.dumps(health))  # as it is read back from a bundle
    return plain


def _known(dataset: Dataset) -> Bools:
    """Items somebody could have known of at the cut: vocabularies and text look at no others."""
    times = dataset.time_us
    return dataset.known_items(None if times is None else int(times[-1]) + 1)
