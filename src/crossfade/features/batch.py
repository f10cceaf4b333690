"""Statistics of many users as of many moments, read from a log in bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from crossfade.data import Dataset
from crossfade.errors import DataError
from crossfade.features.increments import UNKNOWN, Plays, increments, streaks
from crossfade.features.reference import SessionReference
from crossfade.features.statistics import SUMS, Statistics
from crossfade.types import Ints, Rows, Times

PLAYS_AT_ONCE = 500_000
"""Users are taken together until they have so many plays; bounds the working memory."""

_LANE = 2**32
"""Further apart than any streak is long."""


@dataclass(frozen=True)
class _Requests:
    """Some requests: their place among all, who asks, and as of when."""

    place: Ints
    user: Rows
    as_of_us: Times | None


def statistics_at(
    dataset: Dataset, user: Rows, as_of_us: Times | None, reference: SessionReference
) -> Statistics:
    """Statistics of each request, in pieces of whole users so that memory stays bounded.

    Args:
        dataset: The log.
        user: Who, shape ``(n,)``; one user may ask several times, -1 is a stranger.
        as_of_us: As of when, ``(n,)``; None takes everything, for data without times.
        reference: Facts of the base block.

    Raises:
        DataError: If moments are given and the data has no times, or the other way round.
    """
    if dataset.has_times != (as_of_us is not None):
        raise DataError(
            f"{dataset.name}: events have {'' if dataset.has_times else 'no '}times; "
            + ("say as of when" if dataset.has_times else "leave as_of out")
        )
    out = Statistics.empty(len(user))
    if not len(user):
        return out
    log = _sorted_log(dataset, user, as_of_us)
    owner = log["user_row"].to_numpy()
    order = np.argsort(user, kind="stable")
    for start, stop in _pieces(owner):
        first, last = owner[start], owner[stop - 1]
        low, high = np.searchsorted(user[order], [first, last + 1])
        place = order[low:high]
        asked = _Requests(place, user[place], None if as_of_us is None else as_of_us[place])
        _fill(out, asked, _arrays(log[start:stop]), reference)
    return out


def _fill(out: Statistics, asked: _Requests, plays: Plays, reference: SessionReference) -> None:
    """Write the statistics of some requests, whose users' plays are ``plays``."""
    start = np.searchsorted(plays.user, asked.user, side="left")
    stop = np.searchsorted(plays.user, asked.user, side="right")
    if asked.as_of_us is not None and plays.time_us is not None:
        end = stop
        stop = count_before(plays.time_us, start, end, asked.as_of_us)
        recent = count_before(
            plays.time_us, start, end, asked.as_of_us - reference.config.recent_us
        )
        out.first_us[asked.place] = plays.time_us[np.minimum(start, len(plays.time_us) - 1)]
        out.recent_plays[asked.place] = stop - recent
    added = increments(plays, reference)
    for name in SUMS:
        running = np.concatenate([[0], np.cumsum(added[name], dtype=np.int64)])
        getattr(out, name)[asked.place] = running[stop] - running[start]
        if name == "new_items" and asked.as_of_us is not None:
            out.recent_new[asked.place] = running[stop] - running[recent]
    # A running maximum that starts afresh for each user, by lifting each above the last.
    lane = plays.user.astype(np.int64) * _LANE
    longest = np.maximum.accumulate(streaks(plays) + lane) - lane
    out.longest_streak[asked.place] = np.where(stop > start, longest[np.maximum(stop - 1, 0)], 0)


def count_before(time_us: Times, low: Ints, high: Ints, moment_us: Times) -> Ints:
    """First place in each ``[low, high)`` whose time is not before the moment: bisection, all at once."""
    low, high = low.copy(), high.copy()
    while (open_ := low < high).any():
        middle = (low + high) // 2
        earlier = open_ & (time_us[np.minimum(middle, len(time_us) - 1)] < moment_us)
        low = np.where(earlier, middle + 1, low)
        high = np.where(open_ & ~earlier, middle, high)
    return low


def _sorted_log(dataset: Dataset, user: Rows, as_of_us: Times | None) -> pl.DataFrame:
    """The columns that matter of the events that matter, by user and then by time."""
    given = dataset.events.columns
    log = dataset.events.lazy()
    if as_of_us is not None:
        # The rest of the future is cut per request; this only spares the work.
        log = log.filter(pl.col("timestamp").to_physical() < int(as_of_us.max()))
    asking = np.unique(user)
    if len(asking) < dataset.n_users:
        log = log.join(pl.LazyFrame({"user_row": asking}), on="user_row", how="semi")
    columns = [
        "user_row",
        "item_row",
        pl.col("session_row").fill_null(UNKNOWN),
        (_if_given("played_ms", given)).cast(pl.Int64),
        (_if_given("skipped", given)).cast(pl.Int8),
    ]
    if as_of_us is not None:
        columns.append(pl.col("timestamp").to_physical().alias("time_us"))
    # Events come in order of time; a stable sort by user keeps that order within each user.
    return log.select(columns).sort("user_row", maintain_order=True).collect()


def _if_given(name: str, given: list[str]) -> pl.Expr:
    if name not in given:
        return pl.lit(UNKNOWN).alias(name)
    return pl.col(name).cast(pl.Int64).fill_null(UNKNOWN)


def _pieces(owner: Rows) -> Iterator[tuple[int, int]]:
    """Consecutive parts of the log that hold whole users."""
    start = 0
    while start < len(owner):
        stop = min(start + PLAYS_AT_ONCE, len(owner))
        stop = int(np.searchsorted(owner, owner[stop - 1], side="right"))
        yield start, stop
        start = stop


def _arrays(log: pl.DataFrame) -> Plays:
    return Plays(
        user=log["user_row"].to_numpy(),
        item=log["item_row"].to_numpy(),
        session=log["session_row"].to_numpy(),
        time_us=log["time_us"].to_numpy() if "time_us" in log.columns else None,
        played_ms=log["played_ms"].to_numpy(),
        skipped=log["skipped"].to_numpy(),
    )
