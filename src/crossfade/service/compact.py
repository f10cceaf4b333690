"""Events of one person in little memory: a fifth of what as many objects take."""

import math
import struct
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from crossfade.online import Event
from crossfade.store.log import NewEvent

_NUMBERS = struct.Struct("<qdqb")  # when, value, how long it was played, whether it was skipped
_N_NAMES = 4  # item, kind, session, context
_NOTHING: Mapping[str, float | str] = {}
_SKIPPED = (False, True, None)  # by number, and None is -1


class Events:
    """The newest events of one person, oldest first as they came in.

    Numbers lie in one piece of memory; of each id there is one copy, whoever names it.

    Args:
        most: So many are kept.
    """

    __slots__ = ("_most", "_names", "_numbers")

    def __init__(self, most: int) -> None:
        self._most, self._numbers = most, bytearray()
        self._names: list[Any] = []

    def __len__(self) -> int:
        return len(self._numbers) // _NUMBERS.size

    def append(self, event: NewEvent) -> None:
        """Add one, in place of the oldest where there are as many as may be kept."""
        self._numbers += _NUMBERS.pack(
            event.time_us,
            math.nan if event.value is None else event.value,
            -1 if event.played_ms is None else event.played_ms,
            -1 if event.skipped is None else event.skipped,
        )
        session_id = None if event.session_id is None else sys.intern(event.session_id)
        self._names += (
            sys.intern(event.item_id),
            sys.intern(event.event),
            session_id,
            event.context or _NOTHING,
        )
        if len(self) > self._most:
            del self._numbers[: _NUMBERS.size], self._names[:_N_NAMES]

    def __iter__(self) -> Iterator[Event]:
        """What a live system looks at in each, as `as_event` gives it."""
        names = iter(self._names)
        for time_us, value, played_ms, skipped in _NUMBERS.iter_unpack(self._numbers):
            yield Event(
                next(names),
                time_us,
                next(names),
                None if math.isnan(value) else value,
                None if played_ms < 0 else played_ms,
                _SKIPPED[skipped],
                next(names),
                next(names),
            )
