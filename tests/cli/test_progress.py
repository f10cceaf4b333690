import io
import re
import sys

import pytest

from crossfade.cli.progress import BarReporter, LineReporter, reporter
from crossfade.progress import reporting_to, task


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name, value in {"TERM": "xterm", "COLUMNS": "120", "LINES": "30"}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return Terminal()


class Clock:
    """Time that passes when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("crossfade.cli.progress.time.monotonic", lambda: self.now)


def plain(text: str) -> str:
    """What is left without the terminal's control codes."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


# -- bars ------------------------------------------------------------------------------


def test_a_bar_shows_name_steps_and_rate(terminal: Terminal) -> None:
    bars = BarReporter(terminal)
    with reporting_to(bars), task("fit nmf", total=8) as running:
        running.advance(3)
        bars._bars.refresh()
        running.advance(3)
        bars._bars.refresh()
    shown = plain(terminal.getvalue())
    assert "fit nmf" in shown
    assert "6/8" in shown
    assert "/s" in shown


def test_a_bar_of_unknown_length_shows_its_name(terminal: Terminal) -> None:
    bars = BarReporter(terminal)
    with reporting_to(bars), task("read the log") as running:
        running.advance()
        bars._bars.refresh()
    assert "read the log" in plain(terminal.getvalue())
    assert "1/?" in plain(terminal.getvalue())


def test_a_bar_shows_the_latest_note_as_it_was_written(terminal: Terminal) -> None:
    bars = BarReporter(terminal)
    with reporting_to(bars), task("fit", total=2) as running:
        running.note("loss 0.75 [mean]")
        bars._bars.refresh()
    assert "loss 0.75 [mean]" in plain(terminal.getvalue())


def test_tasks_may_follow_and_hold_each_other(terminal: Terminal) -> None:
    bars = BarReporter(terminal)
    with reporting_to(bars):
        for name in ("one", "two", "one"):
            with task(name, total=2) as outer, task(f"part of {name}", total=1) as inner:
                inner.advance()
                outer.advance()
                bars._bars.refresh()
    shown = plain(terminal.getvalue())
    assert "part of one" in shown
    assert "two" in shown


def test_a_failure_leaves_a_usable_terminal(terminal: Terminal) -> None:
    bars = BarReporter(terminal)
    with pytest.raises(ZeroDivisionError), reporting_to(bars), task("divide"):
        1 / 0  # noqa: B018
    assert not bars._bars.live.is_started
    # The cursor that the bars hid is shown again.
    written = terminal.getvalue()
    assert written.rfind("\x1b[?25h") > written.rfind("\x1b[?25l") >= 0


# -- lines -----------------------------------------------------------------------------


def test_a_long_task_tells_how_far_it_is_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stream = Clock(monkeypatch), io.StringIO()
    with reporting_to(LineReporter(stream)), task("fit nmf", total=2000) as running:
        for _ in range(3):  # 4, 8 and 12 seconds
            clock.now += 4
            running.advance(100)
        clock.now += 4
        running.advance(100)
    assert stream.getvalue().splitlines() == [
        # 300 in 12 s are 25 a second; 1,700 more take 68 s.
        "fit nmf: 300 of 2,000, 25.0/s, 68 s left",
        "fit nmf: 16.0 s",
    ]


def test_the_latest_note_stands_at_the_end_of_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stream = Clock(monkeypatch), io.StringIO()
    with reporting_to(LineReporter(stream)), task("train", total=4) as running:
        clock.now += 10
        running.note("loss 0.9")
        running.note("loss 0.8")
        running.advance(2)
        running.note("loss 0.7")
    with reporting_to(LineReporter(stream)), task("train"):  # nothing is left of the note
        clock.now += 1
    assert stream.getvalue().splitlines() == [
        "train: 2 of 4, 0.2/s, 10 s left; loss 0.8",
        "train: 10.0 s; loss 0.7",
        "train: 1.0 s",
    ]


def test_a_task_of_unknown_length_tells_no_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stream = Clock(monkeypatch), io.StringIO()
    with reporting_to(LineReporter(stream)), task("read") as running:
        clock.now += 10
        running.advance(50)
    assert stream.getvalue().splitlines()[0] == "read: 50, 5.0/s"


def test_a_task_without_any_step_tells_no_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stream = Clock(monkeypatch), io.StringIO()
    with reporting_to(LineReporter(stream)), task("wait", total=5) as running:
        clock.now += 10
        running.advance(0)
    assert stream.getvalue().splitlines()[0] == "wait: 0 of 5, 0.0/s"


def test_quick_work_leaves_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stream = Clock(monkeypatch), io.StringIO()
    with reporting_to(LineReporter(stream)), task("blink"):
        clock.now += 0.01
    assert stream.getvalue() == ""


# -- which one -------------------------------------------------------------------------


def test_a_terminal_gets_bars_and_a_file_gets_lines(
    monkeypatch: pytest.MonkeyPatch, terminal: Terminal
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal)
    assert isinstance(reporter(), BarReporter)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(reporter(), LineReporter)
