"""When items came."""

import numpy as np

from crossfade.data.dataset import Dataset
from crossfade.data.schema import TIMESTAMP
from crossfade.types import MICROSECONDS_PER_DAY, Rows


def new_items(dataset: Dataset, days: float) -> Rows:
    """Items that came in the last days of a log, ascending.

    An item comes with its release, or with its first event where no release before the end of
    the log is known. Without times nothing is new.
    """
    if days <= 0 or dataset.time_us is None or not len(dataset.time_us):
        return np.empty(0, dtype=np.int32)
    end_us = int(dataset.time_us[-1]) + 1
    came_us = np.full(dataset.n_items, np.iinfo(np.int64).max)
    rows, first = np.unique(dataset.events["item_row"].to_numpy(), return_index=True)
    came_us[rows] = dataset.time_us[first]
    if "release_date" in dataset.items.columns:
        released = dataset.items["release_date"].cast(TIMESTAMP).to_physical()
        known = (released < end_us).fill_null(value=False).to_numpy()
        came_us[known] = released.to_numpy()[known]
    recent = (came_us >= end_us - days * MICROSECONDS_PER_DAY) & (came_us < end_us)
    return np.flatnonzero(recent).astype(np.int32)
