"""Items like an item, by the first base that knows."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from crossfade.arrays import top_k
from crossfade.recommenders.base import Recommender
from crossfade.types import Floats, Rows


def similar_items(
    bases: Mapping[str, Recommender[Any]], item_row: int, k: int
) -> tuple[str, Rows, Floats]:
    """The k nearest items of the first base that has any nearer than 0.

    Returns:
        Label of the base, items best first, ties by row, and their similarity, ``(n,)`` each; an
        empty label and nothing where no base knows the item.
    """
    for label, base in bases.items():
        found = base.similar(item_row)
        if found is None:
            continue
        others = np.where(found > 0, found, np.nan)
        others[item_row] = np.nan
        rows: Rows = top_k(others[None, :], k)[0]
        rows = rows[rows >= 0]
        if len(rows):
            return label, rows, others[rows]
    return "", np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
