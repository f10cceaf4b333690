"""How much each event of a request's history counts."""

import numpy as np

from crossfade.config import Field, Settings
from crossfade.data import Queries
from crossfade.recommenders.kernels import Counting, counted_values
from crossfade.types import MICROSECONDS_PER_DAY, Csr, CsrParts


class HistoryConfig(Settings):
    """How a history becomes weights, for models that add up over its items."""

    counting: Counting = Field(
        "once",
        description="What repeats of an item count: nothing more, log2(1 + strength), or their sum.",
    )
    history_half_life_days: float | None = Field(
        None,
        gt=0,
        description="Days before the newest event at which an event counts half; unset: all alike.",
    )


def weighted_history(queries: Queries, config: HistoryConfig) -> Csr:
    """Weights of the positive items of each request, shape ``(n, n_items)``; see `weighted_parts`."""
    indptr, liked, weights = weighted_parts(queries, config)
    return Csr((weights, liked, indptr), shape=(len(queries), queries.n_items))


def weighted_parts(queries: Queries, config: HistoryConfig) -> CsrParts:
    """Weights of the positive items of each request, items ascending.

    The newest event of a history weighs 1, so the scale does not depend on how long
    ago it was; an item's weight fades with its own newest event. Without times
    nothing fades.
    """
    indptr, liked, summed = queries.positive_parts
    weights = counted_values(summed, config.counting)
    if config.history_half_life_days is None or queries.time_us is None or not len(liked):
        return indptr, liked, weights
    wanted = queries.strength > 0
    owner, item, time_us = queries.owner[wanted], queries.item_row[wanted], queries.time_us[wanted]
    # By request, then item, then time: the order of the matrix, newest last in each pair.
    order = np.lexsort((time_us, item, owner))
    owner, item, time_us = owner[order], item[order], time_us[order]
    is_last = np.append((np.diff(owner) != 0) | (np.diff(item) != 0), np.True_)
    newest_us = np.full(len(queries), np.iinfo(np.int64).min)
    np.maximum.at(newest_us, owner, time_us)
    age_days = (newest_us[owner] - time_us)[is_last] / MICROSECONDS_PER_DAY
    fade = np.exp2(-age_days / config.history_half_life_days).astype(np.float32)
    return indptr, liked, weights * fade
