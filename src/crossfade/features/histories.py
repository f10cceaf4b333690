"""Statistics of requests that bring their own history: one walk through each.

What `batch.statistics_at` takes from running sums over a log is counted here directly. Whole numbers
make the two agree to the last bit.
"""

import numba
import numpy as np

from crossfade.data import Queries
from crossfade.features.increments import UNKNOWN
from crossfade.features.reference import NO_TIME, SessionReference
from crossfade.features.statistics import Statistics, n_log_n, on_the_clock
from crossfade.types import MICROSECONDS_PER_DAY, Bools, Ints, Rows, Times

COUNTED = (
    "plays", "timed", "new_items", "tail_items", "born_items", "early_items", "known_items", "popularity",
    "sessions", "session_us", "active_days", "active_weeks", "hour_cos", "hour_sin", "genre_plays", "genre_nlogn",
    "longest_streak", "first_us", "recent_plays", "recent_new",
)  # fmt: skip
"""Statistics that a history tells; lengths and skips of plays it does not."""

_History = tuple[Ints, Rows, Rows, Times, Ints, Ints]
_Facts = tuple[Ints, Bools, Times, Ints, Rows]


def statistics_of(
    queries: Queries, as_of_us: Times | None, reference: SessionReference
) -> Statistics:
    """Statistics of each request, from its history alone.

    Args:
        queries: The requests.
        as_of_us: As of when, ``(n,)``; None takes everything, for histories without times.
        reference: Facts of the base block.
    """
    n, items, timed = len(queries), queries.item_row, False
    times, moments = (np.zeros(size, dtype=np.int64) for size in (len(items), n))
    if as_of_us is not None and queries.time_us is not None:
        timed, times, moments = True, queries.time_us, as_of_us
    facts = (
        reference.popularity,
        reference.head,
        reference.birth_us,
        reference.genre_indptr,
        reference.genre,
    )
    longest = int(np.diff(queries.indptr).max(initial=0))
    most = int((reference.genre_indptr[items + 1] - reference.genre_indptr[items]).max(initial=0))
    out = np.zeros((n, len(COUNTED)), dtype=np.int64)
    _count(
        (queries.indptr, items, queries.session_row, times, *on_the_clock(times)),
        timed,
        moments,
        facts,
        (reference.config.recent_us, reference.config.early_us),
        n_log_n(np.arange(longest * most + 1)),
        np.zeros(reference.n_genres, dtype=np.int64),
        out,
    )
    unknown = {name: np.zeros(n, dtype=np.int64) for name in _NEVER}
    return Statistics(**dict(zip(COUNTED, out.T, strict=True)), **unknown)


_NEVER = ("skip_known", "skipped", "length_known", "played_ms")


@numba.njit(cache=True, nogil=True)
def _count(  # noqa: PLR0917  (kernels know no keywords)
    history: _History,
    timed: bool,
    moments: Times,
    facts: _Facts,
    windows: tuple[int, int],
    nlogn: Ints,
    n_of_genre: Ints,
    out: Ints,
) -> None:
    """Write `COUNTED` of each request; ``n_of_genre`` is scratch, all 0 before and after."""
    indptr, items, sessions, times, cos, sin = history
    popularity, head, birth_us, genre_indptr, genre = facts
    recent_us, early_us = windows
    for row in range(len(out)):
        start, stop, recent = indptr[row], indptr[row + 1], indptr[row + 1]
        if timed:
            own = times[start:stop]
            stop = start + np.searchsorted(own, moments[row])
            recent = start + np.searchsorted(own, moments[row] - recent_us)
        is_new = _firsts(items[start:stop])
        new = tail = born = early = known = fame = recent_new = n_genres = 0
        for event in range(start, stop):
            item, first = items[event], is_new[event - start]
            if popularity[item] >= 0:
                known += 1
                fame += popularity[item]
            for place in range(genre_indptr[item], genre_indptr[item + 1]):
                n_of_genre[genre[place]] += 1
                n_genres += 1
            if not first:
                continue
            new += 1
            tail += not head[item]
            recent_new += timed and event >= recent
            if timed and birth_us[item] != NO_TIME and times[event] >= birth_us[item]:
                born += 1
                early += times[event] < birth_us[item] + early_us
        gained = 0
        for event in range(start, stop):
            for place in range(genre_indptr[items[event]], genre_indptr[items[event] + 1]):
                gained += nlogn[n_of_genre[genre[place]]]
                n_of_genre[genre[place]] = 0
        n = stop - start
        n_sessions, session_us = _sessions(sessions[start:stop], times[start:stop])
        out[row, :2] = n, n if timed else 0
        out[row, 2:8] = new, tail, born, early, known, fame
        out[row, 8:10] = n_sessions, session_us
        out[row, 14:16] = n_genres, gained
        if timed:
            days, weeks, streak = _days(times[start:stop])
            out[row, 10:12] = days, weeks
            out[row, 12:14] = cos[start:stop].sum(), sin[start:stop].sum()
            out[row, 16], out[row, 17] = streak, times[start] if n > 0 else 0
            out[row, 18:20] = max(stop - recent, 0), recent_new


@numba.njit(cache=True, nogil=True)
def _firsts(values: Rows) -> Bools:
    """True where a value occurs for the first time."""
    first = np.ones(len(values), dtype=np.bool_)
    order = np.argsort(values, kind="mergesort")
    for place in range(1, len(order)):
        first[order[place]] = values[order[place]] != values[order[place - 1]]
    return first


@numba.njit(cache=True, nogil=True)
def _sessions(sessions: Rows, times: Times) -> tuple[int, int]:
    """Different sessions, and their summed spans."""
    n, spans, begin = 0, 0, 0
    order = np.argsort(sessions, kind="mergesort")
    for place in range(len(order)):
        event = order[place]
        if sessions[event] == UNKNOWN:
            continue
        if n == 0 or sessions[event] != sessions[order[place - 1]]:
            n, begin = n + 1, times[event]
        else:
            begin, spans = times[event], spans + times[event] - begin
    return n, spans


@numba.njit(cache=True, nogil=True)
def _days(times: Times) -> tuple[int, int, int]:
    """Days and weeks with a play, and the longest run of days."""
    n_days = n_weeks = run = longest = 0
    last_day = last_week = 0
    for time_us in times:
        day = time_us // MICROSECONDS_PER_DAY
        week = (day + 3) // 7  # 1970-01-01 was a Thursday; weeks start on Monday
        n_weeks += n_days == 0 or week != last_week
        if n_days == 0 or day != last_day:
            run = run + 1 if n_days > 0 and day == last_day + 1 else 1
            longest, n_days = max(longest, run), n_days + 1
        last_day, last_week = day, week
    return n_days, n_weeks, longest
