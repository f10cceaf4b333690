"""`Last`: the answer to the last request, for whoever asks the very same again."""

from collections.abc import Callable
from typing import Generic, TypeVar

from crossfade.data import Queries

T = TypeVar("T")


class Last(Generic[T]):
    """The last answer; safe between threads.

    A request is the same only if it is the very same object.
    """

    def __init__(self) -> None:
        self._kept: tuple[Queries, T] | None = None

    def __call__(self, queries: Queries, make: Callable[[Queries], T]) -> T:
        """The answer to a request, made if it is not the one that was asked last."""
        # Question and answer are one value, read and written at once.
        kept = self._kept
        if kept is not None and kept[0] is queries:
            return kept[1]
        found = make(queries)
        self._kept = (queries, found)
        return found
