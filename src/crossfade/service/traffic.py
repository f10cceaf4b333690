"""What became of requests, added up in the log every minute, so that a monitor can look back on it."""

import logging
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable

from crossfade.errors import CrossfadeError
from crossfade.store.log import SECONDS, Answered, Log, Outcome
from crossfade.store.log.rows import MOST
from crossfade.types import MICROSECONDS_PER_DAY

logger = logging.getLogger("crossfade.service")

HOUR_US = MICROSECONDS_PER_DAY // 24
EVERY_S = 60.0
KEPT_DAYS = 90
MOST_WAITING = 20_000
"""Different counts that wait at most, while the log cannot be written; others are left out."""


class Traffic:
    """Counts requests and adds the counts to the log in the background.

    Counts that cannot be written wait for the next time. Those that a process holds when it is killed are gone.

    Args:
        log: Where they go.
        clock: Microseconds since 1970.
        every_s: How often.
    """

    def __init__(self, log: Log, clock: Callable[[], int], every_s: float = EVERY_S) -> None:
        self._log, self._clock, self._every_s = log, clock, every_s
        self._counts: Counter[tuple[int, str, Outcome, int]] = Counter()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="traffic", daemon=True)
        self._thread.start()

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request is over.

        Args:
            route: As it is written in the app, ``none`` for what is none.
            method: Of the request.
            status: Of the answer.
            seconds: How long it took.
        """
        # Methods and paths that there are not are what callers make up: they have no names here.
        name = "none" if route == "none" or status == 405 else f"{method} {route}"
        outcome: Outcome = "failed" if status >= 500 else "refused" if status >= 400 else "done"
        at = bisect_left(SECONDS, seconds)
        at_most_us = MOST if at == len(SECONDS) else round(SECONDS[at] * 1e6)
        key = (self._clock() // HOUR_US * HOUR_US, name, outcome, at_most_us)
        with self._lock:
            if key in self._counts or len(self._counts) < MOST_WAITING:
                self._counts[key] += 1

    def flush(self) -> None:
        """Add what was counted to the log.

        Raises:
            StoreError: If the log cannot be written; the counts are kept.
        """
        with self._lock:
            counts, self._counts = self._counts, Counter()
        try:
            self._log.traffic.add([Answered(*key, n) for key, n in counts.items()])
        except CrossfadeError:
            with self._lock:
                self._counts.update(counts)
            raise

    def close(self) -> None:
        """Add what was counted, then end."""
        self._closing.set()
        self._thread.join()

    def _work(self) -> None:
        dropped_us = 0
        while True:
            last = self._closing.wait(self._every_s)
            try:
                self.flush()
                if self._clock() - dropped_us > MICROSECONDS_PER_DAY:
                    dropped_us = self._clock()
                    self._log.traffic.drop_before(dropped_us - KEPT_DAYS * MICROSECONDS_PER_DAY)
            except CrossfadeError:
                logger.exception("counts of requests wait")
            if last:
                return
