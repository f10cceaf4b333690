"""The leading right singular directions of a sparse matrix."""

import numba
import numpy as np

from crossfade.threads import over
from crossfade.types import Bools, Csr, Doubles, Floats, Ints, Rows

_SMALL = 1_024
"""Up to this many rows or columns the exact decomposition costs next to nothing."""

_OVERSAMPLES = 16
"""Further random directions that sharpen the last ones asked for."""

_RELATIVE_SQUARE = 1e-9
"""Squared singular values below this share of the largest are rounding, not directions."""


def directions(rows: Csr, n: int, n_passes: int, rng: np.random.Generator) -> Floats:
    """Columns that span the rows best.

    Args:
        rows: Shape ``(n_rows, n_columns)``, not centred.
        n: Directions wanted, 1 or more.
        n_passes: Power iterations where the decomposition is a random one.
        rng: Draws the starting directions.

    Returns:
        Orthonormal, strongest first, shape ``(n_columns, rank)``; ``rank`` is less than
        ``n`` where the rows have no more independent directions. The largest
        entry of each is positive, so that its sign is no accident.

    Source:
        Halko, Martinsson and Tropp (2011), "Finding Structure with Randomness",
        algorithm 4.4.
    """
    if 0 in rows.shape:
        return np.zeros((rows.shape[1], 0), dtype=np.float32)
    if min(rows.shape) <= max(_SMALL, n + _OVERSAMPLES):
        found = _exact(rows)[:, :n].astype(np.float32)
    else:
        found = _random(rows, n + _OVERSAMPLES, n_passes, rng)[:, :n]
    signs = np.sign(found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])])
    return np.ascontiguousarray(found * signs, dtype=np.float32)


def _exact(rows: Csr) -> Doubles:
    matrix = rows.astype(np.float64)
    if rows.shape[0] >= rows.shape[1]:
        squares, vectors = np.linalg.eigh((matrix.T @ matrix).toarray())
        strongest: Doubles = vectors[:, _clear(squares)][:, ::-1]
        return strongest
    squares, vectors = np.linalg.eigh((matrix @ matrix.T).toarray())
    clear = _clear(squares)
    turned: Doubles = (matrix.T @ (vectors[:, clear] / np.sqrt(squares[clear])))[:, ::-1]
    return turned


def _random(rows: Csr, n: int, n_passes: int, rng: np.random.Generator) -> Floats:
    turned = Csr(rows.T.tocsr())
    start = rng.standard_normal((rows.shape[1], n), dtype=np.float32)
    tall = _orthonormal(_product(rows, start))
    for _ in range(n_passes):
        tall = _orthonormal(_product(rows, _orthonormal(_product(turned, tall))))
    # The columns of rowsᵀ·tall, turned so that they are orthogonal, are the directions themselves.
    return _orthonormal(_product(turned, tall))


def _orthonormal(columns: Floats) -> Floats:
    """Principal axes of the span of some columns, strongest first.

    By way of the small Gram matrix: that is one fast product where QR would be
    many slow ones. It squares the ratio of strongest to weakest, which is harmless here,
    since columns are made orthonormal again after every product.
    """
    squares, vectors = np.linalg.eigh((columns.T @ columns).astype(np.float64))
    clear = _clear(squares)
    turn = (vectors[:, clear] / np.sqrt(squares[clear]))[:, ::-1]
    axes: Floats = columns @ turn.astype(np.float32)
    return axes


def _clear(squares: Doubles) -> Bools:
    clear: Bools = squares > _RELATIVE_SQUARE * squares[-1]
    return clear


def _product(matrix: Csr, columns: Floats) -> Floats:
    """``matrix @ columns`` on all cores, which SciPy does on one."""
    out = np.zeros((matrix.shape[0], columns.shape[1]), dtype=np.float32)
    parts = (matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data)
    over(_add_rows, len(out), *parts, np.ascontiguousarray(columns), out)
    return out


@numba.njit(cache=True, nogil=True)
def _add_rows(  # noqa: PLR0917  (kernels know no keywords)
    start: int, stop: int, indptr: Ints, indices: Rows, data: Floats, columns: Floats, out: Floats
) -> None:
    for row in range(start, stop):
        for place in range(indptr[row], indptr[row + 1]):
            value, other = data[place], columns[indices[place]]
            for k in range(columns.shape[1]):
                out[row, k] += value * other[k]
