"""Progress of long work: the library reports, the edge decides how it looks.

Without a reporter (plain library use) nothing is shown. The command line sets
one for the time of a command.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
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
