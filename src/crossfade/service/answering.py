"""Requests that wait together are answered together: one pass costs each of them less."""

import asyncio
import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crossfade.errors import CrossfadeError
from crossfade.online import Answer, Ask, LiveSystem
from crossfade.service.faults import Refusal
from crossfade.service.meters import Meters
from crossfade.threads import alone

Outcome = tuple[str, Answer | CrossfadeError | BaseException]


@dataclass(frozen=True, eq=False)
class _Job:
    make: Callable[[LiveSystem], Ask]
    future: asyncio.Future[tuple[str, Answer]]
    loop: asyncio.AbstractEventLoop


class Answering:
    """Threads that answer what waits, up to so many requests in one pass.

    Nobody waits for others to come: a thread that is free takes what is there. Under load more
    is there, passes grow, and each request costs less.

    Args:
        current: The system that serves now.
        n_threads: That answer at once.
        at_once: Most requests of one pass.
        max_waiting: Beyond so many a request is refused.
        meters: Where lengths go.
    """

    def __init__(
        self,
        current: Callable[[], LiveSystem],
        n_threads: int,
        at_once: int,
        max_waiting: int,
        meters: Meters,
    ) -> None:
        self._current, self._at_once, self._max_waiting = current, at_once, max_waiting
        self._meters, self._stay_alone = meters, alone()
        self._jobs: queue.Queue[_Job | None] = queue.Queue()
        self._threads = [
            threading.Thread(target=self._work, name=f"answering-{number}", daemon=True)
            for number in range(n_threads)
        ]
        for thread in self._threads:
            thread.start()

    async def ask(self, make: Callable[[LiveSystem], Ask]) -> tuple[str, Answer]:
        """The answer to one request, and the version that gave it.

        Args:
            make: Makes the request; called in a thread, as it may read the log.

        Raises:
            Refusal: If too many wait already.
            CrossfadeError: What is wrong with this request.
        """
        if self._jobs.qsize() >= self._max_waiting:
            raise Refusal(503, "too many requests wait; come again", 1)
        loop = asyncio.get_running_loop()
        job = _Job(make, loop.create_future(), loop)
        self._meters.waiting.inc()
        self._jobs.put(job)
        try:
            return await job.future
        finally:
            self._meters.waiting.dec()

    @property
    def alive(self) -> bool:
        """Whether every thread is."""
        return all(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        """Answer what waits, then end."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        self._stay_alone()  # the other cores have the web server, the log and other callers to do
        while True:
            jobs, last = self._taken()
            if jobs:
                self._meters.together.observe(len(jobs))
                _tell(jobs, self._outcomes(jobs))
            if last:
                return

    def _taken(self) -> tuple[list[_Job], bool]:
        """What waits, at least one; and whether this thread is to end."""
        job = self._jobs.get()
        jobs: list[_Job] = []
        while job is not None:
            jobs.append(job)
            if len(jobs) == self._at_once:
                return jobs, False
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return jobs, False
        return jobs, True

    def _outcomes(self, jobs: Sequence[_Job]) -> list[Outcome]:
        live = self._current()
        outcomes: list[Outcome | None] = [None] * len(jobs)
        asks: dict[int, Ask] = {}
        try:
            for place, job in enumerate(jobs):
                try:
                    asks[place] = job.make(live)
                except CrossfadeError as error:
                    outcomes[place] = (live.version, error)
            for place, answer in zip(asks, live.answer(list(asks.values())), strict=True):
                outcomes[place] = (live.version, answer)
        except BaseException as error:  # noqa: BLE001  (a thread must tell who waits, and go on)
            return [(live.version, error) if one is None else one for one in outcomes]
        return [one for one in outcomes if one is not None]


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
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result((version, outcome))
