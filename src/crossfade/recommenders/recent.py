"""What somebody did last, and how much each of it counts by what came after."""

import numba
import numpy as np

from crossfade.data import Queries
from crossfade.types import Bools, CsrParts, Floats, Ints, Rows

LEAST_WEIGHT = 2.0**-10
"""Faded history events below this are not looked up: they cannot change a list, and
weights that underflow to 0 would be taken for sessions not yet met."""


def recent_items(queries: Queries, half_life_events: float | None, known: Bools) -> CsrParts:
    """Weight of each wanted item by how many wanted events came after its latest one.

    Args:
        queries: The requests.
        half_life_events: Events until a weight halves; None, like data without times,
            gives all items weight 1.
        known: Items the past sessions hold, shape ``(n_items,)``; events on others are
            passed over and do not age the ones before them.

    Returns:
        Sparse rows, items ascending; the newest event weighs 1, and weights below
        `LEAST_WEIGHT` are left out.
    """
    n_most = int(np.diff(queries.indptr).max(initial=0))
    weight_of = np.ones(n_most, dtype=np.float32)  # by how many came after
    if half_life_events is not None and queries.time_us is not None:
        weight_of = np.exp2(-np.arange(n_most) / half_life_events).astype(np.float32)
    indptr = np.zeros(len(queries) + 1, dtype=np.int64)
    items = np.empty(len(queries.item_row), dtype=np.int32)
    weights = np.empty(len(items), dtype=np.float32)
    size = _recent(
        queries.indptr, queries.item_row, queries.strength, known, weight_of, indptr, items, weights
    )
    return indptr, items[:size], weights[:size]


@numba.njit(cache=True, nogil=True)
def _recent(  # noqa: PLR0917  (kernels know no keywords)
    begins: Ints,
    item_row: Rows,
    strength: Floats,
    known: Bools,
    weight_of: Floats,
    indptr: Ints,
    items: Rows,
    weights: Floats,
) -> int:
    size, newest = 0, np.empty(len(weight_of), dtype=np.int32)
    for query in range(len(begins) - 1):
        n = 0
        for event in range(begins[query + 1] - 1, begins[query] - 1, -1):
            if strength[event] > 0 and known[item_row[event]]:
                newest[n] = item_row[event]
                n += 1
        # By item, and of each the newest event first: that one counts.
        for after in np.argsort(newest[:n], kind="mergesort"):
            is_later = size > indptr[query] and items[size - 1] == newest[after]
            if not is_later and weight_of[after] >= LEAST_WEIGHT:
                items[size], weights[size] = newest[after], weight_of[after]
                size += 1
        indptr[query + 1] = size
    return size
