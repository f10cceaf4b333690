"""Scores of lists of any length on the common scales, list by list."""

import numpy as np

from crossfade.types import Doubles, Floats, Ints

# -- one base at a time, so that nothing but one column is held in between ---------------


def zscores(score: Doubles, indptr: Ints) -> Floats:
    """Each list of each base minus its mean, over its standard deviation; a constant list becomes 0.

    As `fusion.scaling.zscore`, for lists one after the other; scores of any size are fine.

    Args:
        score: Shape ``(N, S)``; finite, or NaN where a base gives none.
        indptr: List ``b`` is ``[indptr[b], indptr[b + 1])``; none is empty.
    """
    out = np.empty(score.shape, dtype=np.float32)
    start, owner = indptr[:-1], np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    for s in range(score.shape[1]):
        values = score[:, s]
        there = ~np.isnan(values)
        filled = np.where(there, values, 0.0)
        # Divided by the largest first: the square of a huge score would be infinite.
        largest = np.maximum.reduceat(np.abs(filled), start)
        unit = filled / np.where(largest > 0, largest, 1.0)[owner]
        n = np.maximum(np.add.reduceat(there.astype(np.float64), start), 1.0)
        deviation = np.where(there, unit - (np.add.reduceat(unit, start) / n)[owner], 0.0)
        spread = np.sqrt(np.add.reduceat(deviation**2, start) / n)
        high = np.maximum.reduceat(np.where(there, values, -np.inf), start)
        low = np.minimum.reduceat(np.where(there, values, np.inf), start)
        # Rounding leaves a constant list a speck of spread, which would be blown up to 1.
        inverse = np.divide(1.0, spread, out=np.zeros(len(n)), where=(high > low) & (spread > 0))
        out[:, s] = np.where(there, deviation * inverse[owner], np.nan)
    return out


def places(score: Doubles, indptr: Ints) -> tuple[Ints, Ints]:
    """Place of each score in its own list, 1 for the best.

    Args:
        score: As for `zscores`.
        indptr: Likewise.

    Returns:
        Places in which equal scores share their best place, and places in which they are
        ordered by row, so that each occurs once. Both ``(N, S)``; 0 where there is no score.
    """
    shared, single = (np.zeros(score.shape, dtype=np.int64) for _ in range(2))
    owner = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    row = np.arange(len(score))
    for s in range(score.shape[1]):
        values = score[:, s]
        order = np.lexsort((-values, owner))  # stable, and NaN comes last in each list
        sorted_values, sorted_owner = values[order], owner[order]
        place = row - indptr[sorted_owner] + 1
        new = np.ones(len(row), dtype=np.bool_)
        new[1:] = (sorted_owner[1:] != sorted_owner[:-1]) | (
            sorted_values[1:] != sorted_values[:-1]
        )
        first = np.maximum.accumulate(np.where(new, row, 0))
        there = ~np.isnan(sorted_values)
        single[order, s] = np.where(there, place, 0)
        shared[order, s] = np.where(there, place[first], 0)
    return shared, single
