"""Compiled loops on all cores."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from crossfade.threads import alone, n_threads, over, together

FIT_AND_COUNT = """
import numpy as np, torch
from crossfade.recommenders.kernels import factor_products
factor_products(np.ones((64, 8), np.float32), np.ones((64, 8), np.float32))
print(torch.get_num_threads())
"""

WORK_AND_FORK = """
import os, time
import numpy as np
from crossfade import threads
threads.n_threads = lambda: 4
out = np.zeros(1000, np.int64)
def fill(start, stop):
    time.sleep(0.001)
    out[start:stop] = range(start, stop)
threads.over(fill, 1000)
print(out.sum(), flush=True)
child = os.fork()
if child == 0:
    out[:] = 0
    threads.over(fill, 1000)
    print(out.sum(), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


def test_every_place_of_the_range_is_visited_once() -> None:
    seen = np.zeros(1_001, dtype=np.int64)

    def count(start: int, stop: int, out: np.ndarray) -> None:
        out[start:stop] += 1

    over(count, len(seen), seen)
    assert (seen == 1).all()


def test_short_work_is_done_while_every_other_thread_is_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("crossfade.threads.n_threads", lambda: 1 + (os.cpu_count() or 1))
    busy, done = threading.Event(), threading.Event()
    began = threading.Semaphore(0)

    def hold(number: int) -> None:
        began.release()
        busy.wait(60) if number < held else None

    held = 1 + (os.cpu_count() or 1)
    blocked = threading.Thread(target=together, args=(hold, [(n,) for n in range(held)]))
    blocked.start()
    for _ in range(held):  # all kept threads, and the one that asked
        assert began.acquire(timeout=60)
    together(lambda _: done.set(), [(0,), (1,)])
    assert done.is_set()
    assert not busy.is_set()
    busy.set()
    blocked.join()


def test_what_fails_in_any_thread_is_raised_once_all_have_ended() -> None:
    def refuse(number: int) -> None:
        raise ValueError(number)

    for _ in range(50):
        with pytest.raises(ValueError, match=r"\d"):
            together(refuse, [(number,) for number in range(16)])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forks")
def test_a_child_of_a_process_whose_threads_worked_has_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORK_AND_FORK], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["499500", "499500"]


@pytest.mark.parametrize(
    ("asked", "expected"), [("1", 1), ("100000", None), ("", None), ("x", None)]
)
def test_the_number_of_threads_follows_the_variable(
    asked: str, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    most = n_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert n_threads() == (expected or most)


def test_compiled_loops_leave_the_threads_of_pytorch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba's own threads would set them to all cores, and two processes then wait for each other."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    done = subprocess.run(
        [sys.executable, "-c", FIT_AND_COUNT], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "1"


def test_a_worker_that_is_to_stay_alone_starts_no_threads_and_others_are_not_held_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    before = n_threads()
    with ThreadPoolExecutor(1, initializer=alone()) as pool:
        assert pool.submit(n_threads).result() == 1
    assert n_threads() == before


def test_a_worker_that_is_to_stay_alone_looks_for_no_libraries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Looking holds the lock of the loader and waits for Python's; who imports does the reverse."""
    stay_alone = alone()

    def refuse(*_: object) -> None:
        raise AssertionError("libraries were looked for")

    monkeypatch.setattr(ThreadpoolController, "_find_libraries_with_dl_iterate_phdr", refuse)
    with ThreadPoolExecutor(1, initializer=stay_alone) as pool:
        assert pool.submit(n_threads).result() == 1
    with pytest.raises(AssertionError):
        alone()
