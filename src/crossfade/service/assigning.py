"""Who takes part in which experiment: computed for each request, as the log says they run."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
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
        adapt: Whether lists adapt to their reactions; None leaves that to the service.
    """

    experiment: str | None = None
    arm: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    adapt: bool | None = None


IN_NONE = Part()


class Assigning:
    """The experiments that run, looked up every few seconds.

    Args:
        log: Where they are.

    Attributes:
        analysing: Held by whoever works out what an experiment says.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self.analysing = asyncio.Lock()
        self._running: Sequence[Experiment] = ()
        self.read()

    def part(self, who: Who) -> Part:
        """The arm somebody is in, of the oldest experiment that has a place for them."""
        for experiment in self._running:
            unit_id = who.user_id if experiment.unit == "user" else who.session_id
            if unit_id is None:
                continue
            weights = [arm.weight for arm in experiment.arms]
            found = place(experiment.name, unit_id, experiment.traffic, weights)
            if found is not None:
                arm = experiment.arms[found]
                return Part(experiment.name, arm.name, arm.changes, arm.adapt)
        return IN_NONE

    def read(self) -> None:
        """Look now which experiments run; where that cannot be told, those known go on."""
        try:
            self._running = running(self._log)
        except CrossfadeError:  # lists are made all the same
            logger.exception("experiments cannot be looked up; those known go on")

    async def watch(self, every_s: float) -> None:
        """Follow what other processes begin and stop, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            await asyncio.to_thread(self.read)
