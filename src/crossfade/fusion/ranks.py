"""Reciprocal ranks read off the best scores and a sample of the others."""

from typing import NamedTuple

import numba
import numpy as np

from crossfade.fusion.scaling import OFFSET
from crossfade.types import Floats, Ints


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

    def write(self, values: Floats, out: Floats) -> None:
        """Reciprocal ranks of some scores, both ``(n, L)``; NaN stays."""
        _reciprocal_ranks(values, *self, out)


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
