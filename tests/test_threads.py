"""Compiled loops on all cores."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from crossfade.threads import n_threads, over, stay_alone

FIT_AND_COUNT = """
import numpy as np, torch
from crossfade.recommenders.kernels import factor_products
factor_products(np.ones((64, 8), np.float32), np.ones((64, 8), np.float32))
print(torch.get_num_threads())
"""


def test_every_place_of_the_range_is_visited_once() -> None:
    seen = np.zeros(1_001, dtype=np.int64)

    def count(start: int, stop: int, out: np.ndarray) -> None:
        out[start:stop] += 1

    over(count, len(seen), seen)
    assert (seen == 1).all()


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
    with ThreadPoolExecutor(1, initializer=stay_alone) as pool:
        assert pool.submit(n_threads).result() == 1
    assert n_threads() == before
