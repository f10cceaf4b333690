"""The user tower in NumPy, so that answering needs no PyTorch and no batch changes an answer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossfade.recommenders.kernels import factor_products, weighted_sums
from crossfade.recommenders.two_tower.config import ItemTowerConfig, UserTowerConfig
from crossfade.recommenders.two_tower.inputs import N_NUMERIC, UserInputs
from crossfade.types import Arrays, Floats


@dataclass(frozen=True, eq=False)
class Network:
    """What answering needs of one trained network.

    Attributes:
        weights: Of both towers, by the names in `towers.TwoTower`.
        pooled: Vectors of all items for pooling, ``(n_items, output_dim)``.
        temperature: Cosines are divided by it.
    """

    weights: Arrays
    pooled: Floats
    temperature: float

    def users(
        self, inputs: UserInputs, config: UserTowerConfig, moved: Floats | None = None
    ) -> Floats:
        """Vectors of requests before normalisation, ``(n, output_dim)``; see `user_vectors`."""
        prefix = "user."
        tower = {
            name.removeprefix(prefix): w
            for name, w in self.weights.items()
            if name.startswith(prefix)
        }
        return user_vectors(inputs, tower, self.pooled, config, moved)

    def sound(self, audio: Floats, confidence: Floats, config: ItemTowerConfig) -> Floats:
        """What audio features give to the vectors that are pooled, ``(n, output_dim)``.

        Args:
            audio: Distances from the middle, ``(n, 8)``.
            confidence: In them, same shape.
            config: Of the item tower.
        """
        pooled = _floats(self.weights, "item.pooled.weight")
        # In the item tower's columns audio is followed by ratings and numbers.
        stop = pooled.shape[1] - config.rating_dim - N_NUMERIC * config.numeric
        read = np.hstack([audio * confidence, confidence])
        block = factor_products(read, _floats(self.weights, "item.audio.weight"))
        return factor_products(block, pooled[:, stop - config.audio_dim : stop].copy())


def joined_users(vectors: Sequence[Floats], networks: Sequence[Network]) -> Floats:
    """Unit vectors of requests for several networks at once, ``(n, n_networks * output_dim)``.

    Their product with `joined_items`, over `joined_temperature`, is the mean over the networks
    of cosine over temperature.
    """
    parts = [unit(v) / np.float32(n.temperature) for v, n in zip(vectors, networks, strict=True)]
    return unit(np.hstack(parts))


def joined_items(vectors: Sequence[Floats]) -> Floats:
    """Unit vectors of items for several networks at once."""
    return unit(np.hstack([unit(v) for v in vectors]))


def joined_temperature(networks: Sequence[Network]) -> float:
    """What the cosines of joined vectors are divided by; a single network's own."""
    return float(np.mean([n.temperature**-2 for n in networks]) ** -0.5)


def user_vectors(
    inputs: UserInputs,
    weights: Arrays,
    pooled: Floats,
    config: UserTowerConfig,
    moved: Floats | None = None,
) -> Floats:
    """What the user tower says of some requests, before normalisation.

    Each request is computed on its own in a fixed order.

    Args:
        inputs: The requests.
        weights: The tower's weights by their names in `towers.UserTower`.
        pooled: Vectors of all items for pooling, ``(n_items, output_dim)``.
        config: The tower's settings.
        moved: What is added to the sum of each history before it is divided by the root of its
            weight, ``(n, output_dim)``; None adds nothing.

    Returns:
        Shape ``(n, output_dim)``.
    """
    blocks = []
    pool = np.zeros((len(inputs.user), pooled.shape[1]), dtype=np.float32)
    if config.history:
        pool = _pool(inputs, weights, pooled, moved)
        blocks.append(pool)
    if config.id_dim:
        table = _floats(weights, "users.weight")
        # Users who came after training are strangers to the tower.
        row = np.where(inputs.user + 1 < len(table), inputs.user + 1, 0)
        blocks.append(table[row])
    if config.genre_dim:
        blocks.append(weighted_sums(inputs.genres, _floats(weights, "genres.weight")))
    if config.mood_dim:
        blocks.append(weighted_sums(inputs.moods, _floats(weights, "moods.weight")))
    for name, values in (
        ("activity", inputs.activity),
        ("", inputs.time),
        ("trends", inputs.trends),
    ):
        if values is not None:
            blocks.append(_linear(values, weights, name) if name else values)
    vector = np.hstack(blocks)
    n_layers = len(config.hidden) + 1
    for layer in range(n_layers):
        # Linear, ReLU and dropout stand three apart in the sequence.
        vector = _linear(vector, weights, f"layers.{3 * layer}")
        if layer < n_layers - 1:
            vector = np.maximum(vector, 0)
    out: Floats = vector + pool
    return out


def unit(vectors: Floats) -> Floats:
    """Rows at length 1; a row of zeros stays one, NaN stays NaN."""
    lengths = np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
    scaled: Floats = vectors / np.maximum(lengths, np.float32(1e-12))
    return scaled


def _pool(
    inputs: UserInputs, weights: Arrays, pooled: Floats, moved: Floats | None = None
) -> Floats:
    total: Floats = inputs.history.sum(axis=1).astype(np.float32)
    sums = weighted_sums(inputs.history, pooled)
    if moved is not None:
        sums = sums + moved
    out = (sums / np.sqrt(np.maximum(total, 1e-6))[:, None]).astype(np.float32)
    out[total == 0] = _floats(weights, "nobody")
    return out


def _linear(values: Floats, weights: Arrays, name: str) -> Floats:
    product = factor_products(values, _floats(weights, f"{name}.weight"))
    out: Floats = product + _floats(weights, f"{name}.bias")
    return out


def _floats(weights: Arrays, name: str) -> Floats:
    return weights[name].astype(np.float32, copy=False)
