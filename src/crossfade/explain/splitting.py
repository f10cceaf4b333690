"""What bases give to the scores of a list, split over the evidence they name."""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from crossfade.recommenders.attribution import NONE, Attribution
from crossfade.types import Doubles, Ints, Rows


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of several bases one after the other, each with the number of its evidence.

    Number 0 is the item's own popularity, then come items of the history by row, then attributes.
    There are B bases, L items, K numbers and n parts.

    Attributes:
        starts: Where the parts of each base begin, ``(B + 1,)``.
        place: Which item of the list each part belongs to, ``(n,)``.
        history: Its item of the history, as a place in ``rows``, ``(n,)``.
        number: Of its evidence, ``(n,)``.
        amount: Of its base's score, or of the fused score, ``(n,)``.
        rows: Items of the history, ascending, after `NONE`, ``(H + 1,)``; their numbers come first.
    """

    starts: Ints
    place: Ints
    history: Ints
    number: Ints
    amount: Doubles
    rows: Rows

    @classmethod
    def of(cls, found: Sequence[Attribution], attributes: Sequence[Sequence[int]]) -> "Parts":
        """All parts of some bases.

        Args:
            found: What each says.
            attributes: Of the attributes of each which it is among all, from 0.
        """
        rows = np.unique(np.concatenate([[NONE], *(part.history_row for part in found)]))
        places = [np.searchsorted(rows, part.history_row) for part in found]
        numbers = [
            np.where(part.attribute == NONE, place, len(rows) + np.append(which, 0)[part.attribute])
            for part, place, which in zip(found, places, attributes, strict=True)
        ]
        starts = np.cumsum([0, *(len(part.part) for part in found)])
        nothing = np.zeros(0, dtype=np.int64)
        return cls(
            starts=starts.astype(np.int64),
            place=np.concatenate([nothing, *(part.place for part in found)]),
            history=np.concatenate([nothing, *places]),
            number=np.concatenate([nothing, *numbers]).astype(np.int64),
            amount=np.concatenate([np.zeros(0), *(part.part for part in found)]),
            rows=rows,
        )


@dataclass(frozen=True, eq=False)
class Largest:
    """The largest evidence of each item, R places for each; ties by number.

    Attributes:
        number: Of the evidence, ``(L, R)``; -1 where there is no more.
        total: What it gives, ``(L, R)``.
        bases: Bases that speak for the item by it, most first, ``(L, R, B)``; then -1.
        history: Items of the history that it rests on, as places in `Parts.rows`, most first,
            ``(L, R, I)``; then -1.
    """

    number: Ints
    total: Doubles
    bases: Ints
    history: Ints

    @classmethod
    def of(cls, parts: Parts, n_numbers: int, least: Doubles, shape: tuple[int, int]) -> "Largest":
        """From amounts of the fused score.

        Args:
            parts: Of all bases.
            n_numbers: K.
            least: What evidence must give to each item, ``(L,)``.
            shape: Most pieces of evidence of an item (R), most items of the history of each (I).
        """
        most, most_items = shape
        total = np.zeros((len(least), most))
        slot = np.full((len(least), n_numbers), -1, dtype=np.int64)
        number = _choose(parts.place, parts.number, parts.amount, least, total, slot)
        bases = np.full((*total.shape, len(parts.starts) - 1), -1, dtype=np.int64)
        history = np.full((*total.shape, most_items), -1, dtype=np.int64)
        told = (parts.starts, parts.place, parts.number, parts.history, parts.amount)
        _rests_on(*told, slot, len(parts.rows), bases, history)
        return cls(number, total, bases, history)


@numba.njit(cache=True, nogil=True)
def share_out(  # noqa: PLR0917  (kernels know no keywords)
    starts: Ints,
    place: Ints,
    number: Ints,
    part: Doubles,
    rest: Doubles,
    given: Doubles,
    n_numbers: int,
) -> Doubles:
    """Parts of the scores of bases in units of the fused score, ``(n,)``.

    What a base gives to an item is shared by the evidence that speaks for it in the base's own
    score, and the rest if that does; evidence against takes away as much for its size.

    Args:
        starts: See `Parts`, as the next three.
        place: Likewise.
        number: Likewise.
        part: In units of each base's score.
        rest: What the parts leave of each base's scores, ``(B, L)``; NaN is nothing.
        given: What each base gives to the fused scores, ``(B, L)``; where this is not above 0, or
            nothing speaks for the item, parts are worth 0.
        n_numbers: How many numbers there are.
    """
    amount, n_items = np.zeros(len(part)), rest.shape[1]
    for base in range(len(starts) - 1):
        sums = np.zeros((n_items, n_numbers))
        for at in range(starts[base], starts[base + 1]):
            sums[place[at], number[at]] += part[at]
        worth = np.zeros(n_items)
        for item in range(n_items):
            speaks = 0.0
            for one in sums[item]:
                speaks += max(one, 0.0)
            if rest[base, item] > 0:
                speaks += rest[base, item]
            if given[base, item] > 0 and speaks > 0:
                worth[item] = given[base, item] / speaks
        for at in range(starts[base], starts[base + 1]):
            amount[at] = worth[place[at]] * part[at]
    return amount


@numba.njit(cache=True, nogil=True)
def _choose(  # noqa: PLR0917
    place: Ints, number: Ints, amount: Doubles, least: Doubles, total: Doubles, slot: Ints
) -> Ints:
    """Write the totals of the largest evidence and where each piece of it went; gives its numbers."""
    n_items, most = total.shape
    chosen = np.full((n_items, most), -1, dtype=np.int64)
    sums = np.zeros(slot.shape)
    for at in range(len(amount)):
        sums[place[at], number[at]] += amount[at]
    for item in range(n_items):
        for one in range(slot.shape[1]):
            if sums[item, one] < least[item]:
                sums[item, one] = 0.0
        _largest(sums[item], chosen[item])
        for kept in range(most):
            if chosen[item, kept] >= 0:
                total[item, kept] = sums[item, chosen[item, kept]]
                slot[item, chosen[item, kept]] = kept
    return chosen


@numba.njit(cache=True, nogil=True)
def _rests_on(  # noqa: PLR0917
    starts: Ints,
    place: Ints,
    number: Ints,
    history: Ints,
    amount: Doubles,
    slot: Ints,
    n_history: int,
    bases: Ints,
    rows: Ints,
) -> None:
    """Write the bases and items of the history that each chosen piece comes from, most first."""
    n_items, most, n_bases = bases.shape
    of_base = np.zeros((n_items, most, n_bases))
    of_row = np.zeros((n_items, most, n_history))
    for base in range(n_bases):
        for at in range(starts[base], starts[base + 1]):
            kept = slot[place[at], number[at]]
            if kept >= 0:
                of_base[place[at], kept, base] += amount[at]
                if history[at] > 0:  # 0 is no item of the history
                    of_row[place[at], kept, history[at]] += amount[at]
    for item in range(n_items):
        for kept in range(most):
            _largest(of_base[item, kept], bases[item, kept])
            _largest(of_row[item, kept], rows[item, kept])


@numba.njit(cache=True, nogil=True)
def _largest(values: Doubles, places: Ints) -> None:
    """Write the places of the largest values above 0, largest first, of equals the first."""
    size = 0
    for at in range(len(values)):
        if not values[at] > 0 or (size == len(places) and values[at] <= values[places[size - 1]]):
            continue
        if size < len(places):
            size += 1
        to = size - 1
        while to > 0 and values[at] > values[places[to - 1]]:
            places[to] = places[to - 1]
            to -= 1
        places[to] = at
