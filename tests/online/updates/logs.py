"""Event logs filled by hand with what somebody did."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from crossfade.data import Dataset
from crossfade.data.dataset import to_us
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.store.log import Log, NewEvent
from crossfade.types import Ints, Times

WEEK_US = 7 * 86_400_000_000
START_US = to_us(datetime(2024, 1, 1, tzinfo=UTC))

CONFIG = HybridConfig(
    bases={"popularity": {"half_life_days": 3.0}, "item_knn": {}},
    blend={"fusion": "static"},
)
FAME = CONFIG.changed(bases={"popularity": {}})


def of_hits(n_weeks: int = 9, n_users: int = 50, n_hits: int = 10) -> Dataset:
    """Everybody plays the ten new songs of each week, once each, at any time of that week.

    Whoever knows this week's songs can tell what somebody plays next; nobody else can.
    """
    week, user, hit = (
        axis.ravel() for axis in np.meshgrid(*map(np.arange, (n_weeks, n_users, n_hits)))
    )
    times = START_US + week * WEEK_US + np.random.default_rng(1).integers(WEEK_US, size=week.size)
    return plays(user, [f"{w}-{h}" for w, h in zip(week, hit, strict=True)], times)


def of_fame(n_weeks: int = 9, n_users: int = 60, n_items: int = 60) -> Dataset:
    """Everybody plays a third of the songs at any time, some songs far more likely than others."""
    rng = np.random.default_rng(1)
    fame = 1 / np.arange(1, n_items + 1)
    songs = [
        rng.choice(n_items, n_items // 3, replace=False, p=fame / fame.sum())
        for _ in range(n_users)
    ]
    user = np.repeat(np.arange(n_users), n_items // 3)
    times = START_US + rng.integers(n_weeks * WEEK_US, size=user.size)
    return plays(user, [f"song {song}" for song in np.concatenate(songs)], times)


def plays(user: Ints, item_ids: Sequence[str], time_us: Times) -> Dataset:
    """A log of plays."""
    events = pl.DataFrame(
        {
            "user_id": [f"user {number}" for number in user],
            "item_id": item_ids,
            "timestamp": pl.Series(time_us).cast(pl.Datetime("us", "UTC")),
        }
    )
    return Dataset.build(events, name="plays")


def fit(log: Dataset, config: HybridConfig = CONFIG) -> HybridModel:
    """A system that notices new songs within days."""
    return HybridModel.fit(log, config, seed=1)


def fill(log: Log, rows: pl.DataFrame) -> None:
    """Append rows of `Dataset.with_ids`, all of which come in at the time of the last."""
    events = [as_new(row) for row in rows.iter_rows(named=True)]
    log.append(events, events[-1].time_us)


def as_new(row: dict[str, Any]) -> NewEvent:
    told = {
        name: row[name]
        for name in ("event", "value", "played_ms", "skipped", "session_id")
        if row.get(name) is not None
    }
    context = {
        name.removeprefix("context_"): value
        for name, value in row.items()
        if name.startswith("context_") and value is not None
    }
    moment: datetime = row["timestamp"]
    return NewEvent(row["item_id"], to_us(moment), row["user_id"], context=context, **told)


def since(whole: Dataset, moment_us: int) -> pl.DataFrame:
    """Events from a moment on, by ids."""
    return whole.with_ids().filter(pl.col("timestamp").to_physical() >= moment_us)
