"""Lists made in processes of their own: the same, and one that dies is replaced."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from crossfade.errors import BundleError, UnknownIdError
from crossfade.hybrid import HybridModel
from crossfade.online import Ask, Event, LiveSystem
from crossfade.service.workers import Workers


@pytest.fixture(scope="module")
def workers(bundle: Path) -> Workers:
    return Workers(bundle, 1)


def _pid(workers: Workers) -> int:
    process = workers._free.get()
    workers._free.put(process)
    (pid,) = process._pool._processes
    return pid


def test_another_process_says_what_this_one_would(bundle: Path, workers: Workers) -> None:
    live = LiveSystem(HybridModel.load(bundle))
    assert (workers.version, workers.newest_us, workers.ranking) == (
        live.version,
        live.newest_us,
        live.ranking,
    )
    user, items = live.model.dataset.user_ids.id(0), live.model.dataset.item_ids.ids[:3].to_list()
    assert live.newest_us is not None
    event = Event(items[1], live.newest_us + 1, "like", context={})
    ask = Ask(user_id=user, events=(event,), k=5, explain=True)
    assert workers.answer([ask, Ask(k=3)]) == live.answer([ask, Ask(k=3)])
    assert workers.explain(ask, items[0]) == live.explain(ask, items[0])
    assert workers.predict(ask, items) == live.predict(ask, items)
    assert workers.similar(items[0]) == live.similar(items[0])
    with pytest.raises(UnknownIdError, match="nothing like it"):
        workers.similar("nothing like it")


def test_one_that_was_killed_is_replaced_and_nobody_notices(workers: Workers) -> None:
    before = _pid(workers)
    first = workers.answer([Ask(k=3)])
    os.kill(before, signal.SIGKILL)
    assert workers.answer([Ask(k=3)]) == first
    assert _pid(workers) != before


def test_being_told_to_end_is_left_to_the_one_who_started_it(workers: Workers) -> None:
    pid = _pid(workers)
    for told in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, told)
    assert workers.answer([Ask(k=3)])
    assert _pid(workers) == pid


def test_they_end_when_nobody_holds_their_system(bundle: Path) -> None:
    old = Workers(bundle, 1)
    pid = _pid(old)
    holding = old.answer  # as a pass holds what served when it began
    del old
    assert holding([Ask(k=3)])
    del holding
    _wait_for_the_end_of(pid)


def test_a_bundle_that_is_not_there_is_said_as_ever(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere"):
        Workers(tmp_path / "nowhere", 1)


def test_processes_end_with_the_one_that_started_them(bundle: Path, tmp_path: Path) -> None:
    program = tmp_path / "service.py"
    program.write_text(
        textwrap.dedent(f"""
            import time
            from pathlib import Path
            from crossfade.service.workers import Workers
            if __name__ == "__main__":
                workers = Workers(Path({str(bundle)!r}), 1)
                print(*workers._free.get()._pool._processes, flush=True)
                time.sleep(60)
        """)
    )
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert Path(f"/proc/{child}").exists()
        parent.kill()
    _wait_for_the_end_of(child)


def _wait_for_the_end_of(pid: int) -> None:
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.1)
    pytest.fail("the process is still there")
