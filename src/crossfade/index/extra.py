"""The one place that imports FAISS."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from crossfade.errors import MissingExtraError


def faiss(feature: str) -> Any:
    """The module, imported when it is first needed.

    Args:
        feature: What needs it, such as ``'index "faiss"'``, for the message.

    Raises:
        MissingExtraError: If the extra ``ann`` is not installed.
    """
    try:
        return importlib.import_module("faiss")
    except ModuleNotFoundError as error:
        raise MissingExtraError(feature, "ann") from error


@contextmanager
def one_thread(library: Any) -> Iterator[None]:
    """Let FAISS run on the calling thread alone inside the block; other threads' calls are not touched.

    One query has too little work to share out, and waiting for a second core that is busy elsewhere made the
    slowest calls ten times slower. Sums are then also taken in one order, whatever the machine.
    """
    before = library.omp_get_max_threads()
    library.omp_set_num_threads(1)
    try:
        yield
    finally:
        library.omp_set_num_threads(before)
