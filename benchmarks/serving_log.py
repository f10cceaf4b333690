"""A made-up log over a large catalogue, for timing requests: items in clusters, people with two tastes."""

from datetime import UTC, datetime

import numpy as np
import polars as pl

from benchmarks.ann_catalogue import make_catalogue, make_clicks
from crossfade.data import Dataset

START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 365


def make_log(n_items: int, n_users: int, seed: int) -> Dataset:
    """Thirteen plays a person within some weeks of a year; a tenth of them skipped.

    Args:
        n_items: In the catalogue, with creator, up to three genres, title, length and release date.
        n_users: People.
        seed: The run's one seed.
    """
    rng = np.random.default_rng(seed)
    catalogue = make_catalogue(n_items, rng)
    clicks = make_clicks(catalogue, n_users, rng)
    n_each = clicks.shape[1]
    first = rng.uniform(0, DAYS - 30, (n_users, 1))
    days = np.sort(first + rng.exponential(7, clicks.shape).clip(max=29), axis=1).ravel()
    user = np.repeat(np.arange(n_users), n_each)
    events = pl.DataFrame(
        {
            "user_id": pl.Series(user).cast(pl.String),
            "item_id": pl.Series(clicks.ravel()).cast(pl.String),
            "timestamp": pl.Series((days * 86_400e6).astype(np.int64))
            + int(START.timestamp() * 1e6),
            "event": "play",
            "skipped": pl.Series(rng.random(len(user)) < 0.1),
        }
    ).with_columns(pl.col("timestamp").cast(pl.Datetime("us", "UTC")))
    row, genre = np.nonzero(catalogue.genres)
    genres = (
        pl.DataFrame({"item_id": row, "genre": genre})
        .with_columns(("genre " + pl.col("genre").cast(pl.String)).alias("genre"))
        .group_by("item_id", maintain_order=True)
        .agg(pl.col("genre").alias("genres"))
    )
    items = pl.DataFrame(
        {
            "item_id": np.arange(n_items),
            "title": [f"Track {number}" for number in range(n_items)],
            "creator": [f"Band {number}" for number in catalogue.creator.tolist()],
            "duration_ms": rng.integers(90_000, 420_000, n_items),
        }
    )
    items = items.join(genres, on="item_id", how="left", maintain_order="left")
    items = items.with_columns(pl.col("item_id").cast(pl.String))
    return Dataset.build(events, items, name=f"made-up log over {n_items:,} items")
