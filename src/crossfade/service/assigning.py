"""Who takes part in which experiment: computed for each request, as the log says they run."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crossfade.errors import CrossfadeError
from crossfade.experiments import Arm, Experiment
from crossfade.experiments.assignment import place
from crossfade.experiments.kept import running
from crossfade.service.beside import Beside
from crossfade.service.meters import Meters
from crossfade.service.people import Who
from crossfade.service.workers import System
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
        system: What answers them; None is what serves.
        pair: Both arms, where their lists are interleaved; then the other attributes say of no arm.
    """

    experiment: str | None = None
    arm: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    adapt: bool | None = None
    system: System | None = None
    pair: tuple["Part", ...] = ()


IN_NONE = Part()


class Assigning:
    """The experiments that run, looked up every few seconds.

    Where a version that one of its arms asks for is not there, nobody takes part in an experiment, in
    any arm: all arms lose the same people, and none is answered by something else under its name.

    Args:
        log: Where they are.
        beside: Versions that answer arms.
        meters: Where it is counted how many wait for a version.

    Attributes:
        analysing: Held by whoever works out what an experiment says.
    """

    def __init__(self, log: Log, beside: Beside, meters: Meters) -> None:
        self._log, self.beside, self._meters = log, beside, meters
        self.analysing = asyncio.Lock()
        self._running: Sequence[Experiment] = ()
        self.read()

    def part(self, who: Who) -> Part:
        """The arm somebody is in, of the oldest experiment that has a place for them."""
        held = self.beside.held
        for experiment in self._running:
            unit_id = who.user_id if experiment.unit == "user" else who.session_id
            if unit_id is None:
                continue
            weights = [arm.weight for arm in experiment.arms]
            found = place(experiment.name, unit_id, experiment.traffic, weights)
            if found is not None:
                # Whose experiment waits is not lent to the next one, which would lose them again.
                if any(version not in held for version in experiment.versions):
                    return IN_NONE
                if experiment.design == "interleaved":
                    pair = tuple(_part(experiment, arm, held) for arm in experiment.arms)
                    return Part(experiment.name, pair=pair)
                return _part(experiment, experiment.arms[found], held)
        return IN_NONE

    def read(self) -> None:
        """Look now which experiments run, and load what they ask for; if that cannot be told, those known go on."""
        with self.beside.changing:
            try:
                self._running = running(self._log)
            except CrossfadeError:  # lists are made all the same
                logger.exception("experiments cannot be looked up; those known go on")
            self.beside.keep(version for one in self._running for version in one.versions)
            waiting = [one for one in self._running if self.beside.problem(one.versions)]
            self._meters.experiments_waiting.set(len(waiting))

    def problem(self, name: str) -> str | None:
        """Why nobody takes part in an experiment that runs; None where people do, or it does not run."""
        found = [one for one in self._running if one.name == name]
        return self.beside.problem(found[0].versions) if found else None

    async def watch(self, every_s: float) -> None:
        """Follow what other processes begin and stop, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            await asyncio.to_thread(self.read)


def _part(experiment: Experiment, arm: Arm, held: Mapping[str, System]) -> Part:
    system = None if arm.version is None else held[arm.version]
    # What of a list was left to chance could not be told from what was drawn.
    fixed = {"explore": 0.0} if experiment.design == "interleaved" else {}
    return Part(experiment.name, arm.name, {**arm.changes, **fixed}, arm.adapt, system)
