"""Reciprocal ranks read off the best scores and a sample of the others."""

from typing import NamedTuple

import numba
import numpy as np

from crossfade.fusion.scaling import OFFSET
from crossfade.types import Floats, Ints, Uints


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
    width = values.shape[1]
    beyond, beyond_sampled = np.empty(width, dtype=np.uint32), np.empty(width, dtype=np.uint32)
    for row in range(values.shape[0]):
        mine, n_sampled = values[row], int(np.searchsorted(sample[row], np.float32(np.nan)))
        _count_beyond(best[row], n_best[row], mine, beyond)
        _count_beyond(sample[row], n_sampled, mine, beyond_sampled)
        for place in range(width):
            if np.isnan(mine[place]):
                out[row, place] = np.nan
                continue
            n_better = int(beyond[place])
            if mine[place] < floor[row]:
                n_better = int(beyond_sampled[place]) * n_known[row] // n_sampled
                n_better = max(n_better, n_best[row] + 1)
            out[row, place] = (OFFSET + 1) / (OFFSET + n_better + 1)


@numba.njit(cache=True, nogil=True)
def _count_beyond(ascending: Floats, n: int, values: Floats, out: Uints) -> None:
    """How many of the first n are larger than each value: a step of all bisections at a time.

    Nothing branches and no step waits for another of its own, so many run at once.
    """
    out[:], left = 0, n
    while left > 0:
        half = np.uint32((left + 1) // 2)
        for place in range(len(values)):
            first = out[place]
            last = np.uint32(first + half - np.uint32(1))
            out[place] = first + half * np.uint32(ascending[last] <= values[place])
        left -= int(half)
    for place in range(len(out)):
        out[place] = np.uint32(n) - out[place]
