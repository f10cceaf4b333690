"""Compiled loops on all cores: they let go of the interpreter lock, so plain threads do."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numba
import numpy as np

_PIECES_PER_THREAD = 4
"""Several, because texts differ in length; few, because a piece may need memory of its own."""


def over(n: int, kernel: Callable[..., None], *arguments: Any) -> None:
    """Run ``kernel(start, stop, *arguments)`` over all of ``range(n)``.

    The kernel must write only to places that belong to its own range.
    """
    edges = np.linspace(0, n, min(n, _PIECES_PER_THREAD * numba.get_num_threads()) + 1)
    together(
        kernel, [(start, stop, *arguments) for start, stop in pairwise(edges.astype(np.int64))]
    )


def together(kernel: Callable[..., None], calls: Sequence[tuple[Any, ...]]) -> None:
    """Make all calls of a kernel, as many at once as there are cores."""
    with ThreadPoolExecutor(numba.get_num_threads()) as pool:
        for run in [pool.submit(kernel, *call) for call in calls]:
            run.result()
