"""Requests that wait together are answered together: one pass costs each of them less."""

import asyncio
import logging
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from crossfade.errors import BundleError, CrossfadeError
from crossfade.online import Answer, Ask
from crossfade.service.faults import Refusal
from crossfade.service.meters import Meters
from crossfade.service.workers import CALLS_EACH, System
from crossfade.threads import alone

logger = logging.getLogger("crossfade.service")

Outcome = tuple[str, Answer | Exception]

ENOUGH = 3
"""Requests that are worth a pass of their own, ready before the one at work is done: of fewer each costs more."""


@dataclass(frozen=True, eq=False)
class _Job:
    make: Callable[[System], Ask]
    system: System | None
    future: asyncio.Future[tuple[str, Answer]]
    loop: asyncio.AbstractEventLoop


class _Line:
    """What waits for one system, and the threads that wait with it: one that is slow holds up no other."""

    def __init__(self, n_workers: int) -> None:
        self.jobs: deque[_Job] = deque()
        self.lock = threading.Lock()
        self.n_passes = 0
        # For each process a thread that waits for it and one that has made its next pass, for it to go
        # on with. One that answers itself starts no others: other cores have the web server to do.
        begin = None if n_workers else alone()
        self.pool = ThreadPoolExecutor(CALLS_EACH * n_workers or 1, "answering", begin)


class Answering:
    """Has what waits answered, up to so many requests in one pass.

    A worker that is free takes what is there; what comes while it works gathers for its next pass.
    Under load more is there, passes grow, and each request costs less.

    Args:
        current: The system that serves now.
        n_workers: Processes that answer at once; 0 answers in a thread of this one.
        at_once: Most requests of one pass.
        max_waiting: Beyond so many that wait for one system a request is refused.
        meters: Where lengths go.
    """

    def __init__(
        self,
        current: Callable[[], System],
        n_workers: int,
        at_once: int,
        max_waiting: int,
        meters: Meters,
    ) -> None:
        self._current, self._at_once, self._max_waiting = current, at_once, max_waiting
        self._n_workers, self._meters = n_workers, meters
        self._serving = _Line(n_workers)
        self._beside: WeakKeyDictionary[System, _Line] = WeakKeyDictionary()

    async def ask(
        self, make: Callable[[System], Ask], system: System | None = None
    ) -> tuple[str, Answer]:
        """The answer to one request, and the version that gave it.

        Args:
            make: Makes the request; called in a thread, as it may read the log.
            system: What is asked; None is what serves.

        Raises:
            Refusal: If too many wait already.
            CrossfadeError: What is wrong with this request.
        """
        line = self._line(system)
        if len(line.jobs) >= self._max_waiting:
            raise Refusal(503, "too many requests wait; come again", 1)
        loop = asyncio.get_running_loop()
        job = _Job(make, system, loop.create_future(), loop)
        self._meters.waiting.inc()
        line.jobs.append(job)
        self._begin(line)
        try:
            return await job.future
        finally:
            self._meters.waiting.dec()

    def close(self) -> None:
        """Answer what waits, then end."""
        for line in (self._serving, *self._beside.values()):
            line.pool.shutdown()

    def _line(self, system: System | None) -> _Line:
        if system is None:
            return self._serving
        line = self._beside.get(system)
        if line is None:
            line = self._beside[system] = _Line(self._n_workers)
        return line

    def _begin(self, line: _Line) -> None:
        line.pool.submit(self._work, line).add_done_callback(_note)

    def _work(self, line: _Line) -> None:
        """Pass after pass, as long as something waits."""
        while jobs := self._taken(line):
            failed = True
            try:
                self._pass(jobs)
                failed = False
            finally:
                with line.lock:
                    line.n_passes -= 1
                if failed:  # what gathered meanwhile counts on this thread
                    self._begin(line)

    def _taken(self, line: _Line) -> list[_Job]:
        """What the next pass answers; nothing where others are at it and too little waits beside them."""
        with line.lock:
            at_work = line.n_passes >= max(1, self._n_workers)
            if not line.jobs or (at_work and len(line.jobs) < ENOUGH):
                return []
            line.n_passes += 1
            return [line.jobs.popleft() for _ in range(min(self._at_once, len(line.jobs)))]

    def _pass(self, jobs: Sequence[_Job]) -> None:
        """Answer some together."""
        self._meters.together.observe(len(jobs))
        outcomes: Sequence[Outcome] = [("", RuntimeError("a pass failed"))] * len(jobs)
        try:
            outcomes = self._outcomes(jobs)
        except (BundleError, BrokenProcessPool) as error:
            if jobs[0].system is None:
                raise
            lost = BundleError(f"version {jobs[0].system.version} answers no more: {error}")
            outcomes = [("", lost)] * len(jobs)
        finally:  # whoever waits is told, whatever went wrong
            _tell(jobs, outcomes)

    def _outcomes(self, jobs: Sequence[_Job]) -> list[Outcome]:
        live = jobs[0].system or self._current()
        outcomes: list[Outcome | None] = [None] * len(jobs)
        asks: dict[int, Ask] = {}
        for place, job in enumerate(jobs):
            try:
                asks[place] = job.make(live)
            except CrossfadeError as error:
                outcomes[place] = (live.version, error)
        for place, answer in zip(asks, live.answer(list(asks.values())), strict=True):
            outcomes[place] = (live.version, answer)
        return [one for one in outcomes if one is not None]


def _note(done: Future[None]) -> None:
    """What went wrong in a pass, for the log."""
    error = done.exception()
    if error is not None:
        logger.error("a pass failed", exc_info=error)


def _tell(jobs: Sequence[_Job], outcomes: Sequence[Outcome]) -> None:
    """Wake up who waits, once for each loop."""
    by_loop = defaultdict(list)
    for job, outcome in zip(jobs, outcomes, strict=True):
        by_loop[job.loop].append((job.future, outcome))
    for loop, told in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_set, told)


def _set(told: Sequence[tuple[asyncio.Future[tuple[str, Answer]], Outcome]]) -> None:
    for future, (version, outcome) in told:
        if future.done():  # who asked has gone
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result((version, outcome))
