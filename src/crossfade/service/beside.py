"""Versions that answer arms of experiments, loaded beside the one that serves."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from crossfade.errors import CrossfadeError
from crossfade.service.workers import System

logger = logging.getLogger("crossfade.service")

RETRY_S = 60.0
"""What could not be loaded is tried again after so long: it takes seconds of a core each time."""


class Beside:
    """The versions that arms ask for. Each is held once, in processes of its own, until no arm asks for it.

    Args:
        load: The system of a version; that of the one that serves is shared.
        clock: Seconds that never go back.

    Attributes:
        changing: Held, for as long as a version takes to load, by whoever changes which experiments run.
        held: By version. It is replaced as a whole, so whoever reads it needs no lock.
    """

    def __init__(
        self, load: Callable[[str], System], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._load, self._clock = load, clock
        self._problems: dict[str, tuple[str, float]] = {}
        self.changing, self._lock = threading.RLock(), threading.Lock()
        self.held: Mapping[str, System] = {}

    def load(self, versions: Iterable[str]) -> None:
        """Hold these too.

        Raises:
            CrossfadeError: If one cannot be loaded.
        """
        with self.changing:
            for version in versions:
                if version not in self.held:
                    system = self._load(version)
                    with self._lock:
                        self.held = {**self.held, version: system}
                        self._problems.pop(version, None)
                    logger.info("version %s answers an arm", version)

    def keep(self, versions: Iterable[str]) -> None:
        """Hold these and no others; of what cannot be loaded `problem` says why."""
        wanted = set(versions)
        with self.changing:
            with self._lock:
                self.held = {name: one for name, one in self.held.items() if name in wanted}
                self._problems = {
                    name: one for name, one in self._problems.items() if name in wanted
                }
            for version in sorted(wanted):
                if self._problems.get(version, ("", -math.inf))[1] > self._clock():
                    continue
                try:
                    self.load([version])
                except CrossfadeError as error:  # lists are made all the same
                    with self._lock:
                        self._lacks(version, error)

    def lose(self, system: System, error: CrossfadeError) -> None:
        """Hold one no longer that cannot answer any more; waits for no other to be loaded."""
        with self._lock:
            if self.held.get(system.version) is system:
                self.held = {name: one for name, one in self.held.items() if one is not system}
                self._lacks(system.version, error)

    def problem(self, versions: Iterable[str]) -> str | None:
        """Why not all of these are held; None where they are."""
        for version in versions:
            if version not in self.held:
                return self._problems.get(version, (f"version {version} is being loaded", 0.0))[0]
        return None

    def _lacks(self, version: str, error: CrossfadeError) -> None:
        logger.error("version %s answers no arm: %s", version, error)
        self._problems[version] = (str(error), self._clock() + RETRY_S)
