"""What was noted of people now and then, and the newest of it before a moment."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from crossfade.data import Dataset, Queries
from crossfade.types import MICROSECONDS_PER_DAY, Arrays, Floats, Ints, Times


def noted_moments(log: Dataset, columns: Sequence[pl.Series | None]) -> Times | None:
    """Different times of events with a value in any of some columns, ascending; None without times."""
    if log.time_us is None:
        return None
    noted = np.zeros(log.n_events, dtype=np.bool_)
    for values in columns:
        if values is not None:
            noted |= values.is_not_null().to_numpy()
    times = log.time_us[noted]
    # In order already: `np.unique` of five million times takes seconds, this hundredths.
    different: Times = times[np.diff(times, prepend=times[:1] - 1) != 0]
    return different


@dataclass(frozen=True, eq=False)
class Past:
    """The values that one column ever had, by person and then by time.

    Attributes:
        value: Numbers or codes, ``(n,)``.
        key: Of each, ascending: the person's row times one more than there are moments, plus
            the place of its moment among them; the row alone without times.
    """

    value: Floats
    key: Ints

    @classmethod
    def of(cls, log: Dataset, values: pl.Series, moments: Times | None) -> "Past":
        """From one value of each event, null where missing; ``moments`` as `noted_moments` gives them."""
        places = np.flatnonzero(values.is_not_null().to_numpy())
        people = log.events["user_row"].to_numpy()[places].astype(np.int64)
        order = np.argsort(people, kind="stable")  # within a person, time goes on
        places, key = places[order], people[order]
        if log.time_us is not None and moments is not None:
            key = key * (len(moments) + 1) + np.searchsorted(moments, log.time_us[places])
        return cls(values.gather(places).to_numpy().astype(np.float32), key)

    def latest(self, queries: Queries, moments: Times | None, max_age_days: float | None) -> Ints:
        """Place of the newest value of each request's person before it; -1 for none.

        Args:
            queries: Those without times look at everything.
            moments: As for `of`.
            max_age_days: Older values count as none; None sets no limit.
        """
        user, asked = queries.user_row.astype(np.int64), queries.as_of_us
        times = np.zeros(0, dtype=np.int64) if moments is None else moments
        width = len(times) + 1
        # Left: an event at the moment of the request is not before it.
        before = width if asked is None else np.searchsorted(times, asked)
        end = np.searchsorted(self.key, user * width + before)
        found = end > 0  # strangers, whose row is -1, come before everybody
        found[found] = self.key[end[found] - 1] // width == user[found]
        place = np.full(len(queries), -1, dtype=np.int64)
        place[found] = end[found] - 1
        if max_age_days is not None and asked is not None:
            noted = times[self.key[place[found]] % width]
            too_old = (asked[found] - noted) / MICROSECONDS_PER_DAY > max_age_days
            place[np.flatnonzero(found)[too_old]] = -1
        return place

    def to_arrays(self) -> Arrays:
        """As plain arrays."""
        return {"value": self.value, "key": self.key}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "Past":
        """The inverse of `to_arrays`."""
        value = arrays["value"].astype(np.float32, copy=False)
        return cls(value, arrays["key"].astype(np.int64, copy=False))
