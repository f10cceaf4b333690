"""`Attribution`: what the scores of some items for one request rest on, term by term."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numba
import numpy as np

from crossfade.data import Queries
from crossfade.recommenders.history import HistoryConfig, weighted_parts
from crossfade.types import Bools, Csr, CsrParts, Doubles, Floats, Ints, Rows

NONE = -1
"""In ``history_row`` and ``attribute``: no history item, no attribute."""

Basis = Literal["none", "linear", "additive", "leave_one_out"]
"""What a part of a score is.

``linear``: the part is a term of the score, and deleting the item from the history takes away just
that. ``additive``: it is a term of the score's own formula, but deleting the item also changes how
the others are weighed. ``leave_one_out``: it is what deleting the item takes away, and ``rest`` is
whatever these parts do not add up to. ``none``: the base cannot say.
"""


@dataclass(frozen=True, eq=False)
class Attribution:
    """Parts of one base's scores of some items for one request.

    A part belongs to an item of the history, to an attribute, to both (this item of the history,
    because of this attribute), or to neither: then it is what the item's own popularity gives.
    Events on one item stand and fall together, because most bases count an item once however often
    it was played. L items are asked for; n parts are not 0.

    Attributes:
        item_row: The items asked for, ``(L,)``.
        place: Which of them each part belongs to, ``(n,)``.
        history_row: Item of the history, ``(n,)``; `NONE` where the part is not from the history.
        attribute: Place in ``attributes``, ``(n,)``; `NONE` without one.
        part: In units of the base's score, above or below 0, ``(n,)``.
        rest: What the parts leave of each score, ``(L,)``; NaN where there is no score.
        attributes: What parts are owed to. ``genres:jazz`` and ``moods:calm``: the label is on
            both items. ``creator``: both are by the same one. ``description``: words or tags
            of both. ``sound``: both sound alike, by measured audio features; ``guessed_sound``: by
            features some of which are guesses. ``acclaim``: how the item is rated.
            ``taste:genres:jazz``: the person named the label and the item carries it.
            ``people:genres:jazz`` and ``people:taste:genres:jazz``: people share the taste for a
            label of the history item, or for one the person named; the item need not carry it.
        in_session: Whether the history items speak as what was played last, rather than as
            what somebody likes.
    """

    item_row: Rows
    place: Ints
    history_row: Rows
    attribute: Rows
    part: Floats
    rest: Floats
    attributes: tuple[str, ...] = ()
    in_session: bool = False

    def totals(self) -> Doubles:
        """What parts and rest add up to: the scores, ``(L,)``."""
        sums = np.bincount(self.place, weights=self.part, minlength=len(self.item_row))
        return np.asarray(sums + self.rest, dtype=np.float64)

    def by_history(self, place: int) -> dict[int, float]:
        """Sum of the parts of each item of the history in one score, by row."""
        mine = (self.place == place) & (self.history_row != NONE)
        rows, owner = np.unique(self.history_row[mine], return_inverse=True)
        sums = np.bincount(owner, weights=self.part[mine], minlength=len(rows))
        return dict(zip(rows.tolist(), sums.tolist(), strict=True))


def of_parts(
    item_rows: Rows,
    history_rows: Rows,
    parts: Floats,
    rest: Floats,
    attributes: Sequence[str] = (),
) -> Attribution:
    """From dense parts; zeros, and parts of items without a score, are left out.

    Args:
        item_rows: Shape ``(L,)``.
        history_rows: Shape ``(H,)``; `NONE` for what is not from the history.
        parts: Shape ``(L, H)``, or ``(L, H, 1 + len(attributes))`` whose first column holds what
            is owed to no attribute.
        rest: Shape ``(L,)``; NaN where there is no score.
        attributes: See `Attribution`.
    """
    parts = parts if parts.ndim == 3 else parts[:, :, None]
    dense = np.ascontiguousarray(parts, dtype=np.float32)
    place, history, attribute, part = _stored(dense, np.isnan(rest))
    return Attribution(
        item_row=item_rows,
        place=place,
        history_row=history_rows[history].astype(np.int32, copy=False),
        attribute=attribute,
        part=part,
        rest=rest,
        attributes=tuple(attributes),
    )


@numba.njit(cache=True, nogil=True)
def _stored(parts: Floats, blank: Bools) -> tuple[Ints, Ints, Rows, Floats]:
    """Place, history, attribute and value of what is not 0, but of no blank item."""
    n = np.count_nonzero(parts)
    place, history = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    attribute, part = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.float32)
    size = 0
    for i in range(parts.shape[0]):
        for j in range(0 if blank[i] else parts.shape[1]):
            for k in range(parts.shape[2]):
                if parts[i, j, k] != 0:
                    place[size], history[size] = i, j
                    attribute[size], part[size] = k + NONE, parts[i, j, k]  # the first is none
                    size += 1
    return place[:size], history[:size], attribute[:size], part[:size]


def nothing(item_rows: Rows) -> Attribution:
    """Of items that cannot be scored."""
    empty = np.zeros((len(item_rows), 0), dtype=np.float32)
    rest = np.full(len(item_rows), np.nan, dtype=np.float32)
    return of_parts(item_rows, np.zeros(0, dtype=np.int32), empty, rest)


def spread_out(found: Attribution, item_rows: Rows, known: Bools) -> Attribution:
    """The same among more items, those where ``known`` is False being without a score.

    Args:
        found: Of the known ones, in their order.
        item_rows: Shape ``(L,)``.
        known: Shape ``(L,)``.
    """
    rest = np.full(len(item_rows), np.nan, dtype=np.float32)
    rest[known] = found.rest
    return replace(found, item_row=item_rows, place=np.flatnonzero(known)[found.place], rest=rest)


def rest_of(query: Queries, item_rows: Rows, support: Ints | Bools) -> Floats:
    """0 for items a base scores and NaN for all others: `base.mask_unscorable` for some items.

    Args:
        query: One request.
        item_rows: Shape ``(L,)``.
        support: Above 0 for items the model learned something about, shape ``(n_items,)``.
    """
    # Not compared as a whole: the catalogue is far longer than history and list.
    useful = (query.strength > 0) & (support[query.item_row] > 0)
    rest = np.zeros(len(item_rows), dtype=np.float32)
    rest[(support[item_rows] == 0) | (not useful.any())] = np.nan
    return rest


def weighted_items(query: Queries, config: HistoryConfig) -> tuple[Rows, Floats]:
    """Items of one request's history, ascending, and their weights; see `weighted_parts`."""
    _, liked, weight = weighted_parts(query, config)
    return liked, weight


