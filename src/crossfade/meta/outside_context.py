"""Context of requests made at several moments, each as of its own."""

from functools import cached_property

import numpy as np
import polars as pl

from crossfade.data import Dataset
from crossfade.data.dataset import to_datetime
from crossfade.meta.chain import CLOCK, FEWEST_MOMENTS
from crossfade.meta.context import ContextReader
from crossfade.meta.track import DEPTH, TrackRecord
from crossfade.types import Floats, Ints, Rows, Times

MAX_READERS = 8
"""Moments at which the whole log is read anew; where there are more, some share the one before."""


class OutsideContext:
    """Context for requests of a log; nothing in it is later than the request.

    Args:
        dataset: The log.
        bases: Names of the bases.
        user_row: Who asks, shape ``(B,)``.
        as_of_us: When, shape ``(B,)``; the log holds events before the first.
        gains: Of earlier requests: ``user_row``, ``time_us`` of a wanted item, ``n`` and the gain of
            each base, named by its number.
    """

    def __init__(
        self,
        dataset: Dataset,
        bases: tuple[str, ...],
        user_row: Rows,
        as_of_us: Times,
        gains: pl.DataFrame,
    ) -> None:
        self._dataset, self._bases, self._gains = dataset, bases, gains
        self._user_row, self._as_of_us = user_row, as_of_us
        moments = np.unique(as_of_us)
        parts = np.array_split(moments, min(len(moments), MAX_READERS))
        self._starts = np.array([part[0] for part in parts], dtype=np.int64)
        self._tells_hours = len(moments) >= FEWEST_MOMENTS

    @cached_property
    def _readers(self) -> list[ContextReader]:
        environment, readers = None, []
        for start in self._starts.tolist():
            log, record = self._dataset.before(to_datetime(start)), self._record(start)
            readers.append(ContextReader(log, self._bases, record, environment))
            environment = readers[0].environment
        return readers

    @property
    def user_columns(self) -> tuple[str, ...]:
        """Names of what is known of requests."""
        return self._readers[0].user_columns

    @property
    def item_columns(self) -> tuple[str, ...]:
        """Names of what is known of candidates."""
        return self._readers[0].item_columns

    def read(self, places: Ints, item_row: Rows) -> tuple[Floats, Floats]:
        """Of some requests, shapes ``(n, Cu)`` and ``(n, L, Ci)``.

        Args:
            places: Which of the B requests.
            item_row: Their candidates, ``(n, L)``, -1 for padding.
        """
        user = np.full((len(places), len(self.user_columns)), np.nan, dtype=np.float32)
        item = np.full((*item_row.shape, len(self.item_columns)), np.nan, dtype=np.float32)
        which = np.searchsorted(self._starts, self._as_of_us[places], side="right") - 1
        for number in np.unique(which):
            mine = np.flatnonzero(which == number)
            asked = places[mine]
            queries = self._dataset.queries(self._user_row[asked], self._as_of_us[asked])
            reader = self._readers[number]
            user[mine] = reader.user(queries)
            item[mine] = reader.item(queries, item_row[mine])
        if not self._tells_hours:
            # At a handful of moments the hour tells which block it is, and nothing else.
            user[:, [self.user_columns.index(name) for name in CLOCK]] = np.nan
        return user, item

    def _record(self, before_us: int) -> TrackRecord:
        record = TrackRecord.empty(self._dataset.n_users, len(self._bases))
        past = self._gains.filter(pl.col("time_us") < before_us)
        rows = past["user_row"].to_numpy()
        np.add.at(record.n, rows, 1)
        for s in range(len(self._bases)):
            np.add.at(record.gain[:, s], rows, past[str(s)].to_numpy())
        return record


def gain_of(place: Ints) -> Floats:
    """What a wanted item gains a base by its place, as in `TrackRecord`; 0 is no place."""
    listed = (place > 0) & (place <= DEPTH)
    gain: Floats = np.where(listed, 1 / np.log2(np.maximum(place, 1) + 1.0), 0.0)
    return gain
