"""From the vectors of a model to an index with its losses measured."""

import time
from dataclasses import replace
from typing import Any

import numpy as np

from crossfade.errors import ConfigError, DataError
from crossfade.index import approximate
from crossfade.index.approximate import Finder, tune
from crossfade.index.config import IndexConfig
from crossfade.index.exact import N_SCORES_AT_ONCE, dots, exact_search, products
from crossfade.index.index import Index
from crossfade.index.quality import Measured, measured, rank_change, recall
from crossfade.index.storage import Plain, Stored, lengths, longest, store
from crossfade.rng import generator
from crossfade.types import Bools, Floats, Rows

LONGEST = 1e18
"""Lengths whose square still fits float32."""


def build_index(
    vectors: Floats,
    config: IndexConfig | None = None,
    *,
    version: str,
    seed: int = 0,
    queries: Floats | None = None,
) -> Index:
    """An index over item vectors that knows what it loses.

    Args:
        vectors: Shape ``(n_items, width)``; a row that is all NaN is an item without a vector.
        config: Settings; None for the defaults.
        version: Of the model the vectors came from; `load_index` compares it.
        seed: For drawing queries and placing centroids.
        queries: Vectors to measure with, shape ``(n, width)``, as the model asks them; None: some of the items'
            own vectors, which is a fair test only where items are looked up by items. Rows with NaN are left out.

    Returns:
        The index. Its ``report`` holds ``version``, ``n_items``, ``n_vectors``, ``width``, ``kind``, ``storage``,
        ``queries`` ("given" or "items"), ``recall`` and ``rank_change`` (mean, 95 % interval from low to high,
        n_queries, k; None where nothing has a vector), ``tuned`` (how FAISS searches and its recall on the
        queries it was tuned on, which the others are not among; None without), ``bytes_per_vector`` and
        ``build_seconds``, measuring included.

    Raises:
        ConfigError: If ranks change by more than ``max_rank_change`` on average, or no way of searching reaches
            ``target_recall``; the message has the measured value.
        DataError: If a vector is partly NaN, infinite or too long for float32.
        MissingExtraError: If FAISS is needed and not installed.
    """
    start = time.perf_counter()
    config = config if config is not None else IndexConfig()
    if not version:
        raise ConfigError("index: version must not be empty; give the model's version id")
    there = _has_vector(vectors)
    whole = np.ascontiguousarray(vectors[there], dtype=np.float32)
    kind = _kind(config, len(whole))
    to_tune, to_judge = _sample(whole, queries, config.n_queries, seed, halve=kind == "faiss")
    for_centroids = int(generator(seed, "index.centroids").integers(2**31))
    stored = store(whole, config, for_centroids)
    original = Plain(whole)
    k = min(config.recall_k, len(whole))
    can_judge = len(to_judge) > 0 and k > 0
    moved = None
    if can_judge:
        best, best_scores = _exact(original, to_judge, k)
        moved = _moved(stored, to_judge, best, config, seed)
    finder, tuned = None, None
    if kind == "faiss" and k > 0:
        finder = approximate.train(whole, config, for_centroids)
        finder, tuned = _tuned(finder, stored, to_tune, k, config.target_recall)
    rows = np.flatnonzero(there).astype(np.int32)
    n_items, width = vectors.shape
    index = Index(version, {}, n_items, width, rows, stored, longest(stored), finder)
    hit = None
    if can_judge:
        shares = recall(_true_scores(index, vectors, to_judge, k), best_scores)
        hit = measured(shares, k, generator(seed, "index.recall")).facts()
    report = {
        "version": version,
        "n_items": n_items,
        "n_vectors": len(whole),
        "width": width,
        "kind": kind,
        "storage": config.storage,
        "queries": "items" if queries is None else "given",
        "recall": hit,
        "rank_change": None if moved is None else moved.facts(),
        "tuned": tuned,
        "bytes_per_vector": _n_bytes(index) / len(whole) if k > 0 else None,
        "build_seconds": round(time.perf_counter() - start, 3),
    }
    return replace(index, report=report)


def _kind(config: IndexConfig, n_vectors: int) -> str:
    if config.kind != "auto":
        return config.kind
    return "faiss" if n_vectors >= config.exact_below else "exact"


