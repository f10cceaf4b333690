"""Compiled loops on all cores: kernels let go of the interpreter lock, so plain threads do.

That spares Numba's slow parallel compilation. Each place of a result is computed by one thread in
a fixed order, so how many threads there are changes no number.
"""

import gc
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from functools import cache
from importlib import import_module
from itertools import pairwise
from typing import Any

from threadpoolctl import ThreadpoolController

_here = threading.local()

MANY = 20_000
"""New objects after which the collector looks through the newest: those of some dozen requests."""

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


def alone() -> Callable[[], None]:
    """What a worker calls so that its thread starts no others, where there are enough already.

    To be made before the workers are, once what they use is imported: looking for libraries in one
    thread while another imports one can lock up both for good.
    """
    _libraries()  # of which a worker may be the first to ask
    libraries = ThreadpoolController()  # anew: more may have been imported since

    def stay_alone() -> None:
        _here.alone = True
        libraries.limit(limits=1, user_api="openmp")  # holds per thread, of networks and trees

    return stay_alone


def one_blas_thread() -> AbstractContextManager[Any]:
    """Linear algebra to the same last bit however many cores there are: BLAS sums in another order then."""
    limit: AbstractContextManager[Any] = _libraries().limit(limits=1, user_api="blas")
    return limit


@cache
def _libraries() -> ThreadpoolController:
    import_module("scipy.linalg")  # it has a BLAS of its own
    return ThreadpoolController()  # finding them takes milliseconds


def settle() -> None:
    """Have the garbage collector pass over all there is now, which is there to stay, and come more rarely.

    Looking through a loaded system takes it a third of a second, in which no thread of the process runs.
    """
    gc.unfreeze()  # what was to stay, and no longer is
    gc.collect()
    gc.freeze()
    gc.set_threshold(MANY)


def over(kernel: Callable[..., Any], n: int, *arguments: Any) -> None:
    """Run ``kernel(start, stop, *arguments)`` over all of ``range(n)``.

    The kernel must write only to places that belong to its own range.
    """
    if n < 2 or n_threads() == 1:
        kernel(0, n, *arguments)
        return
    n_pieces = min(n, _PIECES_PER_THREAD * n_threads())
    edges = [n * piece // n_pieces for piece in range(n_pieces + 1)]
    together(kernel, [(start, stop, *arguments) for start, stop in pairwise(edges)])


def together(kernel: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> None:
    """Make all calls of a kernel, as many at once as there are threads.

    This thread works too, and never waits for one that has not begun: what takes microseconds is
    done before another thread is awake, as is most of what a single request asks for.
    """
    left = iter(calls)  # each call is taken once, whoever takes it

    def work() -> None:
        for call in left:
            kernel(*call)

    others = [_pool().submit(work) for _ in range(min(n_threads(), len(calls)) - 1)]
    try:
        work()
    finally:
        begun = [other for other in others if not other.cancel()]
        wait(begun)
    for other in begun:
        other.result()


@cache
def _pool() -> ThreadPoolExecutor:
    """Threads that are kept: to start one takes longer than many a kernel."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="crossfade")


if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
