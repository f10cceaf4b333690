"""Names for the array types the house uses; shapes stand beside each use."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Floats = NDArray[np.float32]
"""Scores, weights and features; NaN is the house spelling of missing."""

Doubles = NDArray[np.float64]
"""Statistics, where rounding matters."""

Rows = NDArray[np.int32]
"""Row numbers of users or items; -1 is the house spelling of unknown."""

Times = NDArray[np.int64]
"""Microseconds since 1970-01-01 UTC."""

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Uints = NDArray[np.uint32]

Arrays = dict[str, NDArray[np.generic]]
"""What a fitted model is made of: named arrays, nothing that can run code."""

Csr = csr_array
"""Sparse matrix, rows are users unless said otherwise."""

CsrParts = tuple[Ints, Rows, Floats]
"""``indptr``, ``indices`` and ``data`` of a sparse matrix, where making one costs more than using it."""

MICROSECONDS_PER_DAY = 86_400_000_000
