"""What a run cost, from the stopwatch and the system, as plain values."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from sys import platform

from crossfade.progress import Lap, Stopwatch

DEPTH = 2
"""Work inside work inside work is part of what it is inside."""


@dataclass(frozen=True)
class Step:
    """Work of one name.

    Attributes:
        name: Numbers in it are replaced by N.
        inside: Name of the work it is part of; None for work of its own.
        times: How often it was done.
        seconds: In all.
        last_seconds: The last time: of a base that is the largest log, just before the test.
    """

    name: str
    inside: str | None
    times: int
    seconds: float
    last_seconds: float


@dataclass(frozen=True)
class Cost:
    """Time and memory of one run.

    Attributes:
        steps: In the order in which they began, each followed by what is inside it.
        seconds: Of the whole run.
        n_events: Of the data set.
        n_users: Likewise.
        n_items: Likewise.
        n_requests: Asked of every model.
        peak_bytes: Most memory that the process has held since it began; None where the system
            does not tell.
    """

    steps: tuple[Step, ...]
    seconds: float
    n_events: int
    n_users: int
    n_items: int
    n_requests: int
    peak_bytes: int | None

    @classmethod
    def of(
        cls, watch: Stopwatch, *, n_events: int, n_users: int, n_items: int, n_requests: int
    ) -> "Cost":
        """What a stopwatch has measured so far."""
        seconds = watch.seconds
        return cls(
            tuple(_steps(watch.laps)),
            seconds,
            n_events,
            n_users,
            n_items,
            n_requests,
            peak_bytes(),
        )


def peak_bytes() -> int | None:
    """Most memory this process has held; None where the system does not tell."""
    if find_spec("resource") is None:
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform == "darwin" else 1024 * peak


def _steps(laps: Sequence[Lap]) -> list[Step]:
    found: dict[tuple[str, ...], Step] = {}
    for lap in laps:
        path = tuple(_plain(name) for name in lap.path)
        if len(path) > DEPTH:
            continue
        inside = path[-2] if len(path) > 1 else None
        before = found.get(path, Step(path[-1], inside, 0, 0.0, 0.0))
        found[path] = replace(
            before,
            times=before.times + 1,
            seconds=before.seconds + lap.seconds,
            last_seconds=lap.seconds,
        )
    outer = [path for path in found if len(path) == 1]
    return [found[path] for top in outer for path in found if path[0] == top[0]]


def _plain(name: str) -> str:
    """The same for every block: names say how many events or lists there were."""
    return re.sub(r"(?<![\w.])\d[\d,]*(?![\w.])", "N", name)
