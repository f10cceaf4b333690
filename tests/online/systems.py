"""Small systems fitted on the first part of a log, and the rest of the log as live events."""

from typing import Any

import numpy as np
import polars as pl

from crossfade.data import Dataset
from crossfade.data.dataset import to_us
from crossfade.data.world import WorldConfig, make_world
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.online import Event

BASES: dict[str, dict[str, Any]] = {
    "popularity": {},
    "item_knn": {"history_half_life_days": 5.0},
    "genre_popularity": {},
}
BLEND: dict[str, Any] = {
    "fusion": "ridge",
    "n_candidates": 20,
    "n_earlier_blocks": 0,
    "min_requests": 5,
}
CONFIG = HybridConfig(bases=BASES, blend=BLEND)


def world(*, sessions: bool = True, n_tracks: int = 120) -> Dataset:
    """Listeners who play on devices; with session ids or without."""
    made = make_world(WorldConfig(n_listeners=60, n_tracks=n_tracks, n_plays=5_000), seed=3).dataset
    device = pl.Series(["phone", "desk", None])
    frame = made.with_ids().with_columns(
        context_device=device.gather(np.arange(made.n_events) % 3),
        context_noise=pl.Series(np.arange(made.n_events) % 7, dtype=pl.Float64),
    )
    if not sessions:
        frame = frame.drop("session_id")
    return Dataset.build(frame, made.items, made.users, name="world", target=made.target)


def cut(whole: Dataset, share: float = 0.8) -> tuple[Dataset, int]:
    """The older part of a log, and the moment it ends; nobody and nothing is forgotten."""
    assert whole.time_us is not None
    moment = int(whole.time_us[int(whole.n_events * share)])
    return whole.where(pl.Series(whole.time_us < moment)), moment


def fit(log: Dataset, **blend: Any) -> HybridModel:
    return HybridModel.fit(log, HybridConfig(bases=BASES, blend={**BLEND, **blend}), seed=1)


def live(whole: Dataset, user_id: str, since_us: int) -> list[Event]:
    """What somebody did from a moment on, as it would come in."""
    rows = whole.with_ids().filter(
        (pl.col("user_id") == user_id)
        & (pl.col("timestamp") >= pl.lit(since_us).cast(pl.Datetime("us", "UTC")))
    )
    return [as_event(row) for row in rows.iter_rows(named=True)]


def as_event(row: dict[str, Any]) -> Event:
    """One row of a log of ids."""
    told = {
        name: row[name]
        for name in ("event", "value", "played_ms", "skipped", "session_id")
        if row.get(name) is not None
    }
    context = {
        name: value
        for name, value in row.items()
        if name.startswith("context_") and value is not None
    }
    return Event(row["item_id"], to_us(row["timestamp"]), **told, context=context)
