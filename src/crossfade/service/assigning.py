"""Who takes part in which experiment: computed for each request, as the log says they run."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crossfade.errors import CrossfadeError
from crossfade.experiments import Experiment
from crossfade.experiments.assignment import place
from crossfade.experiments.kept import running
from crossfade.service.people import Who
from crossfade.store.log import Log

logger = logging.getLogger("crossfade.service")


@dataclass(frozen=True)
class Part:
    """That somebody is in an arm of an experiment, or in none.

    Attributes:
        experiment: Its name; None where they are in none.
        arm: Its name.
        changes: The settings of a list that the arm changes.
    """

    experiment: str | None = None
    arm: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)


class Assigning:
    """The experiments that run, looked up every few seconds.

    Args:
        log: Where they are.
        every_s: How often to look, in seconds.
        clock: Seconds that never go back.

    Attributes:
        analysing: Held by whoever works out what an experiment says.
    """

    def __init__(
        self, log: Log, every_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log, self._every_s, self._clock = log, every_s, clock
        self.analysing = asyncio.Lock()
        self._running: Sequence[Experiment] = ()
        self._read_s = -math.inf
        self.read()

    async def part(self, who: Who) -> Part:
        """The arm somebody is in, of the oldest experiment that has a place for them."""
        if self._clock() - self._read_s >= self._every_s:
            self._read_s = self._clock()  # those who come meanwhile go by what is known
            await asyncio.to_thread(self.read)
        for experiment in self._running:
            unit_id = who.user_id if experiment.unit == "user" else who.session_id
            if unit_id is None:
                continue
            weights = [arm.weight for arm in experiment.arms]
            found = place(experiment.name, unit_id, experiment.traffic, weights)
            if found is not None:
                arm = experiment.arms[found]
                return Part(experiment.name, arm.name, arm.changes)
        return Part()

    def read(self) -> None:
        """Look now which experiments run; where that cannot be told, those known go on."""
        self._read_s = self._clock()
        try:
            self._running = running(self._log)
        except CrossfadeError:  # lists are made all the same
            logger.exception("experiments cannot be looked up; those known go on")
