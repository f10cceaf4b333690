"""Progress for people (a bar with rate and time left) and for logs (plain lines)."""

import sys
import time
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as RichTask
from rich.text import Text

from crossfade.progress import Reporter

LOG_EVERY_S = 10.0
WORTH_A_LINE_S = 1.0


class _Rate(ProgressColumn):
    """Steps per second."""

    def render(self, task: RichTask) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f}/s", style="progress.data.speed")


class BarReporter:
    """Bars on a terminal; they disappear when their task is over."""

    def __init__(self, stream: TextIO) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(file=stream),
            transient=True,
        )
        self._running: dict[str, TaskID] = {}

    def start(self, task: str, total: int | None) -> None:
        """Show a bar, a pulsing one where the length is unknown."""
        if not self._running:
            self._bars.start()
        self._running[task] = self._bars.add_task(task, total=total, note="")

    def advance(self, task: str, steps: int) -> None:
        """Move its bar."""
        self._bars.advance(self._running[task], steps)

    def note(self, task: str, text: str) -> None:
        """Put the text after its bar."""
        self._bars.update(self._running[task], note=escape(text))

    def finish(self, task: str) -> None:
        """Take its bar away."""
        self._bars.remove_task(self._running.pop(task))
        if not self._running:
            self._bars.stop()


class LineReporter:
    """A plain line when a task has taken a while, and one when it is done."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._tasks: dict[str, tuple[float, float, int, int | None]] = {}
        self._notes: dict[str, str] = {}

    def start(self, task: str, total: int | None) -> None:
        """Remember when it began."""
        now = time.monotonic()
        self._tasks[task] = (now, now, 0, total)

    def advance(self, task: str, steps: int) -> None:
        """Print how far it is, at most every ten seconds."""
        began, told, done, total = self._tasks[task]
        done, now = done + steps, time.monotonic()
        if now - told >= LOG_EVERY_S:
            told, rate = now, done / (now - began)
            left = "" if total is None or rate == 0 else f", {(total - done) / rate:.0f} s left"
            of = "" if total is None else f" of {total:,}"
            note = f"; {self._notes[task]}" if task in self._notes else ""
            print(f"{task}: {done:,}{of}, {rate:,.1f}/s{left}{note}", file=self._stream, flush=True)
        self._tasks[task] = (began, told, done, total)

    def note(self, task: str, text: str) -> None:
        """Remember the text for the next line."""
        self._notes[task] = text

    def finish(self, task: str) -> None:
        """Say how long it took, unless nobody had to wait."""
        seconds = time.monotonic() - self._tasks.pop(task)[0]
        note = f"; {self._notes.pop(task)}" if task in self._notes else ""
        if seconds >= WORTH_A_LINE_S:
            print(f"{task}: {seconds:.1f} s{note}", file=self._stream, flush=True)


def reporter() -> Reporter:
    """The reporter that suits standard error."""
    return BarReporter(sys.stderr) if sys.stderr.isatty() else LineReporter(sys.stderr)
