"""What each play adds to its user's statistics: the batch spelling."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from crossfade.features.reference import NO_TIME, SessionReference
from crossfade.features.statistics import n_log_n, on_the_clock
from crossfade.types import MICROSECONDS_PER_DAY, Bools, Ints, Rows, Times

UNKNOWN = -1

_FEW = 2_000


@dataclass(frozen=True)
class Plays:
    """Plays of some users, by user and then by time; shapes ``(n,)``.

    Attributes:
        user: User row.
        item: Item row.
        session: Session row, -1 where unknown; no two users share one.
        time_us: When, or None where the data has no times.
        played_ms: Length, -1 where unknown.
        skipped: 1 skipped, 0 not, -1 unknown.
    """

    user: Rows
    item: Rows
    session: Rows
    time_us: Times | None
    played_ms: Ints
    skipped: Rows


def increments(plays: Plays, reference: SessionReference) -> dict[str, Ints | Bools]:
    """Increment of every statistic that is a sum, one array ``(n,)`` each.

    An increment looks at its own play and earlier plays of the same user only.
    """
    n = len(plays.user)
    key = plays.user.astype(np.int64) * reference.n_items + plays.item
    new_item = _first_seen(key)
    popularity = reference.popularity[plays.item]
    known_item = popularity >= 0
    skip_known, length_known = plays.skipped >= 0, plays.played_ms >= 0
    labels, nlogn = _genres(plays, reference)
    no: Bools = np.zeros(n, dtype=np.bool_)
    return {
        "plays": ~no,
        "timed": no if plays.time_us is None else ~no,
        "new_items": new_item,
        "tail_items": new_item & ~reference.head[plays.item],
        "known_items": known_item,
        "popularity": np.where(known_item, popularity, 0),
        "skip_known": skip_known,
        "skipped": plays.skipped == 1,
        "length_known": length_known,
        "played_ms": np.where(length_known, plays.played_ms, 0),
        "sessions": (plays.session != UNKNOWN) & _first_seen(plays.session),
        "genre_plays": labels,
        "genre_nlogn": nlogn,
        **_timed(plays, new_item, reference),
    }


def streaks(plays: Plays) -> Ints:
    """Length in days of the run of active days that each play belongs to, so far."""
    if plays.time_us is None:
        return np.zeros(len(plays.user), dtype=np.int64)
    day = plays.time_us // MICROSECONDS_PER_DAY
    new_day = _changes(plays.user, day)
    n_days = np.cumsum(new_day)
    follows = np.zeros(len(day), dtype=np.bool_)
    follows[1:] = (np.diff(day) == 1) & (plays.user[1:] == plays.user[:-1])
    starts = new_day & ~follows
    # The count at the start of a run only grows, so the running maximum carries it along.
    return n_days - np.maximum.accumulate(np.where(starts, n_days - 1, 0))


def _timed(plays: Plays, new_item: Bools, reference: SessionReference) -> dict[str, Ints | Bools]:
    """Increments that need times; all zero without them."""
    names = (
        "born_items", "early_items", "session_us",
        "active_days", "active_weeks", "hour_cos", "hour_sin",
    )  # fmt: skip
    if plays.time_us is None:
        return {name: np.zeros(len(plays.user), dtype=np.int64) for name in names}
    birth_us = reference.birth_us[plays.item]
    born = new_item & (birth_us != NO_TIME) & (plays.time_us >= birth_us)
    day = plays.time_us // MICROSECONDS_PER_DAY
    cos, sin = on_the_clock(plays.time_us)
    values: tuple[Ints | Bools, ...] = (
        born,
        # Written as a sum, for NO_TIME minus anything would overflow.
        born & (plays.time_us < birth_us + reference.config.early_us),
        _session_growth(plays.session, plays.time_us, plays.played_ms),
        _changes(plays.user, day),
        _changes(plays.user, (day + 3) // 7),  # 1970-01-01 was a Thursday; weeks start on Monday
        cos,
        sin,
    )
    return dict(zip(names, values, strict=True))


def _session_growth(session: Rows, time_us: Times, played_ms: Ints) -> Ints:
    """By how much each play makes its session longer, in microseconds."""
    growth = np.zeros(len(session), dtype=np.int64)
    # Stable, so plays of one session stay in order of time; nearly sorted, so it is quick.
    order = np.argsort(session, kind="stable")
    order = order[session[order] != UNKNOWN]
    if not len(order):
        return growth
    starts = _changes(session[order])
    first = np.flatnonzero(starts)
    which = np.cumsum(starts) - 1
    span = time_us[order] - time_us[order][first][which]
    played = np.cumsum(np.maximum(played_ms[order], 0)) * 1_000
    heard = played - (played[first] - np.maximum(played_ms[order][first], 0) * 1_000)[which]
    length = np.maximum(span, heard)
    growth[order] = np.where(starts, length, np.diff(length, prepend=0))
    return growth


def _genres(plays: Plays, reference: SessionReference) -> tuple[Ints, Ints]:
    """How many genre labels each play adds, and what they add to the sum of c log2 c."""
    n_labels = np.diff(reference.genre_indptr)[plays.item]
    n = int(n_labels.sum())
    if n == 0:
        return n_labels, n_labels
    play = np.repeat(np.arange(len(plays.item)), n_labels)
    start = reference.genre_indptr[plays.item] - (np.cumsum(n_labels) - n_labels)
    genre = reference.genre[start[play] + np.arange(n)]
    # How many plays of this genre by this user there are, this one included.
    local_user = np.cumsum(_changes(plays.user)) - 1
    key = local_user[play] * reference.n_genres + genre
    order = np.argsort(key, kind="stable")
    starts = _changes(key[order])
    first = np.flatnonzero(starts)
    count = np.arange(n) - first[np.cumsum(starts) - 1] + 1
    gain = np.empty(n, dtype=np.int64)
    gain[order] = n_log_n(count) - n_log_n(count - 1)
    running = np.concatenate([[0], np.cumsum(gain)])
    ends = np.cumsum(n_labels)
    return n_labels, running[ends] - running[ends - n_labels]


def _changes(*columns: Rows | Ints) -> Bools:
    """True where any column differs from the row above; the first row is True."""
    changed = np.ones(len(columns[0]), dtype=np.bool_)
    if len(changed):
        changed[1:] = False
        for column in columns:
            changed[1:] |= column[1:] != column[:-1]
    return changed


def _first_seen(key: Rows | Ints) -> Bools:
    """True where a value occurs for the first time."""
    if len(key) < _FEW:  # one request: sorting is done before a table has begun
        first: Bools = np.zeros(len(key), dtype=np.bool_)
        first[np.unique(key, return_index=True)[1]] = True
        return first
    return np.asarray(pl.Series(key).is_first_distinct().to_numpy())
