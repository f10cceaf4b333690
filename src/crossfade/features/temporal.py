"""Temporal context: when is it, and how long has the user been away."""

import numpy as np

from crossfade.data import Queries
from crossfade.features.reference import NO_TIME
from crossfade.types import MICROSECONDS_PER_DAY, Doubles, Floats, Times


def temporal_context(as_of_us: Times, last_us: Times) -> Floats:
    """Hour, weekday and season as points on circles, and the time since the last event.

    Args:
        as_of_us: Moments in microseconds, shape ``(n,)``; `NO_TIME` where unknown.
        last_us: The user's last event strictly before each, ``(n,)``; `NO_TIME` where there
            is none. See `last_event_us`.

    Returns:
        Shape ``(n, 7)`` in the order of ``TEMPORAL_FEATURES``; NaN where missing. Hours are
        UTC; a model that knows a user's habits learns their shift.

    Raises:
        ValueError: If an event is not strictly before its moment.
    """
    timed = as_of_us != NO_TIME
    away = timed & (last_us != NO_TIME)
    n_late = int((last_us[away] >= as_of_us[away]).sum())
    if n_late:
        raise ValueError(
            f"{n_late:,} of {len(as_of_us):,} last events are not before their as_of; "
            "look only at events strictly before it"
        )
    moment = as_of_us.astype("datetime64[us]")
    year = moment.astype("datetime64[Y]")
    year_us, next_us = (x.astype("datetime64[us]").astype(np.int64) for x in (year, year + 1))
    with np.errstate(invalid="ignore"):  # 0 / 0 where there is no moment; blanked below
        # 1970-01-01 was a Thursday, three days into its week.
        week = (as_of_us + 3 * MICROSECONDS_PER_DAY) / (7 * MICROSECONDS_PER_DAY)
        turns = (as_of_us / MICROSECONDS_PER_DAY, week, (as_of_us - year_us) / (next_us - year_us))
        days = (as_of_us - last_us) / MICROSECONDS_PER_DAY
    columns: list[Doubles] = []
    for turn in turns:
        angle = 2 * np.pi * np.where(timed, turn % 1.0, np.nan)
        columns += [np.sin(angle), np.cos(angle)]
    columns.append(np.log1p(np.where(away, days, np.nan)))
    return np.column_stack(columns).astype(np.float32)


def last_event_us(queries: Queries) -> Times:
    """Time of the last event of each request's history, `NO_TIME` where there is none.

    Returns:
        Shape ``(n,)``.
    """
    last = np.full(len(queries), NO_TIME, dtype=np.int64)
    if queries.time_us is not None:
        some = np.diff(queries.indptr) > 0
        last[some] = queries.time_us[queries.indptr[1:][some] - 1]
    return last
