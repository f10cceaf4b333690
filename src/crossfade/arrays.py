"""Small numeric kernels shared by scoring, evaluation and serving."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numba
import numpy as np

from crossfade.types import Arrays, Csr, CsrParts, Floats, Ints, Rows


def top_k(scores: Floats, k: int) -> Rows:
    """Columns of the k best scores of each row, best first.

    Equal scores are ordered by column, so the same scores always give the same
    list. NaN ("cannot be scored") is never chosen.

    Args:
        scores: Shape ``(n_rows, n_columns)``.
        k: How many, 1 or more.

    Returns:
        Shape ``(n_rows, k)``; -1 where a row has fewer than k scores.

    Raises:
        ValueError: If k is less than 1.
    """
    if k < 1:  # the kernel would write outside its memory
        raise ValueError(f"k must be 1 or more, got {k}")
    out = np.empty((scores.shape[0], k), dtype=np.int32)
    _top_k(np.ascontiguousarray(scores, dtype=np.float32), out)
    return out


@numba.njit(cache=True, nogil=True)
def _top_k(scores: Floats, out: Rows) -> None:
    k, width = out.shape[1], 64
    room = max(4 * k, 256)
    value, column = np.empty(room, dtype=np.float32), np.empty(room, dtype=np.int32)
    for row in range(scores.shape[0]):
        size, least, full = 0, np.float32(-np.inf), False
        for first in range(0, scores.shape[1], width):
            block = scores[row, first : first + width]
            # Most blocks hold nothing new, and counting needs no branch.
            n_better = 0
            for score in block:
                n_better += score > least if full else not np.isnan(score)
            if n_better == 0:
                continue
            for place in range(len(block)):
                # Strictly greater: an equal score further right never displaces an earlier one.
                if np.isnan(block[place]) or (full and not block[place] > least):
                    continue
                value[size], column[size] = block[place], first + place
                size += 1
                if size == room:
                    size = _keep_best(value, column, size, k)
                    least, full = value[k - 1], True
        size = _keep_best(value, column, size, k)
        out[row, :size], out[row, size:] = column[:size], -1


@numba.njit(cache=True, nogil=True)
def _keep_best(value: Floats, column: Rows, size: int, k: int) -> int:
    """Bring the k best of the first ``size`` entries to the front, best first; gives how many there are."""
    order = np.argsort(-value[:size], kind="mergesort")[:k]  # equal ones stay in their order
    n = len(order)
    value[:n], column[:n] = value[order], column[order]
    return n


@numba.njit(cache=True, nogil=True)
def n_shared(values: Rows, at_a: int, end_a: int, at_b: int, end_b: int) -> int:
    """How many values two parts of an array share; each part is sorted and holds a value once."""
    n = 0
    while at_a < end_a and at_b < end_b:
        if values[at_a] == values[at_b]:
            n += 1
            at_a += 1
            at_b += 1
        elif values[at_a] < values[at_b]:
            at_a += 1
        else:
            at_b += 1
    return n


def below(parts: Sequence[Any], fill: float) -> Any:
    """Arrays ``(n, L, ...)``, one or more, below one another and as wide as the widest."""
    if len(parts) == 1:
        return parts[0]
    first, width = parts[0], max(part.shape[1] for part in parts)
    out = np.empty((sum(map(len, parts)), width, *first.shape[2:]), dtype=first.dtype)
    start = 0
    for part in parts:
        rows = out[start : start + len(part)]
        rows[:, : part.shape[1]], rows[:, part.shape[1] :] = part, fill
        start += len(part)
    return out


def summed_rows(indptr: Ints, column: Rows, value: Floats) -> CsrParts:
    """Sparse rows of some entries: columns ascending, equal ones summed, nothing of entries at 0.

    Args:
        indptr: Entries of row ``i`` are ``[indptr[i], indptr[i + 1])``.
        column: Of each entry, in any order.
        value: Of each entry, 0 or more.
    """
    starts = np.zeros(len(indptr), dtype=np.int64)
    columns, sums = np.empty(len(column), dtype=np.int32), np.empty(len(column), dtype=np.float32)
    size = _sum_rows(indptr, column, value, starts, columns, sums)
    return starts, columns[:size], sums[:size]


@numba.njit(cache=True, nogil=True)
def _sum_rows(  # noqa: PLR0917  (kernels know no keywords)
    indptr: Ints, column: Rows, value: Floats, starts: Ints, columns: Rows, sums: Floats
) -> int:
    size = 0
    for row in range(len(indptr) - 1):
        first, last = indptr[row], indptr[row + 1]
        for at in np.argsort(column[first:last], kind="mergesort"):
            if value[first + at] == 0:
                continue
            if size > starts[row] and columns[size - 1] == column[first + at]:
                sums[size - 1] += value[first + at]
                continue
            columns[size], sums[size] = column[first + at], value[first + at]
            size += 1
        starts[row + 1] = size
    return size


def pack_csr(name: str, matrix: Csr) -> Arrays:
    """A sparse matrix as plain arrays whose names start with ``name``."""
    return {
        f"{name}.data": matrix.data,
        f"{name}.indices": matrix.indices,
        f"{name}.indptr": matrix.indptr,
        f"{name}.shape": np.asarray(matrix.shape, dtype=np.int64),
    }


def unpack_csr(name: str, arrays: Arrays) -> Csr:
    """The inverse of `pack_csr`."""
    n_rows, n_columns = (int(n) for n in arrays[f"{name}.shape"])
    parts = (arrays[f"{name}.data"], arrays[f"{name}.indices"], arrays[f"{name}.indptr"])
    return Csr(parts, shape=(n_rows, n_columns))


def part_of(arrays: Arrays, name: str) -> Arrays:
    """The arrays whose names start with ``name`` and a dot, without these; `as_part` undoes it."""
    start = f"{name}."
    return {key.removeprefix(start): a for key, a in arrays.items() if key.startswith(start)}


def as_part(arrays: Arrays, name: str) -> Arrays:
    """The arrays under names that start with ``name`` and a dot."""
    return {f"{name}.{key}": array for key, array in arrays.items()}


def pack_strings(name: str, texts: Sequence[str]) -> Arrays:
    """Strings as plain arrays whose names start with ``name``."""
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    return {f"{name}.utf8": np.frombuffer(b"".join(encoded), dtype=np.uint8), f"{name}.ends": ends}


def unpack_strings(name: str, arrays: Arrays) -> list[str]:
    """The inverse of `pack_strings`."""
    whole, ends = arrays[f"{name}.utf8"].tobytes(), arrays[f"{name}.ends"].tolist()
    return [whole[start:stop].decode() for start, stop in pairwise(ends)]
