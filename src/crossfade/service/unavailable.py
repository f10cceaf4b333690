"""Items that must be in no list, whatever the version that serves learned of them."""

import asyncio
import logging
import threading

from crossfade.errors import CrossfadeError
from crossfade.store.log import Log

logger = logging.getLogger("crossfade.service")

REFRESH_S = 1.0
"""So long another process may still list what was taken away through this one."""


class Unavailable:
    """The deleted and unavailable items of a catalogue, in memory.

    Args:
        log: Which keeps the catalogue.

    Raises:
        StoreError: If it cannot be read.
    """

    def __init__(self, log: Log) -> None:
        self._log, self._lock = log, threading.Lock()
        self._read_to, self._gone = 0, set[str]()
        self.ids: tuple[str, ...] = ()
        """Sorted."""
        self.refresh()

    def refresh(self) -> None:
        """Read what changed since.

        Raises:
            StoreError: If it cannot be read; then what was known stays.
        """
        with self._lock:
            self._read_to, changed = self._log.catalogue.availability(self._read_to)
            if changed:
                self._gone |= {id_ for id_, available in changed.items() if not available}
                self._gone -= {id_ for id_, available in changed.items() if available}
                self.ids = tuple(sorted(self._gone))

    async def watch(self, every_s: float = REFRESH_S) -> None:
        """Hear of what other processes change, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await asyncio.to_thread(self.refresh)
            except CrossfadeError:  # readiness says that the store is gone; lists go on
                logger.exception("the catalogue cannot be read")
