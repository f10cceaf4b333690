"""The weekly update: what a new version takes over from the one before, and what it looks at."""

import numpy as np

from crossfade.config import Field, Settings
from crossfade.data import Dataset
from crossfade.recommenders.base import Change
from crossfade.types import Arrays, Floats, Rows


class WeeklyConfig(Settings):
    """How a version is updated with what happened since, instead of trained afresh."""

    epochs: int = Field(3, ge=1, description="Passes over the users of an update.")
    lr: float = Field(1e-3, gt=0, description="Step size of an update at its highest.")
    replay: float = Field(
        1.0,
        ge=0,
        description="Other users per active one that an update goes through too, so that it does not forget them.",
    )


def carried_over(weights: Arrays, change: Change) -> Arrays:
    """The weights of the previous version in today's rows.

    An item or user that was not there starts at 0, which is what content alone, and a
    stranger, have.

    Args:
        weights: Of `towers.TwoTower`, by name.
        change: Today's rows in the previous version.
    """
    carried = dict(weights)
    for name in ("item.own.weight", "item.met.weight"):
        if name in weights:
            carried[name] = _moved(weights[name].astype(np.float32), change.item_rows)
    name = "user.users.weight"
    if name in weights:
        # Row 0 stands for strangers, so user row u lies at u + 1.
        rows = np.concatenate([[0], np.where(change.user_rows < 0, -1, change.user_rows + 1)])
        carried[name] = _moved(weights[name].astype(np.float32), rows.astype(np.int32))
    return carried


def previous_vectors(vectors: Floats, change: Change) -> Floats:
    """Item vectors of the previous version in today's rows; NaN for items it did not have."""
    out: Floats = _moved(vectors, change.item_rows)
    out[change.item_rows < 0] = np.nan
    return out


def update_users(
    dataset: Dataset, able: Rows, change: Change, replay: float, rng: np.random.Generator
) -> Rows:
    """Who an update looks at: everybody active since, and random others against forgetting.

    Args:
        dataset: The whole log, with times.
        able: Users who can make an example, rising.
        change: Tells since when.
        replay: Others per active user.
        rng: Draws the others.

    Returns:
        User rows, rising.
    """
    assert dataset.time_us is not None
    since = dataset.time_us >= change.since_us
    active = np.intersect1d(able, dataset.events["user_row"].to_numpy()[since])
    others = np.setdiff1d(able, active)
    n_others = min(len(others), round(replay * len(active)))
    drawn = rng.choice(others, n_others, replace=False)
    return np.union1d(active, drawn).astype(np.int32)


def _moved(table: Floats, rows: Rows) -> Floats:
    """Rows of a table in a new order; -1 makes a row of zeros."""
    moved = np.zeros((len(rows), table.shape[1]), dtype=np.float32)
    moved[rows >= 0] = table[rows[rows >= 0]]
    return moved
