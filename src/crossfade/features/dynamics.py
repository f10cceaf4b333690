"""How items have fared up to a moment: how many wanted them, since when, and lately.

Counts, so they speak of fame, which content must not: they are context for a blend, never
input of a tower or of the audio predictor.
"""

import numpy as np
import polars as pl

from crossfade.data import Dataset
from crossfade.errors import DataError
from crossfade.types import MICROSECONDS_PER_DAY, Doubles, Ints, Rows, Times

WINDOWS_DAYS = (7, 30, 90, 365)

DYNAMICS = (
    "log_users",
    "log_events",
    "log_age_days",
    "log_idle_days",
    *(f"log_events_{days}d" for days in WINDOWS_DAYS),
    "momentum_30d",
    "log_release_age_days",
)
"""Columns of `item_dynamics`: log1p of counts and days; momentum is log of one more than the last 30
days' events over one more than what an even pace since the first event would have brought."""


def item_dynamics(dataset: Dataset, as_of_us: int | None) -> Doubles:
    """What happened to each item strictly before a moment; only positive events count.

    Args:
        dataset: The log; later events and later release dates are not looked at.
        as_of_us: The moment in microseconds; None takes everything, as of just after the last
            event where there are times.

    Returns:
        Shape ``(n_items, len(DYNAMICS))``; NaN where missing: ages and momentum of items without
        an event, the release age of items not known to be out, and everything but the first
        two counts where the data has no times.

    Raises:
        DataError: If a moment is given and the data has no times.
    """
    out = np.full((dataset.n_items, len(DYNAMICS)), np.nan)
    column = {name: place for place, name in enumerate(DYNAMICS)}
    events, times = _wanted(dataset, as_of_us)
    item = events["item_row"].to_numpy()
    n_events = np.bincount(item, minlength=dataset.n_items)
    out[:, column["log_events"]] = np.log1p(n_events)
    different = events.unique()["item_row"].to_numpy()
    out[:, column["log_users"]] = np.log1p(np.bincount(different, minlength=dataset.n_items))
    now_us = as_of_us if as_of_us is not None else _end_us(dataset)
    if times is None or now_us is None:
        return out
    some = n_events > 0
    first_us, last_us = _extremes(item, times, dataset.n_items)
    age_days = (now_us - first_us[some]) / MICROSECONDS_PER_DAY
    out[some, column["log_age_days"]] = np.log1p(age_days)
    out[some, column["log_idle_days"]] = np.log1p((now_us - last_us[some]) / MICROSECONDS_PER_DAY)
    recent: dict[int, Ints] = {}
    for days in WINDOWS_DAYS:
        inside = item[times >= now_us - days * MICROSECONDS_PER_DAY]
        recent[days] = np.bincount(inside, minlength=dataset.n_items)
        out[:, column[f"log_events_{days}d"]] = np.log1p(recent[days])
    even_pace = n_events[some] * np.minimum(1.0, 30 / age_days)
    out[some, column["momentum_30d"]] = np.log((recent[30][some] + 1) / (even_pace + 1))
    out[:, column["log_release_age_days"]] = np.log1p(_release_age_days(dataset, now_us))
    return out


def _wanted(dataset: Dataset, as_of_us: int | None) -> tuple[pl.DataFrame, Times | None]:
    """User and item of each positive event before the moment, and when it happened."""
    if as_of_us is not None and not dataset.has_times:
        raise DataError(
            f"{dataset.name}: events have no times, so as_of means nothing; leave it out"
        )
    keep = pl.col("strength") > 0
    if as_of_us is not None:
        keep &= pl.col("timestamp").to_physical() < as_of_us
    # Few columns first: the others, texts among them, would be copied for nothing.
    names = ["user_row", "item_row", *(["timestamp"] if dataset.has_times else [])]
    events = dataset.events.lazy().filter(keep).select(names).collect()
    times = events["timestamp"].to_physical().to_numpy() if dataset.has_times else None
    return events.select("user_row", "item_row"), times


def _end_us(dataset: Dataset) -> int | None:
    """Just after the last event, wanted or not; None without events or times."""
    times = dataset.time_us
    return None if times is None or not len(times) else int(times[-1]) + 1


def _extremes(item: Rows, times: Times, n_items: int) -> tuple[Times, Times]:
    """First and last time of each item; meaningless for items without an event."""
    bounds = np.iinfo(np.int64)
    first = np.full(n_items, bounds.max, dtype=np.int64)
    last = np.full(n_items, bounds.min, dtype=np.int64)
    np.minimum.at(first, item, times)
    np.maximum.at(last, item, times)
    return first, last


def _release_age_days(dataset: Dataset, now_us: int) -> Doubles:
    """Days since each item came out; NaN without a date before now.

    A date that is not past yet says what will happen: that an old item comes out again, or
    that an item not announced yet will exist.
    """
    if "release_date" not in dataset.items.columns:
        return np.full(dataset.n_items, np.nan)
    released = dataset.items["release_date"].cast(pl.Datetime("us")).to_physical()
    since_us = now_us - released.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return np.where(since_us > 0, since_us, np.nan) / MICROSECONDS_PER_DAY
