"""Compiled loops that several recommenders share.

Each request is computed on its own, in a fixed order, so a batch gives the very
numbers that its requests give one by one. Kernels let go of the interpreter lock;
plain threads then use all cores without Numba's slow parallel compilation.
"""

from typing import Literal

import numba
import numpy as np

from crossfade.threads import one_blas_thread, over
from crossfade.types import Csr, CsrParts, Floats, Ints, Rows

Counting = Literal["once", "log", "sum"]
"""What repeats count: nothing more, log2(1 + summed strength), or the summed strength."""


def csr_parts(matrix: Csr) -> CsrParts:
    """``indptr``, ``indices`` and ``data`` in the house types, so each kernel is compiled once."""
    return (
        matrix.indptr.astype(np.int64, copy=False),
        matrix.indices.astype(np.int32, copy=False),
        matrix.data.astype(np.float32, copy=False),
    )


def counted(matrix: Csr, counting: Counting) -> Csr:
    """Summed strengths turned into evidence; the matrix itself is left alone."""
    values = counted_values(matrix.data, counting)
    return Csr((values, matrix.indices, matrix.indptr), shape=matrix.shape)


def counted_values(summed: Floats, counting: Counting) -> Floats:
    """Summed strengths, any shape, turned into evidence."""
    if counting == "sum":
        return summed
    return np.ones_like(summed) if counting == "once" else np.log2(1 + summed)


def transposed(matrix: Csr) -> Csr:
    """Users and items swapped."""
    return Csr(matrix.T.tocsr())


def weighted_sums(weights: Csr, rows: Floats) -> Floats:
    """``weights @ rows`` for sparse weights ``(n, m)`` and dense rows ``(m, n_columns)``."""
    out = np.zeros((weights.shape[0], rows.shape[1]), dtype=np.float32)
    over(_add_dense, len(out), *csr_parts(weights), np.ascontiguousarray(rows), out)
    return out


def weighted_sparse_sums(weights: Csr, rows: Csr, parts: CsrParts | None = None) -> Floats:
    """``weights @ rows`` for two sparse matrices, as a dense one.

    ``parts`` are those of ``rows``, for who has them already.
    """
    return sparse_sums(csr_parts(weights), parts or csr_parts(rows), rows.shape[1])


def sparse_sums(weights: CsrParts, rows: CsrParts, n_columns: int) -> Floats:
    """As `weighted_sparse_sums`, of the parts of both matrices."""
    out = np.zeros((len(weights[0]) - 1, n_columns), dtype=np.float32)
    over(_add_sparse, len(out), *weights, *rows, out)
    return out


def scattered_products(left: Floats, rows: CsrParts, n_columns: int) -> Floats:
    """``left @ rows`` for few dense rows, mostly 0, on the left and sparse ones on the right."""
    out = np.zeros((len(left), n_columns), dtype=np.float32)
    over(_add_scattered, len(out), left, *rows, out)
    return out


def gram(rows: Floats) -> Floats:
    """``rows.T @ rows`` to the same last bit however many cores there are."""
    with one_blas_thread():
        return rows.T @ rows


def factor_products(left: Floats, right: Floats) -> Floats:
    """``left @ right.T`` whose rows do not depend on how many there are; BLAS does not promise that."""
    out = np.empty((len(left), len(right)), dtype=np.float32)
    over(_multiply, len(left), np.ascontiguousarray(left), np.ascontiguousarray(right), out)
    return out


def cosines(vectors: Floats, row: int) -> Floats:
    """Cosine of every vector with one of them, 0 where a vector is all zero."""
    lengths = np.linalg.norm(vectors, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = vectors @ vectors[row] / (lengths * lengths[row])
    finite: Floats = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32)
    return finite


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _multiply(start: int, stop: int, left: Floats, right: Floats, out: Floats) -> None:
    # Vectors of one block stay in the cache while every request meets them.
    for first in range(0, len(right), 512):
        for i in range(start, stop):
            for j in range(first, min(first + 512, len(right))):
                total = np.float32(0)
                for f in range(right.shape[1]):
                    total += left[i, f] * right[j, f]
                out[i, j] = total


@numba.njit(cache=True, nogil=True)
def _add_dense(  # noqa: PLR0917  (kernels know no keywords)
    start: int, stop: int, indptr: Ints, indices: Rows, values: Floats, rows: Floats, out: Floats
) -> None:
    for i in range(start, stop):
        for place in range(indptr[i], indptr[i + 1]):
            value = values[place]
            if value == 0:  # non-negative factors are mostly zeros
                continue
            row = rows[indices[place]]
            for column in range(rows.shape[1]):
                out[i, column] += value * row[column]


@numba.njit(cache=True, nogil=True)
def _add_sparse(  # noqa: PLR0917  (kernels know no keywords)
    start: int,
    stop: int,
    indptr: Ints,
    indices: Rows,
    values: Floats,
    row_indptr: Ints,
    row_indices: Rows,
    row_values: Floats,
    out: Floats,
) -> None:
    for i in range(start, stop):
        for place in range(indptr[i], indptr[i + 1]):
            value, row = values[place], indices[place]
            for other in range(row_indptr[row], row_indptr[row + 1]):
                out[i, row_indices[other]] += value * row_values[other]


@numba.njit(cache=True, nogil=True)
def _add_scattered(  # noqa: PLR0917  (kernels know no keywords)
    start: int,
    stop: int,
    left: Floats,
    row_indptr: Ints,
    row_indices: Rows,
    row_values: Floats,
    out: Floats,
) -> None:
    for i in range(start, stop):
        line = out[i]
        for row in range(left.shape[1]):
            value = left[i, row]
            if value == 0:
                continue
            for place in range(row_indptr[row], row_indptr[row + 1]):
                line[np.uint32(row_indices[place])] += value * row_values[place]


@numba.njit(cache=True, nogil=True)
def largest_places(values: Floats, k: int) -> Ints:
    """Places of the k largest values in their own order; among equals the first places."""
    n = len(values)
    if n <= k:
        return np.arange(n)
    ordered = np.sort(values)
    least = ordered[n - k]
    n_ties = k - (n - np.searchsorted(ordered, least, side="right"))
    chosen = np.empty(k, dtype=np.int64)
    size = 0
    for place in range(n):
        if values[place] == least:
            n_ties -= 1
        if values[place] > least or (values[place] == least and n_ties >= 0):
            chosen[size] = place
            size += 1
    return chosen
