"""Live histories: the events of a log and those that came after it, in one order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
import polars as pl

from crossfade.data import Dataset, Queries
from crossfade.data.continuing import has_session_ids
from crossfade.data.sessions import SESSION_GAP_MINUTES
from crossfade.online.asks import Ask, Event
from crossfade.types import Bools, Floats, Rows, Times

NEVER = np.iinfo(np.int64).min
_GAP_US = round(SESSION_GAP_MINUTES * 60_000_000)


@dataclass(frozen=True, eq=False)
class LiveHistory:
    """What one person did.

    Attributes:
        query: A request with the whole history, oldest first.
        events: The live ones in it, oldest first.
        logged_us: Time of the newest event of the log in it; `NEVER` where there is none.
        unknown: Different ids of items that live events were left out for, sorted.
    """

    query: Queries
    events: tuple[Event, ...]
    logged_us: int
    unknown: tuple[str, ...]


class Histories:
    """Makes live histories over one log.

    They are what `Dataset.queries` would give of a log that held the live events too; only the
    numbers of sessions may differ. Where the log has session ids they decide; elsewhere a live
    event continues the session of the event before it within `SESSION_GAP_MINUTES`.

    Args:
        dataset: The log.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        rows = dataset.events["session_row"].fill_null(-1).to_numpy()
        self._n_sessions = int(rows.max(initial=-1)) + 1
        self._session_ids = _ids_of(dataset)
        # Where an event of each session is; the last place is that of events of none (-1).
        self._of_session = np.zeros(self._n_sessions + 1, dtype=np.int64)
        self._of_session[rows] = np.arange(len(rows))
        # The order of the log by user is found once, before several threads ask for it.
        dataset.queries([])

    def of(self, asks: Sequence[Ask]) -> list[LiveHistory]:
        """The history of each request strictly before its time.

        Live events that the log holds (same user, item and time) and those on unknown items are
        left out. A log without times takes live events in the order of theirs, after its own.
        """
        kept = [self._kept(ask) for ask in asks]
        strength = strengths([event for events, _ in kept for event in events], self._dataset)
        stops = list(accumulate(len(events) for events, _ in kept))
        return [
            self._merged(ask, events, strength[stop - len(events) : stop], stop - len(events), gone)
            for ask, (events, gone), stop in zip(asks, kept, stops, strict=True)
        ]

    def _kept(self, ask: Ask) -> tuple[list[Event], tuple[str, ...]]:
        """Live events before the request on known items, by time, and the items of the others."""
        now_us, known = ask.now_us, self._dataset.item_ids
        before = [e for e in ask.events if now_us is None or e.time_us < now_us]
        gone = {e.item_id for e in before if e.item_id not in known}
        kept = [e for e in before if e.item_id not in gone]
        return sorted(kept, key=lambda e: e.time_us), tuple(sorted(gone))

    def _merged(
        self,
        ask: Ask,
        events: Sequence[Event],
        strength: Floats,
        n_before: int,
        gone: tuple[str, ...],
    ) -> LiveHistory:
        """The history of one request; ``n_before`` live events of others keep numbers of sessions apart."""
        data = self._dataset
        user = -1 if ask.user_id is None else int(data.user_ids.rows([ask.user_id])[0])
        now = None if ask.now_us is None or not data.has_times else np.array([ask.now_us])
        old = self._logged(user, now)
        item = data.item_ids.rows(e.item_id for e in events)
        time = np.fromiter((e.time_us for e in events), dtype=np.int64)
        new = _not_in(old, item, time)
        events = [e for e, is_new in zip(events, new, strict=True) if is_new]
        n_old, n = len(old.item_row), len(old.item_row) + len(events)
        order, times = np.arange(n), None
        if old.time_us is not None:
            times = np.concatenate([old.time_us, time[new]])
            order = np.argsort(times, kind="stable")  # at the same moment the log comes first
            times = times[order]
        session = np.concatenate([old.session_row, np.full(len(events), -1, np.int32)])[order]
        fresh = self._n_sessions + n_before
        if self._session_ids is not None:
            logged = self._session_ids.gather(self._of_session[old.session_row])
            ids = [*logged, *(event.session_id for event in events)]
            session = _by_id(session, [ids[at] for at in order], fresh)
        elif times is not None and events:
            session = _by_gap(session, times, order < n_old, fresh)
        query = replace(
            old,
            indptr=np.array([0, n], dtype=np.int64),
            item_row=np.concatenate([old.item_row, item[new]])[order],
            time_us=times,
            strength=np.concatenate([old.strength, strength[new]])[order],
            session_row=session,
        )
        logged_us = NEVER if old.time_us is None or not n_old else int(old.time_us[-1])
        return LiveHistory(query, tuple(events), logged_us, gone)

    def _logged(self, user_row: int, now: Times | None) -> Queries:
        """A request with what the log holds."""
        data = self._dataset
        if user_row >= 0:
            return data.queries([user_row], now)
        times = np.zeros(0, dtype=np.int64) if data.has_times else None
        return replace(Queries.of_items([], data.n_items), as_of_us=now, time_us=times)


def _ids_of(dataset: Dataset) -> pl.Series | None:
    """Session id of each event; None where the log has none."""
    return dataset.events["session_id"] if has_session_ids(dataset) else None


def strengths(events: Sequence[Event], dataset: Dataset) -> Floats:
    """How much each event counts by the target of a log, ``(n,)``."""
    of_event = dataset.target.of_event
    found = [of_event(e.event, e.value, e.played_ms, skipped=e.skipped) for e in events]
    return np.array(found, dtype=np.float32)


def _not_in(old: Queries, item: Rows, time: Times) -> Bools:
    """Which live events the log does not hold."""
    if old.time_us is None or not len(item):
        return np.ones(len(item), dtype=np.bool_)
    there = set(zip(old.item_row.tolist(), old.time_us.tolist(), strict=True))
    live = zip(item.tolist(), time.tolist(), strict=True)
    return np.array([event not in there for event in live], dtype=np.bool_)


def _by_id(session: Rows, ids: Sequence[str | None], fresh: int) -> Rows:
    """Session of each event by its id; -1 for events without one."""
    row_of = {x: row for x, row in zip(ids, session.tolist(), strict=True) if row >= 0}
    live = [x for x in dict.fromkeys(ids) if x is not None and x not in row_of]
    row_of |= {x: fresh + at for at, x in enumerate(live)}
    return np.array([row_of.get(x, -1) for x in ids], dtype=np.int32)


def _by_gap(session: Rows, time: Times, logged: Bools, fresh: int) -> Rows:
    """Session of each event by time.

    Between two events of the log its own word stands: it may have been cut by another gap. A session
    with events of the log keeps the number of the first of them.

    Args:
        session: Of each event, oldest first; those of events that are not of the log are not read.
        time: Of each.
        logged: Which are of the log.
        fresh: Sessions with live events alone are numbered from here.
    """
    both = logged[1:] & logged[:-1]
    opens = np.where(both, session[1:] != session[:-1], np.diff(time) > _GAP_US)
    number = np.concatenate([[0], np.cumsum(opens)])
    name = np.full(number[-1] + 1, -1, dtype=np.int32)
    theirs, first = np.unique(number[logged], return_index=True)
    name[theirs] = session[logged][first]
    ours = np.flatnonzero(name < 0)
    name[ours] = fresh + np.arange(len(ours))
    rows: Rows = name[number]
    return rows
