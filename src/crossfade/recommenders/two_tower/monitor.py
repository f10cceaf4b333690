"""Figures that show whether a trained pair of towers is healthy."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from crossfade.arrays import top_k
from crossfade.types import Doubles, Floats, Rows

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Quantiles of a `Distribution`."""


@dataclass(frozen=True)
class Distribution:
    """Some numbers in short.

    Attributes:
        n: How many; NaN does not count.
        mean: Their mean, None over nothing.
        quantiles: At `LEVELS`, empty over nothing.
    """

    n: int
    mean: float | None
    quantiles: tuple[float, ...]

    @classmethod
    def of(cls, values: Floats | Doubles) -> "Distribution":
        """The distribution of those values that are not NaN."""
        known = values[~np.isnan(values)].astype(np.float64)
        if not len(known):
            return cls(0, None, ())
        return cls(len(known), float(known.mean()), tuple(np.quantile(known, LEVELS).tolist()))


@dataclass(frozen=True)
class EmbeddingHealth:
    """What is written down at each fit; None where there was nothing to measure.

    Attributes:
        positive: Cosines of wanted pairs.
        random: Cosines of the same requests with random items that were not wanted.
        alignment: Mean squared distance of wanted pairs, 0 (best) to 4.
        user_uniformity: Of the users' vectors, -4 (well spread) or so to 0 (all the same).
        item_uniformity: Of the items' vectors.
        user_norm: Lengths of the users' vectors before normalisation.
        item_norm: Lengths of the items' vectors before normalisation.
        neighbour_overlap: How much of an item's neighbourhood is as in the previous
            version, 0 (nothing) to 1 (all).
    """

    positive: Distribution
    random: Distribution
    alignment: float | None
    user_uniformity: float | None
    item_uniformity: float | None
    user_norm: Distribution
    item_norm: Distribution
    neighbour_overlap: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain values for a manifest or report."""
        return asdict(self)


def embedding_health(
    user: Floats,
    item: Floats,
    wanted: tuple[Rows, Rows],
    rng: np.random.Generator,
    previous: Floats | None = None,
    *,
    k: int = 10,
    n_sampled: int = 2000,
) -> EmbeddingHealth:
    """Measure the output of both towers.

    Args:
        user: What the user tower gives for some requests before normalisation, shape
            ``(n, dim)``. Lengths after it are always 1 and would tell nothing.
        item: The same of the item tower, shape ``(n_items, dim)``.
        wanted: Rows into ``user`` and rows into ``item`` of all wanted pairs, ``(pairs,)`` each.
        rng: Draws samples and random items.
        previous: Item vectors of the version before, shape ``(n_items, any)``, in today's
            rows; NaN for items it did not have. None without a version before.
        k: Size of a neighbourhood.
        n_sampled: Most pairs, vectors and neighbourhoods to look at.
    """
    pairs = _sample(len(wanted[0]), n_sampled, rng)
    asking, item_rows = wanted[0][pairs], wanted[1][pairs]
    positive = _cosines(user[asking], item[item_rows])
    other = rng.integers(len(item), size=len(asking))
    random = _cosines(user[asking], item[other])
    # A random item that this request wanted too is no negative.
    code = np.int64(len(item))
    random[np.isin(asking * code + other, wanted[0] * code + wanted[1])] = np.nan
    known_before = None if previous is None else np.flatnonzero(~np.isnan(previous).any(axis=1))
    overlap = None
    if previous is not None and known_before is not None:
        overlap = neighbour_overlap(
            item[known_before], previous[known_before], k, rng, n_sampled=n_sampled
        )
    return EmbeddingHealth(
        positive=Distribution.of(positive),
        random=Distribution.of(random),
        alignment=alignment(user[asking], item[item_rows]),
        user_uniformity=uniformity(user[_sample(len(user), n_sampled, rng)]),
        item_uniformity=uniformity(item[_sample(len(item), n_sampled, rng)]),
        user_norm=Distribution.of(np.linalg.norm(user, axis=1)),
        item_norm=Distribution.of(np.linalg.norm(item, axis=1)),
        neighbour_overlap=overlap,
    )


def alignment(left: Floats, right: Floats) -> float | None:
    """Mean squared distance of paired directions.

    Args:
        left: Vectors of any length, shape ``(pairs, dim)``; those of length 0 do not count.
        right: Their partners, same shape.

    Returns:
        0 (the same) to 4 (opposite), or None without a pair.

    Source:
        Wang and Isola (2020), "Understanding Contrastive Representation Learning through
        Alignment and Uniformity on the Hypersphere", section 4.1, with α = 2.
    """
    cosines = _cosines(left, right)
    return float(np.nanmean(2 - 2 * cosines)) if not np.isnan(cosines).all() else None


def uniformity(vectors: Floats) -> float | None:
    """Log of the mean of exp(-2 d²) over all pairs of different rows, d their distance.

    Args:
        vectors: Of any length, shape ``(n, dim)``; those of length 0 do not count. Time
            and memory grow with n².

    Returns:
        0 where all directions are the same, the lower the better they are spread, never
        below -8; None with fewer than two.

    Source:
        Wang and Isola (2020), section 4.1, with t = 2.
    """
    unit = _unit(vectors)
    unit = unit[~np.isnan(unit).any(axis=1)]
    n = len(unit)
    if n < 2:
        return None
    affinity = np.exp(-2 * (2 - 2 * np.clip(unit @ unit.T, -1, 1)))
    np.fill_diagonal(affinity, 0)
    return float(np.log(affinity.sum(dtype=np.float64) / (n * (n - 1))))


def neighbour_overlap(
    now: Floats, before: Floats, k: int, rng: np.random.Generator, *, n_sampled: int = 2000
) -> float | None:
    """How far items have the same nearest neighbours in two versions.

    Two trainings that agree on everything still differ by a rotation, so the vectors
    themselves cannot be compared; neighbourhoods can.

    Args:
        now: Vectors of the items that both versions have, shape ``(n, dim)``.
        before: The same items in the previous version, shape ``(n, any)``.
        k: Size of a neighbourhood, by cosine.
        rng: Picks the items to look at where there are more than ``n_sampled``.
        n_sampled: Most items whose neighbourhoods are compared.

    Returns:
        Mean over items of the Jaccard index of the two neighbourhoods, 0 to 1;
        None with fewer than two items.
    """
    if len(now) < 2:
        return None
    probes = _sample(len(now), n_sampled, rng)
    pairs = zip(_neighbours(now, probes, k), _neighbours(before, probes, k), strict=True)
    return float(np.mean([len(a & b) / len(a | b) if a | b else 1.0 for a, b in pairs]))


def _neighbours(vectors: Floats, probes: Rows, k: int) -> list[set[int]]:
    unit = _unit(vectors)
    found: list[set[int]] = []
    for start in range(0, len(probes), CHUNK):
        rows = probes[start : start + CHUNK]
        cosines = unit[rows] @ unit.T
        cosines[np.arange(len(rows)), rows] = np.nan  # nobody neighbours themselves
        found += [set(best.tolist()) - {-1} for best in top_k(cosines, k)]
    return found


CHUNK = 256
"""Neighbourhoods worked out at a time: 100 MB with 100,000 items."""


def _sample(n: int, n_most: int, rng: np.random.Generator) -> Rows:
    """All of 0 … n − 1, or a sorted random part of them."""
    if n <= n_most:
        return np.arange(n, dtype=np.int32)
    return np.sort(rng.choice(n, size=n_most, replace=False)).astype(np.int32)


def _unit(vectors: Floats) -> Floats:
    """Directions; NaN where there is none."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, np.where(length > 0, length, np.nan), dtype=np.float32)


def _cosines(left: Floats, right: Floats) -> Floats:
    """Cosine of each row with its partner; NaN where one has no direction."""
    cosines: Floats = np.einsum("nd,nd->n", _unit(left), _unit(right))
    return cosines
