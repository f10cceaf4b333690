"""Event logs filled by hand with what somebody did."""

from datetime import datetime
from typing import Any

import polars as pl

from crossfade.data import Dataset
from crossfade.data.dataset import to_us
from crossfade.store.log import Log, NewEvent


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
