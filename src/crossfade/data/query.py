"""What a recommender is asked: who, when, and what they did before."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from crossfade.arrays import summed_rows
from crossfade.types import Csr, CsrParts, Floats, Ints, Rows, Times

Situation = Mapping[str, float | str]
"""What is known of the moment of a request, by event column: a number, or the name of a category."""


@dataclass(frozen=True)
class Taste:
    """What somebody says they like, before or beside anything they do.

    Attributes:
        genres: Genre labels, any case.
        moods: Mood labels, any case.
    """

    genres: tuple[str, ...] = ()
    moods: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is said at all."""
        return bool(self.genres or self.moods)


@dataclass(frozen=True)
class Queries:
    """A batch of requests, each with the history that was known at its time.

    The history travels with the request, so a person seen in training and a
    stranger with a few plays are the same case, and batch and single requests take
    one path. A stranger with nothing at all has an empty history.

    Attributes:
        user_row: Shape ``(n,)``; -1 for a person the data set does not know.
        as_of_us: Time of each request, shape ``(n,)``, or None where the data has no times.
        indptr: Shape ``(n + 1,)``; history ``i`` is ``[indptr[i], indptr[i + 1])`` of the next four.
        item_row: Items of all histories, oldest first.
        time_us: When each happened, or None where the data has no times.
        strength: Positive evidence of each event; 0 means seen but not wanted.
        session_row: Session of each event; -1 where unknown.
        n_items: Width of the catalogue.
        tastes: What each person said they like, ``n`` of them; None where nobody was asked.
        situations: What each request says of the situation it is made in, ``n`` of them; None
            where none does.
    """

    user_row: Rows
    as_of_us: Times | None
    indptr: Ints
    item_row: Rows
    time_us: Times | None
    strength: Floats
    session_row: Rows
    n_items: int
    tastes: tuple[Taste, ...] | None = None
    situations: tuple[Situation, ...] | None = None

    def __len__(self) -> int:
        return len(self.user_row)

    def __repr__(self) -> str:
        known, events = int((self.user_row >= 0).sum()), len(self.item_row)
        return f"Queries({len(self):,} requests, {known:,} of known users, {events:,} events of history)"

    @classmethod
    def of_items(cls, item_rows: Sequence[int] | Rows, n_items: int) -> "Queries":
        """One stranger who likes some items, no times known.

        Raises:
            ValueError: If a row is outside the catalogue; unknown ids (-1) must be left out.
        """
        items = np.asarray(item_rows, dtype=np.int32)
        wrong = items[(items < 0) | (items >= n_items)]
        if len(wrong):
            raise ValueError(f"item rows must lie in 0 … {n_items - 1}, got {wrong[0]}")
        return cls(
            user_row=np.array([-1], dtype=np.int32),
            as_of_us=None,
            indptr=np.array([0, len(items)], dtype=np.int64),
            item_row=items,
            time_us=None,
            strength=np.ones(len(items), dtype=np.float32),
            session_row=np.zeros(len(items), dtype=np.int32),
            n_items=n_items,
        )

    def liking(self, item_rows: Sequence[int] | Rows, now_us: int | None = None) -> "Queries":
        """The same single request, with some items the person says they like at the end of the history.

        Args:
            item_rows: Rows of the catalogue; unknown ids (-1) must be left out.
            now_us: When they say so, where histories have times: before ``as_of_us``. None
                takes the time of the newest event, or 0 without one.

        Raises:
            ValueError: If there is more than one request, or a row is outside the catalogue.
        """
        if len(self) != 1:
            raise ValueError(f"one request can be given liked items at a time, got {len(self)}")
        liked = Queries.of_items(item_rows, self.n_items)
        times = self.time_us
        if times is not None:
            now_us = now_us if now_us is not None else int(times[-1]) if len(times) else 0
            times = np.append(times, np.full(len(liked.item_row), now_us, dtype=np.int64))
        return replace(
            self,
            indptr=self.indptr + np.array([0, len(liked.item_row)]),
            item_row=np.append(self.item_row, liked.item_row),
            time_us=times,
            strength=np.append(self.strength, liked.strength),
            session_row=np.append(self.session_row, np.full(len(liked.item_row), -1, np.int32)),
        )

    def take(self, places: Sequence[int] | Ints | Rows) -> "Queries":
        """Some of the requests, in the given order."""
        places = np.asarray(places, dtype=np.int64)
        starts, sizes = self.indptr[places], np.diff(self.indptr)[places]
        indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        # Position within the flat arrays: start of each history plus 0, 1, 2, …
        flat = np.repeat(starts - indptr[:-1], sizes) + np.arange(indptr[-1])
        return Queries(
            user_row=self.user_row[places],
            as_of_us=None if self.as_of_us is None else self.as_of_us[places],
            indptr=indptr,
            item_row=self.item_row[flat],
            time_us=None if self.time_us is None else self.time_us[flat],
            strength=self.strength[flat],
            session_row=self.session_row[flat],
            n_items=self.n_items,
            tastes=_picked(self.tastes, places),
            situations=_picked(self.situations, places),
        )

    @classmethod
    def joined(cls, parts: Sequence["Queries"]) -> "Queries":
        """The requests of some batches as one.

        Args:
            parts: One or more, of one catalogue; all of them with times of requests or none, and
                the same of histories.

        Raises:
            ValueError: If they are not of one kind.
        """
        first = parts[0]
        if any(part.kind != first.kind for part in parts):
            raise ValueError(
                "requests of different catalogues, or with times and without, stay apart"
            )

        def below(name: str) -> Any:
            arrays = [getattr(part, name) for part in parts]
            return None if arrays[0] is None else np.concatenate(arrays)

        def said(name: str, nothing: Any) -> Any:
            if all(getattr(part, name) is None for part in parts):
                return None
            each = [getattr(part, name) or (nothing,) * len(part) for part in parts]
            return tuple(one for of_part in each for one in of_part)

        sizes = np.concatenate([np.diff(part.indptr) for part in parts])
        return cls(
            user_row=below("user_row"),
            as_of_us=below("as_of_us"),
            indptr=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            item_row=below("item_row"),
            time_us=below("time_us"),
            strength=below("strength"),
            session_row=below("session_row"),
            n_items=first.n_items,
            tastes=said("tastes", Taste()),
            situations=said("situations", {}),
        )

    @property
    def kind(self) -> tuple[int, bool, bool]:
        """What requests of one batch have in common: the catalogue, and which times there are."""
        return self.n_items, self.as_of_us is None, self.time_us is None

    def batches(self, size: int) -> Iterator[tuple[slice, "Queries"]]:
        """Consecutive pieces of at most ``size`` requests, with where each piece lies."""
        for start in range(0, len(self), size):
            place = slice(start, min(start + size, len(self)))
            yield place, self.take(np.arange(place.start, place.stop))

    @cached_property
    def owner(self) -> Ints:
        """Which request each history event belongs to."""
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.indptr))

    @cached_property
    def positives(self) -> Csr:
        """Summed positive strength, shape ``(n, n_items)``; no stored zeros."""
        return self._matrix(self.positive_parts)

    @cached_property
    def positive_parts(self) -> CsrParts:
        """Those of `positives`."""
        return summed_rows(self.indptr, self.item_row, np.maximum(self.strength, 0))

    @cached_property
    def seen(self) -> Csr:
        """How often each item occurs in each history, wanted or not, shape ``(n, n_items)``."""
        return self._matrix(self.seen_parts)

    @cached_property
    def seen_parts(self) -> CsrParts:
        """Those of `seen`."""
        once = np.ones(len(self.item_row), dtype=np.float32)
        return summed_rows(self.indptr, self.item_row, once)

    def _matrix(self, parts: CsrParts) -> Csr:
        indptr, indices, data = parts
        return Csr((data, indices, indptr), shape=(len(self), self.n_items))


T = TypeVar("T")


def _picked(said: tuple[T, ...] | None, places: Ints) -> tuple[T, ...] | None:
    return None if said is None else tuple(said[place] for place in places.tolist())
