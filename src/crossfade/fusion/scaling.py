"""Putting the scores of different bases on one scale, request by request."""

from typing import Literal

import numba
import numpy as np

from crossfade.types import Floats, Ints

Scaling = Literal["zscore", "reciprocal_rank"]

ROWS_AT_ONCE = 64
"""Rows ranked at once, so that their order stays in the processor's cache."""


def scale(scores: Floats, scaling: Scaling) -> Floats:
    """Scores of one base on the common scale.

    Args:
        scores: Shape ``(n, n_items)``; NaN where the base cannot score, and it stays NaN.
        scaling: ``zscore`` keeps distances within a request, ``reciprocal_rank`` only the order.
    """
    return zscore(scores) if scaling == "zscore" else reciprocal_rank(scores)


def zscore(scores: Floats) -> Floats:
    """Each row minus its mean, over its standard deviation; a constant row becomes 0."""
    out = np.empty(scores.shape, dtype=np.float32)
    _zscore(np.ascontiguousarray(scores, dtype=np.float32), out)
    return out


@numba.njit(cache=True, nogil=True)
def _zscore(scores: Floats, out: Floats) -> None:
    for row in range(scores.shape[0]):
        values = scores[row]
        stop = len(values)
        while stop > 0 and np.isnan(values[stop - 1]):
            stop -= 1
        # What pads a shorter list has no part in its sums, not even in how they are split up.
        mean, inverse = centre(values[:stop])
        for column in range(len(values)):
            out[row, column] = (values[column] - mean) * inverse  # NaN stays NaN


@numba.njit(cache=True, nogil=True)
def centre(values: Floats) -> tuple[float, float]:
    """As `measure`, without the count."""
    _, mean, inverse = measure(values)
    return mean, inverse


# Sums may be taken in any order, and so in lanes; no flag lets NaN be forgotten.
@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def measure(values: Floats) -> tuple[int, float, float]:
    """Count and mean of what is known, and 1 over its standard deviation; 0 where it is constant."""
    start = 0
    while start < len(values) and np.isnan(values[start]):
        start += 1
    if start == len(values):
        return 0, 0.0, 0.0
    # Distances from one of the values are all exactly 0 in a constant row.
    origin = values[start]
    count, total, squares = 0, 0.0, 0.0
    for place in range(len(values)):
        value = values[place]
        known = not np.isnan(value)
        away = np.float64(value if known else origin) - np.float64(origin)
        count += known
        total += away
        squares += away * away
    mean = total / count
    variance = squares / count - mean * mean
    # A value so far from all others that nothing is left of their distances is no origin.
    if variance < FAR * mean * mean:
        variance = _variance(values, np.float64(origin) + mean) if squares > 0 else 0.0
    return count, np.float64(origin) + mean, 1 / np.sqrt(variance) if variance > 0 else 0.0


FAR = 1e-6
"""Variance over the squared distance of the origin from the mean below which one pass is not enough."""


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _variance(values: Floats, mean: float) -> float:
    count, squares = 0, 0.0
    for place in range(len(values)):
        value = values[place]
        known = not np.isnan(value)
        away = (np.float64(value) if known else mean) - mean
        count += known
        squares += away * away
    return squares / count


OFFSET = 60.0
"""How slowly reciprocal ranks fall."""


def reciprocal_rank(scores: Floats, offset: float = OFFSET) -> Floats:
    """``(offset + 1) / (offset + rank)``, 1 for the best; equal scores share their best rank.

    Source:
        Cormack, Clarke and Büttcher (2009), "Reciprocal Rank Fusion outperforms Condorcet
        and individual Rank Learning Methods".
    """
    scores = np.ascontiguousarray(scores, dtype=np.float32)
    out = np.empty(scores.shape, dtype=np.float32)
    for start in range(0, len(scores), ROWS_AT_ONCE):
        piece = slice(start, start + ROWS_AT_ONCE)
        # Negated, because NaN sorts last.
        _reciprocal_rank(scores[piece], np.argsort(-scores[piece], axis=1), offset, out[piece])
    return out


@numba.njit(cache=True, nogil=True)
def _reciprocal_rank(scores: Floats, order: Ints, offset: float, out: Floats) -> None:
    for row in range(scores.shape[0]):
        rank = 0
        for place in range(scores.shape[1]):
            column = order[row, place]
            value = scores[row, column]
            if np.isnan(value):
                out[row, column] = np.nan
                continue
            if place == 0 or value != scores[row, order[row, place - 1]]:
                rank = place + 1
            out[row, column] = (offset + 1) / (offset + rank)
