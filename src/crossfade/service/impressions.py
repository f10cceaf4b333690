"""What was shown is written down beside the answers, so that no answer waits for the disk."""

import logging
import queue
import threading

from crossfade.errors import CrossfadeError
from crossfade.service.meters import Meters
from crossfade.store.log import Impression, Log

logger = logging.getLogger("crossfade.service")

MOST_WAITING = 20_000
AT_ONCE = 500
GATHER_S = 0.2
"""So long what was shown waits for more: a commit costs as much for one list as for thirty."""


def kept(request_id: str, share: float) -> bool:
    """Whether a list is one of the ``share`` whose features are kept; the same each time it is asked.

    Args:
        request_id: Random hexadecimal digits, 8 at least.
        share: In [0, 1].
    """
    return int(request_id[:8], 16) < share * 16**8


class Impressions:
    """Writes impressions in the order they come; what cannot be written is counted as lost.

    Args:
        log: Where they go.
        meters: Where losses are counted.
    """

    def __init__(self, log: Log, meters: Meters) -> None:
        self._log, self._meters = log, meters
        self._waiting: queue.Queue[Impression | None] = queue.Queue(MOST_WAITING)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="impressions", daemon=True)
        self._thread.start()

    def add(self, impression: Impression) -> None:
        """Write one down soon."""
        try:
            self._waiting.put_nowait(impression)
        except queue.Full:
            self._meters.impressions_lost.inc()

    def close(self) -> None:
        """Write what waits, then end."""
        self._closing.set()
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        last = False
        while not last:
            some = [self._waiting.get()]
            self._closing.wait(GATHER_S)
            while len(some) < AT_ONCE and not self._waiting.empty():
                some.append(self._waiting.get())
            last = None in some
            there = [one for one in some if one is not None]
            try:
                if there:
                    self._log.add_impressions(there)
            except CrossfadeError:
                self._meters.impressions_lost.inc(len(there))
                logger.exception("%d impressions were lost", len(there))
