"""Where candidates stand among everything a base scores, without sorting large catalogues whole."""

from typing import NamedTuple

import numba
import numpy as np

from crossfade.arrays import top_k
from crossfade.fusion.scaling import OFFSET, Scaling, centre
from crossfade.types import Bools, Doubles, Floats, Ints, Rows

SORTED_WHOLE = 32_768
"""Up to so many items each has its exact rank."""

SORTED = 1_024
"""Of more items about so many have, the best of each base."""

SAMPLED = 8_192
"""The others' ranks are estimated from so many at even distances, or a few more."""

BLOCK = 64
"""Scores looked at together."""


class Standings:
    """Scores of one base for some requests, with what it takes to tell where any of them stands.

    Up to `SORTED_WHOLE` items are sorted. Of more only the best are, about `SORTED`: their ranks are
    exact, the others' are estimated from a sample.

    Attributes:
        scores: Shape ``(n, n_items)``, finite; NaN where the base cannot score. Not copied where it
            is contiguous and of single precision.
    """

    def __init__(self, scores: Floats) -> None:
        self.scores = scores = np.ascontiguousarray(scores, dtype=np.float32)
        self._columns: tuple[Floats, Rows] | None = None
        # Of each row: the scores above a floor, and a sample; ascending, so NaN comes last.
        self._floor = np.full(len(scores), -np.inf, dtype=np.float32)
        self._n_known = _n_above(scores, self._floor)
        if scores.shape[1] <= SORTED_WHOLE:
            self._above, self._n_sorted = np.sort(scores, axis=1), self._n_known
            self._sample = self._above[:, :0]
            return
        self._sample = np.sort(scores[:, :: scores.shape[1] // SAMPLED], axis=1)
        _lower(self._floor, self._sample, self._n_known)
        self._n_sorted, width = np.empty_like(self._n_known), 2 * SORTED
        while True:
            found = np.full((len(scores), width), np.nan, dtype=np.float32)
            columns = np.empty((len(scores), width), dtype=np.int32)
            _take_above(scores, self._floor, found, columns, self._n_sorted)
            width = int(self._n_sorted.max(initial=0))
            if width <= found.shape[1]:
                break
        self._columns = found, columns
        self._above = np.sort(found, axis=1)

    def best(self, k: int) -> Rows:
        """Columns of the k best of each row in their own order, ties by column, ``(n, k)``; -1 pads."""
        n_wanted = np.minimum(self._n_known, k)
        least = np.array([self._least(row, n) for row, n in enumerate(n_wanted)], dtype=np.float32)
        out = np.full((len(self.scores), k), -1, dtype=np.int32)
        if self._columns is not None and (n_wanted <= self._n_sorted).all():
            _best_of(*self._columns, self._n_sorted, least, n_wanted, out)
        else:
            _best(self.scores, least, n_wanted - _n_above(self.scores, least), out)
        return out

    def among(self, item_rows: Rows, k: int) -> Rows:
        """Of some items alone the k best of each row, best first, ``(n, k)``; -1 pads."""
        places = top_k(self.scores[:, item_rows], k)
        return np.where(places >= 0, item_rows[places], -1).astype(np.int32)

    def _least(self, row: int, n: int) -> np.float32:
        """The n-th best score of a row that has so many; infinite for none."""
        if n == 0:
            return np.float32(np.inf)
        n_sorted, floor = self._n_sorted[row], self._floor[row]
        if n <= n_sorted:
            return np.float32(self._above[row, n_sorted - n])
        if np.count_nonzero(self.scores[row] >= floor) >= n:
            return np.float32(floor)
        return np.float32(np.sort(self.scores[row])[self._n_known[row] - n])

    def at(self, columns: Ints | Rows, scaling: Scaling) -> Floats:
        """As `scale`, for some columns of each row alone: in a fraction of the time.

        Args:
            columns: Shape ``(n, L)``, from 0.
            scaling: See `scale`. Reciprocal ranks that rest on the sample are off by less than 0.01.

        Returns:
            Shape ``(n, L)``.
        """
        if scaling == "zscore":
            out = np.empty(columns.shape, dtype=np.float32)
            _zscore_at(self.scores, columns, out)
            return out
        picked = np.take_along_axis(self.scores, columns, axis=1)
        ladder = Ladder(self._above, self._n_sorted, self._floor, self._sample, self._n_known)
        return ladder.reciprocal_ranks(picked)


class Ladder(NamedTuple):
    """What ranks are read off, for n requests.

    Attributes:
        best: All scores above ``floor``, ascending, and then whatever, ``(n, W)``.
        n_best: How many they are, ``(n,)``.
        floor: The score that is no longer among them, ``(n,)``.
        sample: Of all scores, ascending, NaN at the end; it tells the ranks below the floor.
        n_known: How many scores there are, ``(n,)``.
    """

    best: Floats
    n_best: Ints
    floor: Floats
    sample: Floats
    n_known: Ints

    def reciprocal_ranks(self, values: Floats) -> Floats:
        """Of some scores, ``(n, L)``; NaN stays."""
        out = np.empty(values.shape, dtype=np.float32)
        _reciprocal_ranks(values, *self, out)
        return out


def _n_above(scores: Floats, least: Floats) -> Ints:
    """How many scores of each row are above its bound, ``(n,)``."""
    out = np.empty(len(scores), dtype=np.int64)
    _count_above(scores, least, out)
    return out


# Loops over whole rows count up by one from 0 and know no branch: so they run as vectors.
@numba.njit(cache=True, nogil=True)
def _count_above(scores: Floats, least: Floats, out: Ints) -> None:
    for row in range(len(scores)):
        values, bound, n = scores[row], least[row], np.int32(0)
        for place in range(len(values)):
            n += np.int32(values[place] > bound)
        out[row] = n


@numba.njit(cache=True, nogil=True)
def _lower(floor: Floats, sample: Floats, n_known: Ints) -> None:
    """Set each floor to what about `SORTED` scores are above, by the sample; not where there are fewer."""
    for row in range(len(sample)):
        if n_known[row] > SORTED:
            n_sampled = np.searchsorted(sample[row], np.float32(np.nan))
            place = n_sampled - 1 - n_sampled * SORTED // n_known[row]
            if place >= 0:
                floor[row] = sample[row, place]


@numba.njit(cache=True, nogil=True)
def _take_above(scores: Floats, floor: Floats, out: Floats, columns: Rows, n: Ints) -> None:
    """The scores above the floor of each row and where they are, as far as there is room; how many."""
    for row in range(len(scores)):
        values, bound, size = scores[row], floor[row], 0
        some = _some_above(values, bound)
        for block in range(len(some)):
            if not some[block]:
                continue
            for place in range(block * BLOCK, min((block + 1) * BLOCK, len(values))):
                if values[place] > bound:
                    if size < out.shape[1]:
                        out[row, size], columns[row, size] = values[place], place
                    size += 1
        n[row] = size


@numba.njit(cache=True, nogil=True)
def _best_of(  # noqa: PLR0917  (kernels know no keywords)
    values: Floats, columns: Rows, n_values: Ints, least: Floats, n_wanted: Ints, out: Rows
) -> None:
    """As `_best`, where all of the best are among some values."""
    for row in range(len(values)):
        n, bound, size = n_values[row], least[row], 0
        ties = n_wanted[row]
        for place in range(n):
            ties -= values[row, place] > bound
        for place in range(n):
            value = values[row, place]
            if value > bound or (value == bound and ties > 0):
                ties -= value == bound
                out[row, size] = columns[row, place]
                size += 1


@numba.njit(cache=True, nogil=True)
def _best(scores: Floats, least: Floats, n_ties: Ints, out: Rows) -> None:
    for row in range(len(scores)):
        values, bound, ties, size = scores[row], least[row], n_ties[row], 0
        better = _some_above(values, bound)
        equal = _some_above(values, np.nextafter(bound, np.float32(-np.inf)))
        for block in range(len(better)):
            if not (better[block] or (ties > 0 and equal[block])):
                continue
            for place in range(block * BLOCK, min((block + 1) * BLOCK, len(values))):
                if values[place] > bound or (values[place] == bound and ties > 0):
                    ties -= values[place] == bound
                    out[row, size] = place
                    size += 1


@numba.njit(cache=True, nogil=True)
def _some_above(values: Floats, bound: float) -> Bools:
    """Which blocks of values may hold some above the bound; most hold nothing of the best."""
    some = np.ones(-(-len(values) // BLOCK), dtype=np.bool_)
    for block in range(len(values) // BLOCK):
        n = np.int32(0)
        for place in range(BLOCK):
            n += np.int32(values[block * BLOCK + place] > bound)
        some[block] = n > 0
    return some


@numba.njit(cache=True, nogil=True)
def _reciprocal_ranks(  # noqa: PLR0917  (kernels know no keywords)
    values: Floats,
    best: Floats,
    n_best: Ints,
    floor: Floats,
    sample: Floats,
    n_known: Ints,
    out: Floats,
) -> None:
    for row in range(values.shape[0]):
        n_sampled = int(np.searchsorted(sample[row], np.float32(np.nan)))
        for place in range(values.shape[1]):
            value = values[row, place]
            if np.isnan(value):
                out[row, place] = np.nan
                continue
            if value >= floor[row]:
                n_better = _n_beyond(best[row], n_best[row], value)
            else:
                n_better = _n_beyond(sample[row], n_sampled, value) * n_known[row] // n_sampled
                n_better = max(n_better, n_best[row] + 1)
            out[row, place] = (OFFSET + 1) / (OFFSET + n_better + 1)


@numba.njit(cache=True, nogil=True)
def _n_beyond(ascending: Floats, n: int, value: float) -> int:
    """How many of the first n are larger than a value; bisection in which nothing branches."""
    first, left = 0, n
    while left > 0:
        half = (left + 1) // 2
        first += half * (ascending[first + half - 1] <= value)
        left -= half
    return n - first


@numba.njit(cache=True, nogil=True)
def _zscore_at(scores: Floats, columns: Ints | Rows, out: Floats) -> None:
    for row in range(scores.shape[0]):
        mean, inverse = centre(scores[row])
        for place in range(columns.shape[1]):
            out[row, place] = (scores[row, columns[row, place]] - mean) * inverse


def moments_without(
    n: float, mean: float, squares: float, gone: Doubles
) -> tuple[float, float, float]:
    """Count, mean and squared distances from it of n values when some of them are gone.

    What is left of equal values has no distance at all: rounding leaves specks, which are none.
    """
    left = n - len(gone)
    if left < 1:
        return 0.0, 0.0, 0.0
    after = mean + (mean * len(gone) - gone.sum()) / left
    rest = squares + n * (mean - after) ** 2 - np.square(gone - after).sum()
    return left, after, rest if rest > ROUNDING * max(squares, 1e-300) else 0.0


ROUNDING = 1e-12
"""Share of a sum of squares that rounding may leave where nothing is left."""
