"""Groups of creators: whole creators on one side of every line."""

import numpy as np
import polars as pl

from crossfade.rng import generator
from crossfade.types import Bools, Ints


def creator_folds(creator: pl.Series, n_folds: int, seed: int) -> Ints:
    """A fold for each item; items of one creator share theirs.

    Args:
        creator: Key of each item's creator; an item without one is a creator of its own.
        n_folds: How many, 2 or more.
        seed: The run's one seed.

    Returns:
        Numbers from 0 to ``n_folds`` − 1, shape ``(n,)``. Creators are dealt out evenly, so no
        fold is empty where there are as many creators as folds.
    """
    own = pl.int_range(pl.len()).cast(pl.String)
    keys = pl.DataFrame({"creator": creator}).select(
        key=pl.coalesce("named:" + pl.col("creator"), "item:" + own)
    )["key"]
    names = keys.unique().sort()
    place = keys.cast(pl.Enum(names)).to_physical().to_numpy().astype(np.int64)
    dealt = generator(seed, "audio.folds").permutation(len(names)) % n_folds
    return np.asarray(dealt[place], dtype=np.int64)


def hold_out_creators(creator: pl.Series, share: float, seed: int) -> Bools:
    """True for the items of about ``share`` of the creators, chosen at random, shape ``(n,)``."""
    n_folds = max(round(1 / share), 2)
    return np.asarray(creator_folds(creator, n_folds, seed) == 0)
