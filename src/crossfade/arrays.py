"""Small numeric kernels shared by scoring, evaluation and serving."""

from collections.abc import Sequence
from itertools import pairwise

import numba
import numpy as np

from crossfade.types import Arrays, Csr, Floats, Rows


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
    out = np.full((scores.shape[0], k), -1, dtype=np.int32)
    _top_k(np.ascontiguousarray(scores, dtype=np.float32), out)
    return out


@numba.njit(cache=True, nogil=True)
def _top_k(scores: Floats, out: Rows) -> None:
    k = out.shape[1]
    best = np.empty(k, dtype=np.float32)
    for row in range(scores.shape[0]):
        size = 0
        for column in range(scores.shape[1]):
            score = scores[row, column]
            # Strictly greater: an equal score further right never displaces an earlier one.
            if np.isnan(score) or (size == k and not score > best[k - 1]):
                continue
            place = size if size < k else k - 1
            while place > 0 and score > best[place - 1]:
                best[place] = best[place - 1]
                out[row, place] = out[row, place - 1]
                place -= 1
            best[place] = score
            out[row, place] = column
            if size < k:
                size += 1


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


def pack_strings(name: str, texts: Sequence[str]) -> Arrays:
    """Strings as plain arrays whose names start with ``name``."""
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    return {f"{name}.utf8": np.frombuffer(b"".join(encoded), dtype=np.uint8), f"{name}.ends": ends}


def unpack_strings(name: str, arrays: Arrays) -> list[str]:
    """The inverse of `pack_strings`."""
    whole, ends = arrays[f"{name}.utf8"].tobytes(), arrays[f"{name}.ends"].tolist()
    return [whole[start:stop].decode() for start, stop in pairwise(ends)]
