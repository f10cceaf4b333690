"""Putting the scores of different bases on one scale, request by request."""

from typing import Literal

import numba
import numpy as np

from crossfade.types import Floats, Ints, Rows

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


class Standings:
    """Scores of one base for some requests, sorted once to tell where any of them stands.

    Attributes:
        scores: Shape ``(n, n_items)``; NaN where the base cannot score. Not copied where it is
            contiguous and of single precision.
    """

    def __init__(self, scores: Floats) -> None:
        self.scores = np.ascontiguousarray(scores, dtype=np.float32)
        self._ascending = np.sort(self.scores, axis=1)  # NaN comes last

    def best(self, k: int) -> Rows:
        """Columns of the k best of each row in their own order, ties by column, ``(n, k)``; -1 pads."""
        out = np.full((len(self.scores), k), -1, dtype=np.int32)
        _best(self.scores, self._ascending, out)
        return out

    def at(self, columns: Ints | Rows, scaling: Scaling) -> Floats:
        """As `scale`, for some columns of each row alone: the same numbers in a fraction of the time.

        Args:
            columns: Shape ``(n, L)``, from 0.
            scaling: See `scale`.

        Returns:
            Shape ``(n, L)``.
        """
        out = np.empty(columns.shape, dtype=np.float32)
        if scaling == "zscore":
            _zscore_at(self.scores, columns, out)
            return out
        picked = np.take_along_axis(self.scores, columns, axis=1)
        for row, values in enumerate(picked):
            ordered = self._ascending[row]
            n_known = np.searchsorted(ordered, np.float32(np.nan))
            rank = n_known - np.searchsorted(ordered[:n_known], values, side="right") + 1
            out[row] = np.where(np.isnan(values), np.nan, (OFFSET + 1) / (OFFSET + rank))
        return out


@numba.njit(cache=True, nogil=True)
def _best(scores: Floats, ascending: Floats, out: Rows) -> None:
    k = out.shape[1]
    for row in range(len(scores)):
        n_known = np.searchsorted(ascending[row], np.float32(np.nan))
        if n_known == 0:
            continue
        least = ascending[row, max(n_known - k, 0)]
        n_above = n_known - np.searchsorted(ascending[row, :n_known], least, side="right")
        n_ties, size = min(k, n_known) - n_above, 0
        for first in range(0, scores.shape[1], 64):
            block = scores[row, first : first + 64]
            # Most blocks hold nothing of the best, and counting needs no branch.
            n_good = 0
            for score in block:
                n_good += score >= least
            if n_good == 0:
                continue
            for place in range(len(block)):
                if block[place] > least or (block[place] == least and n_ties > 0):
                    n_ties -= block[place] == least
                    out[row, size] = first + place
                    size += 1


def zscore(scores: Floats) -> Floats:
    """Each row minus its mean, over its standard deviation; a constant row becomes 0."""
    out = np.empty(scores.shape, dtype=np.float32)
    _zscore(np.ascontiguousarray(scores, dtype=np.float32), out)
    return out


@numba.njit(cache=True, nogil=True)
def _zscore(scores: Floats, out: Floats) -> None:
    for row in range(scores.shape[0]):
        mean, inverse = centre(scores[row])
        for column in range(scores.shape[1]):
            out[row, column] = (scores[row, column] - mean) * inverse  # NaN stays NaN


@numba.njit(cache=True, nogil=True)
def _zscore_at(scores: Floats, columns: Ints | Rows, out: Floats) -> None:
    for row in range(scores.shape[0]):
        mean, inverse = centre(scores[row])
        for place in range(columns.shape[1]):
            out[row, place] = (scores[row, columns[row, place]] - mean) * inverse


# Sums may be taken in any order, and so in lanes; no flag lets NaN be forgotten.
@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def centre(values: Floats) -> tuple[float, float]:
    """Mean of what is known, and 1 over its standard deviation; 0 where it is constant."""
    count, total = 0, 0.0
    low, high = np.float32(np.inf), np.float32(-np.inf)
    for value in values:
        known = not np.isnan(value)
        count += known
        total += np.float64(value) if known else 0.0
        low = min(low, value)
        high = max(high, value)
    mean = total / max(count, 1)
    squares = 0.0
    for value in values:
        away = np.float64(value) - mean
        squares += 0.0 if np.isnan(value) else away * away
    # Rounding leaves a constant row a speck of variance, which would be blown up to 1.
    return mean, 1 / np.sqrt(squares / count) if high > low and squares > 0 else 0.0


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
