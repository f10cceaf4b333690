"""What each person's reactions make of the blend: learned beside the answers, kept in the log."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from time import perf_counter

from crossfade.errors import CrossfadeError, DataError
from crossfade.experiments.assignment import place
from crossfade.online import Ask, Head
from crossfade.service.assigning import Part
from crossfade.service.config import ServiceConfig
from crossfade.service.meters import Meters
from crossfade.service.people import People, Who, must_not_know
from crossfade.service.workers import System
from crossfade.store.log import Log, StoredHead
from crossfade.threads import alone
from crossfade.types import MICROSECONDS_PER_DAY

logger = logging.getLogger("crossfade.service")

CLEAN_EVERY = 1_000
"""Adaptations after which expired heads are deleted from the log."""


class Heads:
    """Adapts to people one after the other, each soon after an event, and keeps their heads.

    Whoever waits already need not wait twice: one adaptation learns from all that came in. One
    thread does it and rests in between, so that lists do not wait for it; for whom there is no
    room to wait, that event's turn is passed over, and their next one catches up.

    Args:
        log: Where heads outlive the process.
        people: Recent events.
        current: The system that serves now.
        config: Settings of the service.
        meters: Where outcomes are counted.
        part: In which arm of an experiment somebody is.
        clock: Microseconds since 1970.
    """

    def __init__(
        self,
        log: Log,
        people: People,
        current: Callable[[], System],
        config: ServiceConfig,
        meters: Meters,
        *,
        part: Callable[[Who], Part],
        clock: Callable[[], int],
    ) -> None:
        self._log, self._people, self._current, self._part = log, people, current, part
        self._config, self._meters, self._clock = config, meters, clock
        self._kept: OrderedDict[Who, Head | None] = OrderedDict()
        self._waiting: OrderedDict[Who, None] = OrderedDict()
        self._n_cleared = 0
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._closing = threading.Event()
        self._busy = False
        # It waits for somebody to adapt to; where nobody's lists adapt, that costs nothing.
        self._thread = threading.Thread(
            target=self._work, args=(alone(),), name="heads", daemon=True
        )
        self._thread.start()

    def adapts(self, part: Part) -> bool:
        """Whether lists adapt to somebody who is in this arm, or in none."""
        return self._config.adapt if part.adapt is None else part.adapt

    def of(self, who: Who) -> Head | None:
        """The head of somebody, read from the log when they are asked about first."""
        with self._lock:
            if who in self._kept:
                self._kept.move_to_end(who)
                return self._kept[who]
            n_cleared = self._n_cleared
        head = self._read(who)
        self._keep(who, head, n_cleared, unless_there=True)
        return head

    def withheld(self, who: Who, now_us: int) -> bool:
        """Whether this is one of the days on which lists do without somebody's head."""
        day = f"adaptation on day {now_us // MICROSECONDS_PER_DAY}"
        unit = f"session {who.session_id}" if who.user_id is None else f"user {who.user_id}"
        return place(day, unit, self._config.adapt_held_back, [1.0]) is not None

    def note(self, people: Iterable[Who]) -> None:
        """Adapt soon to those of some people whose lists do: they did something."""
        adapting = [who for who in people if self._learner(who)]
        if not adapting:
            return
        with self._changed:
            for who in adapting:
                if who in self._waiting or len(self._waiting) < self._config.max_adapting:
                    self._waiting[who] = None
                else:
                    self._meters.adaptations.labels("passed_over").inc()
            self._changed.notify_all()

    def settled(self, timeout_s: float) -> bool:
        """Wait until nobody waits; whether that came to be."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._busy, timeout_s)

    def clear(self) -> None:
        """Keep nothing of anybody in memory, and nothing of what is being learned now."""
        with self._lock:
            self._kept.clear()
            self._n_cleared += 1

    def close(self) -> None:
        """End after the adaptation under way; who waits still has their events in the log."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join()

    def _work(self, start: Callable[[], None]) -> None:
        start()
        n_done = 0
        while (who := self._next()) is not None:
            began = perf_counter()
            try:
                self._adapt(who)
                n_done += 1
                if n_done % CLEAN_EVERY == 0:
                    self._log.heads.drop_expired(self._clock())
            except CrossfadeError:  # it is tried again after the next event
                self._meters.adaptations.labels("failed").inc()
                logger.exception("an adaptation failed")
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()
            share = self._config.adapt_share
            self._closing.wait((perf_counter() - began) * (1 / share - 1))

    def _next(self) -> Who | None:
        """Whose turn it is, once somebody waits; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self._closing.is_set())
            if self._closing.is_set():
                return None
            who, _ = self._waiting.popitem(last=False)
            self._busy = True
            return who

    def _adapt(self, who: Who) -> None:
        n_cleared, now_us = self._n_cleared, self._clock()
        part = self._learner(who)
        if part is None:  # their experiment ended meanwhile
            return
        live, recent = part.system or self._current(), self._people.recent(who)
        user_id = None if must_not_know(live, recent) else who.user_id
        ask = Ask(user_id, recent.events, now_us=now_us, head=self.of(who))
        began = perf_counter()
        found = live.adapt(ask, self._config.heads)
        self._meters.adapting.observe(perf_counter() - began)
        self._meters.adaptations.labels(found.outcome).inc()
        head = found.head
        if head is None:
            return
        row = StoredHead(
            head.version, now_us, head.expires_us, head.to_json(), who.user_id, who.session_id
        )
        # Where nothing was learned, only how far was looked is new, and memory does for that.
        if found.outcome == "nothing_new" or self._log.heads.put(row):
            self._keep(who, head, n_cleared)

    def _learner(self, who: Who) -> Part | None:
        """The arm, or none, whose lists adapt to somebody; None where no list does."""
        part = self._part(who)
        return next((one for one in part.pair or (part,) if self.adapts(one)), None)

    def _keep(
        self, who: Who, head: Head | None, n_cleared: int, *, unless_there: bool = False
    ) -> None:
        """Keep a head unless everybody was cleared since it was begun."""
        with self._lock:
            if n_cleared != self._n_cleared or (unless_there and who in self._kept):
                return
            self._kept[who] = head
            self._kept.move_to_end(who)
            if len(self._kept) > self._config.max_people:
                self._kept.popitem(last=False)

    def _read(self, who: Who) -> Head | None:
        row = self._log.heads.get(user_id=who.user_id, session_id=who.session_id)
        if row is None or row.expires_us <= self._clock():
            return None
        try:
            return Head.from_json(row.content)
        except DataError:  # of another crossfade, or damaged: it is learned anew
            logger.exception("a head is left aside")
            return None
