"""Progress of long work: the library reports, the edge decides how it looks.

Without a reporter (plain library use) nothing is shown. The command line sets
one for the time of a command. What tasks cost is kept by a stopwatch, where somebody holds one.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol, TypeVar

T = TypeVar("T")


class Reporter(Protocol):
    """Something that can show how far a named task has come."""

    def start(self, task: str, total: int | None) -> None:
        """A task begins; ``total`` is None where its length is unknown."""

    def advance(self, task: str, steps: int) -> None:
        """Some more steps are done."""

    def note(self, task: str, text: str) -> None:
        """What there is to say about the task right now, such as its loss; replaces the last note."""

    def finish(self, task: str) -> None:
        """The task is over, also when it failed."""


_reporter: ContextVar[Reporter | None] = ContextVar("reporter", default=None)


@contextmanager
def reporting_to(reporter: Reporter) -> Iterator[None]:
    """Send all progress inside the block to ``reporter``."""
    token = _reporter.set(reporter)
    try:
        yield
    finally:
        _reporter.reset(token)


@dataclass(frozen=True)
class Lap:
    """One piece of work that is over.

    Attributes:
        path: Names of the pieces it was part of, then its own.
        seconds: It took, with the pieces inside it.
    """

    path: tuple[str, ...]
    seconds: float


class Stopwatch:
    """Measures how long tasks take, in the order in which they begin."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._running: list[str] = []
        self._laps: list[Lap | None] = []

    @property
    def seconds(self) -> float:
        """Since the watch was made."""
        return time.perf_counter() - self._began

    @property
    def laps(self) -> list[Lap]:
        """What is over, in the order in which it began."""
        return [lap for lap in self._laps if lap is not None]

    @contextmanager
    def lap(self, name: str) -> Iterator[None]:
        """Measure what is done inside, also when it fails."""
        self._running.append(name)
        path, place = tuple(self._running), len(self._laps)
        self._laps.append(None)
        began = time.perf_counter()
        try:
            yield
        finally:
            self._laps[place] = Lap(path, time.perf_counter() - began)
            self._running.pop()


_stopwatch: ContextVar[Stopwatch | None] = ContextVar("stopwatch", default=None)


@contextmanager
def timing() -> Iterator[Stopwatch]:
    """Measure every task inside the block."""
    watch = Stopwatch()
    token = _stopwatch.set(watch)
    try:
        yield watch
    finally:
        _stopwatch.reset(token)


@contextmanager
def measured(name: str) -> Iterator[None]:
    """Let a stopwatch know of work that is too short, or too often done, to be shown."""
    watch = _stopwatch.get()
    if watch is None:
        yield
    else:
        with watch.lap(name):
            yield


class Task:
    """Handle of one running task."""

    def __init__(self, name: str, reporter: Reporter | None) -> None:
        self._name, self._reporter = name, reporter

    def advance(self, steps: int = 1) -> None:
        """Tell that ``steps`` more are done."""
        if self._reporter is not None:
            self._reporter.advance(self._name, steps)

    def note(self, text: str) -> None:
        """Show a short text beside the task until the next one."""
        if self._reporter is not None:
            self._reporter.note(self._name, text)


@contextmanager
def task(name: str, total: int | None = None) -> Iterator[Task]:
    """Report a piece of long work.

    Args:
        name: What is being done, such as ``"fit nmf"``.
        total: Number of steps, or None where nobody knows yet.
    """
    reporter = _reporter.get()
    if reporter is not None:
        reporter.start(name, total)
    try:
        with measured(name):
            yield Task(name, reporter)
    finally:
        if reporter is not None:
            reporter.finish(name)


def track(steps: Sequence[T], name: str) -> Iterator[T]:
    """Go through ``steps`` and report each one when its work is done."""
    with task(name, len(steps)) as running:
        for step in steps:
            yield step
            running.advance()
