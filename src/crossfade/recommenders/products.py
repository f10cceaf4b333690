"""Products of a few requests' vectors with those of all items, at the speed of the memory they lie in."""

from typing import NamedTuple

import numba
import numpy as np

from crossfade.threads import over
from crossfade.types import Floats

TILE = 512
"""Items of one tile: their vectors stay in the cache while requests meet them."""

TOGETHER = 4
"""Factors added up at once, and requests that share what is read of an item."""


class Tiles(NamedTuple):
    """Vectors of items, some at a time.

    Attributes:
        values: Numbers of one factor side by side, ``(n_tiles, width, TILE)``; 0 for NaN, and beyond
            the last item and the last factor.
        n: How many items.
    """

    values: Floats
    n: int

    @classmethod
    def of(cls, vectors: Floats) -> "Tiles":
        """Of vectors ``(n, width)``."""
        n, width = vectors.shape
        n_tiles, n_quads = -(-n // TILE), -(-width // TOGETHER)
        values = np.zeros((n_tiles * TILE, n_quads * TOGETHER), dtype=np.float32)
        values[:n, :width] = np.nan_to_num(vectors)
        turned = values.reshape(n_tiles, TILE, n_quads * TOGETHER).transpose(0, 2, 1)
        return cls(np.ascontiguousarray(turned), n)


class Tiled:
    """`Tiles` of item vectors, made when they are first needed and kept with the vectors they belong to."""

    def __init__(self) -> None:
        self._kept: tuple[Floats, Tiles] | None = None

    def __call__(self, vectors: Floats) -> Tiles:
        """Of vectors ``(n, width)``."""
        kept = self._kept  # read and written at once, for threads
        if kept is None or kept[0] is not vectors:
            kept = self._kept = (vectors, Tiles.of(vectors))
        return kept[1]


def whole_products(left: Floats, right: Tiles) -> Floats:
    """Product of each vector on the left, ``(n, width)``, with each item's, ``(n, right.n)``.

    Rows do not depend on how many there are, as in `kernels.factor_products`, and it takes half the
    time of that for one row and a quarter for many: nothing has to be added up across a register,
    and what is read of an item serves several rows.
    """
    scale = np.zeros((len(left), right.values.shape[1]), dtype=np.float32)
    scale[:, : left.shape[1]] = left
    out = np.empty((len(left), right.n), dtype=np.float32)
    over(_multiply, len(left), scale, right.values, out)
    return out


# Nothing here may be reordered or contracted: a row is the same number by number however it is met.
@numba.njit(cache=True, nogil=True)
def _multiply(start: int, stop: int, left: Floats, tiles: Floats, out: Floats) -> None:
    n_tiles, width, _ = tiles.shape
    sums = np.empty(TOGETHER * TILE, dtype=np.float32)
    scale = np.empty(TOGETHER * TOGETHER, dtype=np.float32)
    for tile in range(n_tiles):
        values = tiles[tile].reshape(width * TILE)
        first, last = tile * TILE, min((tile + 1) * TILE, out.shape[1])
        whole = stop - (stop - start) % TOGETHER
        for i in range(start, whole, TOGETHER):
            sums[:] = 0
            for f in range(0, width, TOGETHER):
                for k in range(TOGETHER):
                    scale[k * TOGETHER : (k + 1) * TOGETHER] = left[i + k, f : f + TOGETHER]
                _add_to_four(sums, scale, values[f * TILE : (f + TOGETHER) * TILE])
            for k in range(TOGETHER):
                out[i + k, first:last] = sums[k * TILE : k * TILE + last - first]
        for i in range(whole, stop):
            sums[:TILE] = 0
            for f in range(0, width, TOGETHER):
                four = values[f * TILE : (f + TOGETHER) * TILE]
                _add_to_one(sums, left[i, f : f + TOGETHER], four)
            out[i, first:last] = sums[: last - first]


@numba.njit(cache=True, nogil=True)
def _add_to_one(sums: Floats, s: Floats, values: Floats) -> None:
    for j in range(TILE):
        a, b, c, d = values[j], values[TILE + j], values[2 * TILE + j], values[3 * TILE + j]
        sums[j] += (s[0] * a + s[1] * b) + (s[2] * c + s[3] * d)


@numba.njit(cache=True, nogil=True)
def _add_to_four(sums: Floats, s: Floats, values: Floats) -> None:
    for j in range(TILE):
        a, b, c, d = values[j], values[TILE + j], values[2 * TILE + j], values[3 * TILE + j]
        sums[j] += (s[0] * a + s[1] * b) + (s[2] * c + s[3] * d)
        sums[TILE + j] += (s[4] * a + s[5] * b) + (s[6] * c + s[7] * d)
        sums[2 * TILE + j] += (s[8] * a + s[9] * b) + (s[10] * c + s[11] * d)
        sums[3 * TILE + j] += (s[12] * a + s[13] * b) + (s[14] * c + s[15] * d)