def _has_vector(vectors: Floats) -> Bools:
    """Which items have a vector, shape ``(n_items,)``."""
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise DataError(
            f"item vectors must have the shape (n_items, width), got {vectors.shape}; "
            "give one row per item, NaN throughout where it has no vector"
        )
    there: Bools = np.any(~np.isnan(vectors), axis=1)
    wrong = np.flatnonzero(there & ~(lengths(vectors) <= LONGEST))  # NaN compares as False
    if len(wrong):
        raise DataError(
            f"{len(wrong):,} of {len(vectors):,} item vectors are partly NaN, infinite or longer than {LONGEST:g} "
            f"(first: row {wrong[0]}); give finite numbers, or NaN throughout where an item has no vector"
        )
    return there


def _sample(
    whole: Floats, queries: Floats | None, n: int, seed: int, *, halve: bool
) -> tuple[Floats, Floats]:
    """Queries to tune on and queries to judge with, none in both; all judge where nothing is tuned."""
    if queries is not None and (queries.ndim != 2 or queries.shape[1] != whole.shape[1]):
        raise DataError(
            f"queries must have the shape (n_queries, {whole.shape[1]}), got {queries.shape}; "
            "take them from the model that made the item vectors"
        )
    pool = whole if queries is None else queries[np.isfinite(queries).all(axis=1)]
    drawn = generator(seed, "index.queries").permutation(len(pool))[:n]
    chosen = np.ascontiguousarray(pool[drawn], dtype=np.float32)
    n_to_tune = len(chosen) // 2 if halve else 0
    return chosen[:n_to_tune], chosen[n_to_tune:]


def _exact(stored: Stored, queries: Floats, k: int) -> tuple[Rows, Floats]:
    nothing = [np.empty(0, dtype=np.int64)] * len(queries)
    return exact_search(stored, longest(stored), queries, k, nothing)


def _true_scores(index: Index, vectors: Floats, queries: Floats, k: int) -> Floats:
    """Scores by the original vectors of what the index finds, shape ``(n_queries, k)``; NaN where short."""
    found = index.search(queries, k)[0]
    out = np.full(found.shape, np.nan, dtype=np.float32)
    for i, row in enumerate(found):
        there = row >= 0
        out[i, there] = dots(
            np.ascontiguousarray(vectors[row[there]], dtype=np.float32), queries[i]
        )
    return out


def _moved(
    stored: Stored, queries: Floats, truth: Rows, config: IndexConfig, seed: int
) -> Measured:
    """The rank change that the storage causes, within its budget."""
    k = truth.shape[1]
    if config.storage == "float32":
        return Measured(0.0, 0.0, 0.0, len(queries), k)
    step = max(N_SCORES_AT_ONCE // len(stored), 1)
    changes = [
        rank_change(products(stored, queries[i : i + step]), truth[i : i + step])
        for i in range(0, len(queries), step)
    ]
    change = measured(np.concatenate(changes), k, generator(seed, "index.rank_change"))
    if change.mean > config.max_rank_change:
        finer = "float32" if config.storage == "float16" else "float16"
        more = ", more pq_bytes" if config.storage == "pq" else ""
        raise ConfigError(
            f'index: storage "{config.storage}" moves the true best {k} by {change.mean:.2f} places on average '
            f"(95 % interval {change.low:.2f} to {change.high:.2f}, {change.n_queries:,} queries), max_rank_change "
            f'allows {config.max_rank_change:g}; use storage = "{finer}"{more}, or allow {change.mean:.2g}'
        )
    return change


def _tuned(
    finder: Finder, stored: Stored, queries: Floats, k: int, target: float
) -> tuple[Finder, dict[str, Any]]:
    """A tuned finder, and how it searches."""
    found: float | None = None
    if len(queries):  # without any, it goes on looking into every list
        finder, found = tune(finder, stored, queries, _exact(stored, queries, k)[1], target)
    facts = {
        "n_lists": finder.n_lists,
        "n_probe": finder.n_probe,
        "n_candidates": finder.factor * k,
        "target_recall": target,
        "recall": found,
        "n_queries": len(queries),
    }
    return replace(finder, k=k), facts


def _n_bytes(index: Index) -> int:
    arrays = index.arrays()
    return sum(array.nbytes for name, array in arrays.items() if name != "facts")
