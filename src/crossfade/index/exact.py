"""Search through every vector, and the last word on scores and ties."""

from collections.abc import Sequence

import numba
import numpy as np

from crossfade.arrays import top_k
from crossfade.index.storage import Stored
from crossfade.types import Floats, Ints, Rows

N_VECTORS_AT_ONCE = 65_536
N_SCORES_AT_ONCE = 2**24
"""64 MB of scores, however many queries there are."""


def exact_search(
    stored: Stored, longest: float, queries: Floats, k: int, exclude: Sequence[Ints]
) -> tuple[Rows, Floats]:
    """The k vectors with the largest inner product for each query.

    Args:
        stored: The vectors.
        longest: Length of the longest of them, which bounds rounding.
        queries: Shape ``(n_queries, width)``, finite.
        k: How many, 1 or more.
        exclude: For each query, the vectors to leave out.

    Returns:
        Numbers of vectors, shape ``(n_queries, k)``, -1 where there are fewer; and their scores, NaN there.
    """
    found = np.full((len(queries), k), -1, dtype=np.int32)
    scores = np.full((len(queries), k), np.nan, dtype=np.float32)
    step = max(N_SCORES_AT_ONCE // max(len(stored), 1), 1)
    for start in range(0, len(queries), step):
        rough = products(stored, queries[start : start + step])
        for i, row in enumerate(rough, start):
            row[exclude[i]] = np.nan
            near = _near_the_top(row, k, _rounding(queries[i], longest))
            found[i], scores[i] = settle(stored, near, queries[i], k)
    return found, scores


def products(stored: Stored, queries: Floats) -> Floats:
    """Inner products with all vectors, shape ``(n_queries, n)``, rounded as BLAS happens to."""
    out = np.empty((len(queries), len(stored)), dtype=np.float32)
    for start in range(0, len(stored), N_VECTORS_AT_ONCE):
        here = slice(start, start + N_VECTORS_AT_ONCE)
        np.matmul(queries, stored.take(here).T, out=out[:, here])
    return out


def settle(stored: Stored, candidates: Ints, query: Floats, k: int) -> tuple[Rows, Floats]:
    """The best k of some candidates by inner product, equal scores in the order of their numbers.

    Each product is summed in one order in double precision, so equal vectors have equal scores wherever they
    stand and however many queries come at once; BLAS promises neither.

    Args:
        stored: The vectors.
        candidates: Numbers of vectors, rising.
        query: Shape ``(width,)``.
        k: How many, 1 or more.

    Returns:
        Numbers, shape ``(k,)``, -1 where there are fewer; and their scores, NaN there.
    """
    scores = dots(np.ascontiguousarray(stored.take(candidates)), query)
    best = top_k(scores[None, :], k)[0]
    there = best >= 0
    found = np.full(k, -1, dtype=np.int32)
    kept = np.full(k, np.nan, dtype=np.float32)
    found[there], kept[there] = candidates[best[there]], scores[best[there]]
    return found, kept


def _near_the_top(row: Floats, k: int, rounding: float) -> Ints:
    """Vectors that may be among the best k once rounding is settled, rising."""
    last = top_k(row[None, :], k)[0, -1]
    if last < 0:
        return np.flatnonzero(~np.isnan(row))
    # Twice: the k-th may be rounded up and another one down.
    return np.flatnonzero(row >= row[last] - 2 * rounding)


def _rounding(query: Floats, longest: float) -> float:
    """Most that a float32 inner product can be off, in any order of summing (Higham 2002, eq. 3.5)."""
    length = float(np.linalg.norm(query.astype(np.float64)))
    return 2 * len(query) * float(np.finfo(np.float32).eps) * length * longest


@numba.njit(cache=True, nogil=True)
def dots(vectors: Floats, query: Floats) -> Floats:
    """Inner products of one query, summed in one order in double precision, shape ``(n,)``."""
    out = np.empty(len(vectors), dtype=np.float32)
    for i in range(len(vectors)):
        total = 0.0
        for j in range(len(query)):
            total += np.float64(vectors[i, j]) * np.float64(query[j])
        out[i] = np.float32(total)
    return out