def without(queries: Queries, item_rows: Rows | Sequence[int]) -> Queries:
    """The same requests, had nobody ever met some items: every event on them is gone."""
    return _keeping(queries, ~np.isin(queries.item_row, np.asarray(item_rows, dtype=np.int64)))


def without_each(query: Queries, item_rows: Rows) -> Queries:
    """One request as it is, and then once without each of some items; ``1 + len(item_rows)``."""
    many = query.take(np.zeros(1 + len(item_rows), dtype=np.int64))
    left_out = np.append(NONE, item_rows)
    return _keeping(many, many.item_row != left_out[many.owner])


def _keeping(queries: Queries, keep: Bools) -> Queries:
    kept_before = np.concatenate([[0], np.cumsum(keep)])
    return replace(
        queries,
        indptr=kept_before[queries.indptr].astype(np.int64),
        item_row=queries.item_row[keep],
        time_us=None if queries.time_us is None else queries.time_us[keep],
        strength=queries.strength[keep],
        session_row=queries.session_row[keep],
    )


def corner(matrix: Csr, rows: Rows, columns: Rows) -> Floats:
    """Some rows and columns of a sparse matrix as a dense one; columns may repeat.

    Its cost is that of the rows: nothing as wide as the catalogue is made.
    """
    return corner_of(as_it_is(matrix), rows, columns)


def corner_of(parts: CsrParts, rows: Rows, columns: Rows) -> Floats:
    """`corner` of a sparse matrix that is given by its arrays, of whatever integers."""
    wanted = np.sort(columns)
    out = np.zeros((len(rows), len(wanted)), dtype=np.float32)
    _corner(*parts, rows, wanted, out)
    return out[:, np.searchsorted(wanted, columns)]  # of equal columns the first is filled


def as_it_is(matrix: Csr) -> tuple[Any, Any, Any]:
    """``indptr``, ``indices`` and ``data`` in the types they have.

    `kernels.csr_parts` would copy the whole of a large matrix to read a few of its rows.
    """
    return matrix.indptr, matrix.indices, matrix.data


@numba.njit(cache=True, nogil=True)
def _corner(  # noqa: PLR0917  (kernels know no keywords)
    indptr: Ints, indices: Rows, values: Floats, rows: Rows, wanted: Rows, out: Floats
) -> None:
    sieve = sieve_of(wanted)
    for i in range(len(rows)):
        for at in range(indptr[rows[i]], indptr[rows[i] + 1]):
            column = place_of(indices[at], wanted, sieve)
            if column >= 0:
                out[i, column] += values[at]


SIEVE = 4_096
"""A power of 2, large beside a shown list."""


@numba.njit(cache=True, nogil=True)
def sieve_of(ordered: Rows) -> Bools:
    """False where no value has that remainder: most values are turned away by one look."""
    sieve = np.zeros(SIEVE, dtype=np.bool_)
    for value in ordered:
        sieve[value & (SIEVE - 1)] = True
    return sieve


@numba.njit(cache=True, nogil=True)
def place_of(value: int, ordered: Rows, sieve: Bools) -> int:
    """Where a value first stands in ascending ones, whose `sieve_of` is given; -1 where it does not."""
    if not sieve[value & (SIEVE - 1)]:
        return -1
    low, high = 0, len(ordered)
    while low < high:
        middle = (low + high) // 2
        if ordered[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low if low < len(ordered) and ordered[low] == value else -1
