"""Recent events of people and sessions: in memory what is needed often, in the log all of it."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from crossfade.online import Event
from crossfade.service.compact import Events
from crossfade.service.workers import System
from crossfade.store.log import Log, NewEvent, StoredEvent


@dataclass(frozen=True, slots=True)
class Who:
    """Whose events: exactly one of the two is given."""

    user_id: str | None = None
    session_id: str | None = None


@dataclass(frozen=True)
class Recent:
    """What the log knows of somebody.

    Attributes:
        events: The newest, oldest first as they came in.
        forgotten_us: When they were last forgotten; None where they never were.
    """

    events: Sequence[Event] = ()
    forgotten_us: int | None = None


@dataclass(eq=False, slots=True)
class _Kept:
    """What is in memory of somebody; ``read_to`` is the place of the last event that was read."""

    read_to: int
    events: Events
    forgotten_us: int | None


class People:
    """The newest events of whoever was active lately.

    Events are read from the log when somebody is asked about first, and added as they come in.
    Who was not asked about for longest makes room.

    Args:
        log: All events.
        max_people: Kept at once.
        max_events: Of each, the newest.
        max_in_all: Of all together; somebody alone may have more.
    """

    def __init__(self, log: Log, max_people: int, max_events: int, max_in_all: int) -> None:
        self._log, self._max_people, self._max_events = log, max_people, max_events
        self._max_in_all, self._n_events = max_in_all, 0
        self._kept: OrderedDict[Who, _Kept] = OrderedDict()
        # One lock also while the log is read: an event that is committed meanwhile is either read,
        # or added after, by its place in the log exactly one of them.
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def recent(self, who: Who) -> Recent:
        """What somebody did lately."""
        with self._lock:
            kept = self._kept.get(who)
            if kept is None:
                kept = self._kept[who] = self._read(who)
                self._n_events += len(kept.events)
                self._make_room()
            self._kept.move_to_end(who)
            return Recent(tuple(kept.events), kept.forgotten_us)

    def _read(self, who: Who) -> _Kept:
        # No more than are kept: of somebody with a million events the others would have to wait.
        found = self._log.events_of(
            user_id=who.user_id, session_id=who.session_id, limit=self._max_events, newest=True
        )
        newest = Events(self._max_events)
        for one in found:
            newest.append(one.event)
        forgotten = self._log.forgotten(user_id=who.user_id, session_id=who.session_id)
        return _Kept(found[-1].sequence if found else 0, newest, forgotten)

    def add(self, stored: Sequence[StoredEvent]) -> None:
        """Events that the log has taken, each once; threads may come in any order."""
        with self._lock:
            for one in stored:
                for who in _whose(one.event):
                    kept = self._kept.get(who)
                    if kept is not None and one.sequence > kept.read_to:
                        before = len(kept.events)
                        kept.events.append(one.event)
                        self._n_events += len(kept.events) - before
            self._make_room()

    def clear(self) -> None:
        """Keep nothing of anybody; the log still has it."""
        with self._lock:
            self._kept.clear()
            self._n_events = 0

    def _make_room(self) -> None:
        # The last is who is asked about now, or was just now.
        while len(self._kept) > 1 and (
            len(self._kept) > self._max_people or self._n_events > self._max_in_all
        ):
            _, gone = self._kept.popitem(last=False)
            self._n_events -= len(gone.events)


def must_not_know(live: System, recent: Recent) -> bool:
    """Whether somebody was forgotten after the log ended that a system learned from."""
    if recent.forgotten_us is None:
        return False
    return live.newest_us is None or recent.forgotten_us >= live.newest_us


def _whose(event: NewEvent) -> list[Who]:
    """An event of a user within a session is one of both."""
    users = [Who(user_id=event.user_id)] if event.user_id is not None else []
    return users + ([Who(session_id=event.session_id)] if event.session_id is not None else [])
