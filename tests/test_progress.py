from contextlib import suppress
from threading import Thread

import pytest

from crossfade.progress import measured, reporting_to, task, timing, track


class Recorder:
    """A reporter that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def start(self, task: str, total: int | None) -> None:
        self.told.append(("start", task, total))

    def advance(self, task: str, steps: int) -> None:
        self.told.append(("advance", task, steps))

    def note(self, task: str, text: str) -> None:
        self.told.append(("note", task, text))

    def finish(self, task: str) -> None:
        self.told.append(("finish", task))


def test_without_a_reporter_work_goes_on_in_silence(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track([1, 2], "count")) == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_a_task_tells_its_start_steps_and_end() -> None:
    recorder = Recorder()
    with reporting_to(recorder), task("fit", total=5) as running:
        running.advance(2)
        running.advance()
    assert recorder.told == [
        ("start", "fit", 5),
        ("advance", "fit", 2),
        ("advance", "fit", 1),
        ("finish", "fit"),
    ]


def test_a_note_belongs_to_its_task() -> None:
    recorder = Recorder()
    with reporting_to(recorder), task("fit") as running:
        running.note("loss 0.5")
    assert recorder.told == [("start", "fit", None), ("note", "fit", "loss 0.5"), ("finish", "fit")]


def test_a_step_counts_when_its_work_is_done() -> None:
    recorder = Recorder()
    with reporting_to(recorder):
        for step in track(["a", "b"], "walk"):
            recorder.told.append((step,))
    assert recorder.told == [
        ("start", "walk", 2),
        ("a",),
        ("advance", "walk", 1),
        ("b",),
        ("advance", "walk", 1),
        ("finish", "walk"),
    ]


def test_a_failed_task_is_finished_too() -> None:
    recorder = Recorder()
    with (
        pytest.raises(ZeroDivisionError),
        reporting_to(recorder),
        task("divide"),
    ):
        1 / 0  # noqa: B018
    assert recorder.told == [("start", "divide", None), ("finish", "divide")]


def test_after_the_block_nothing_is_reported() -> None:
    outer, inner = Recorder(), Recorder()
    with reporting_to(outer):
        with reporting_to(inner), task("one"):
            pass
        with task("two"):
            pass
    with task("three"):
        pass
    assert [told[1] for told in inner.told] == ["one", "one"]
    assert [told[1] for told in outer.told] == ["two", "two"]


def test_other_threads_do_not_write_into_this_report() -> None:
    recorder = Recorder()
    with reporting_to(recorder):
        other = Thread(target=lambda: list(track([1], "elsewhere")))
        other.start()
        other.join()
    assert recorder.told == []


def test_a_stopwatch_knows_what_is_inside_what_in_the_order_of_beginning() -> None:
    with timing() as watch:
        with task("outer"), measured("inner"):
            pass
        with measured("after"):
            pass
    assert [lap.path for lap in watch.laps] == [("outer",), ("outer", "inner"), ("after",)]
    outer, inner, after = (lap.seconds for lap in watch.laps)
    assert 0 <= inner <= outer
    assert outer + after <= watch.seconds


def test_work_that_fails_took_its_time_and_work_outside_is_not_measured() -> None:
    with task("before"):
        pass
    with timing() as watch, suppress(ValueError), task("fit"):
        raise ValueError
    with task("later"):
        pass
    assert [lap.path for lap in watch.laps] == [("fit",)]
