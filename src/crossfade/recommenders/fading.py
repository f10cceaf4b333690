"""Evidence that fades: what was wanted long ago says less of what is wanted now."""

import numpy as np
import polars as pl

from crossfade.config import Field, Settings
from crossfade.data import Dataset
from crossfade.recommenders.kernels import Counting, counted
from crossfade.types import MICROSECONDS_PER_DAY, Csr

FAINT = 2.0**-20
"""The least that is left: a pair that counted 0 would be one that was never seen."""


class FadingConfig(Settings):
    """How fast training forgets."""

    half_life_days: float | None = Field(
        None,
        gt=0,
        description="Days before the newest event of the log at which a wanted pair counts half in training; "
        "unset: never.",
    )


def faded_evidence(dataset: Dataset, counting: Counting, half_life_days: float | None) -> Csr:
    """Evidence of each wanted pair, ``(n_users, n_items)``, halved every so many days since its newest event.

    Args:
        dataset: The log to learn from.
        counting: What repeats count.
        half_life_days: None, like data without times, lets nothing fade.
    """
    evidence = counted(dataset.interactions(), counting)
    if half_life_days is None or dataset.time_us is None or not evidence.nnz:
        return evidence
    newest = (
        dataset.events.filter(pl.col("strength") > 0)
        .group_by("user_row", "item_row")
        .agg(pl.col("timestamp").max().to_physical())
        .sort("user_row", "item_row")  # the order of the matrix
    )
    age_days = (dataset.time_us[-1] - newest["timestamp"].to_numpy()) / MICROSECONDS_PER_DAY
    fade = np.maximum(np.exp2(-age_days / half_life_days), FAINT).astype(np.float32)
    return Csr((evidence.data * fade, evidence.indices, evidence.indptr), shape=evidence.shape)
