"""Compiled loops on all cores: kernels let go of the interpreter lock, so plain threads do.

That spares Numba's slow parallel compilation. Each place of a result is computed by one thread in
a fixed order, so how many threads there are changes no number.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController, threadpool_limits

_here = threading.local()

_PIECES_PER_THREAD = 8
"""Several, because some places cost far more than others."""


def n_threads() -> int:
    """Threads that compiled loops may use: ``OMP_NUM_THREADS`` where it is set, else all cores.

    `numba.get_num_threads` is not asked: it starts Numba's own threads, and that sets the number
    of threads of every OpenMP library of the process, PyTorch included, against the variable.
    """
    if getattr(_here, "alone", False):
        return 1
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    most = os.cpu_count() or 1 if affinity is None else len(affinity(0))
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(most, int(asked)) if asked.isdecimal() and int(asked) else most


def stay_alone() -> None:
    """From now on this thread starts no others: for workers of a pool, of which there are enough already."""
    _here.alone = True
    threadpool_limits(1, "openmp")  # which holds per thread, of networks and trees


def one_blas_thread() -> AbstractContextManager[Any]:
    """Linear algebra to the same last bit however many cores there are: BLAS sums in another order then."""
    limit: AbstractContextManager[Any] = _libraries().limit(limits=1, user_api="blas")
    return limit


@cache
def _libraries() -> ThreadpoolController:
    import_module("scipy.linalg")  # it has a BLAS of its own
    return ThreadpoolController()  # finding them takes milliseconds


def over(kernel: Callable[..., Any], n: int, *arguments: Any) -> None:
    """Run ``kernel(start, stop, *arguments)`` over all of ``range(n)``.

    The kernel must write only to places that belong to its own range.
    """
    if n < 2 or n_threads() == 1:
        kernel(0, n, *arguments)
        return
    edges = np.linspace(0, n, min(n, _PIECES_PER_THREAD * n_threads()) + 1).astype(np.int64)
    together(kernel, [(start, stop, *arguments) for start, stop in pairwise(edges)])


def together(kernel: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> None:
    """Make all calls of a kernel, as many at once as there are threads."""
    with ThreadPoolExecutor(n_threads()) as pool:
        for run in [pool.submit(kernel, *call) for call in calls]:
            run.result()
