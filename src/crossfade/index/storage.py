"""How item vectors are held: whole, in half precision, or as codes of a product quantiser."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from crossfade.errors import BundleError, ConfigError, DataError
from crossfade.index.config import IndexConfig
from crossfade.index.extra import faiss, one_thread
from crossfade.types import Arrays, Doubles, Floats, Ints

N_CENTROIDS = 256
"""Of each part of a vector under product quantisation: what one byte can name."""

LARGEST_HALF = float(np.finfo(np.float16).max)


class Stored(Protocol):
    """Vectors in some form, numbered 0 … n - 1."""

    def take(self, which: Ints | slice) -> Floats:
        """Some vectors as float32, shape ``(n_chosen, width)``; what this form has kept of them."""

    def arrays(self) -> Arrays:
        """What the form is made of; `restore` undoes it."""

    @property
    def width(self) -> int:
        """Numbers in a vector."""

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Plain:
    """Vectors as numbers.

    Attributes:
        vectors: float32 or float16, shape ``(n, width)``.
    """

    vectors: NDArray[np.floating]

    def take(self, which: Ints | slice) -> Floats:
        """See `Stored.take`; a view where the numbers are float32 and a slice is wanted."""
        return self.vectors[which].astype(np.float32, copy=False)

    def arrays(self) -> Arrays:
        """See `Stored.arrays`."""
        return {"vectors": self.vectors}

    @property
    def width(self) -> int:
        """See `Stored.width`."""
        return int(self.vectors.shape[1])

    def __len__(self) -> int:
        return len(self.vectors)


@dataclass(frozen=True)
class Quantised:
    """Vectors cut into parts, each replaced by the nearest of 256 centroids.

    Attributes:
        codes: Centroid of each part, uint8, shape ``(n, n_parts)``.
        centroids: Shape ``(n_parts, 256, width / n_parts)``.

    Source:
        Jégou, Douze and Schmid (2011), "Product Quantization for Nearest Neighbor Search".
    """

    codes: NDArray[np.uint8]
    centroids: Floats

    def take(self, which: Ints | slice) -> Floats:
        """See `Stored.take`."""
        codes = self.codes[which]  # (n_chosen, n_parts)
        parts: Floats = self.centroids[np.arange(codes.shape[1]), codes]
        return parts.reshape(len(codes), self.width)

    def arrays(self) -> Arrays:
        """See `Stored.arrays`."""
        return {"codes": self.codes, "centroids": self.centroids}

    @property
    def width(self) -> int:
        """See `Stored.width`."""
        return int(self.centroids.shape[0] * self.centroids.shape[2])

    def __len__(self) -> int:
        return len(self.codes)


def lengths(vectors: Floats) -> Doubles:
    """Euclidean length of each vector, in double precision without a copy in it."""
    squares: Doubles = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return np.sqrt(squares)


def longest(stored: Stored) -> float:
    """Length of the longest vector, 0 where there is none."""
    n, step = len(stored), 65_536
    parts = (stored.take(slice(start, start + step)) for start in range(0, n, step))
    return max((float(lengths(part).max()) for part in parts), default=0.0)


def store(vectors: Floats, config: IndexConfig, seed: int) -> Stored:
    """Vectors in the form that ``config.storage`` names.

    Args:
        vectors: Finite, shape ``(n, width)``.
        config: Which form.
        seed: For the centroids of product quantisation.

    Raises:
        ConfigError: If ``pq_bytes`` does not divide the width.
        DataError: If half precision cannot hold the numbers.
        MissingExtraError: If product quantisation is wanted without FAISS.
    """
    if config.storage == "float32":
        return Plain(vectors)
    if config.storage == "float16":
        largest = float(np.abs(vectors).max(initial=0))
        if largest > LARGEST_HALF:
            raise DataError(
                f"vectors reach {largest:g}, float16 holds up to {LARGEST_HALF:g}; "
                'scale the vectors or use storage = "float32"'
            )
        return Plain(vectors.astype(np.float16))
    return _quantise(vectors, config.pq_bytes, seed)


def _quantise(vectors: Floats, n_parts: int, seed: int) -> Quantised:
    width = vectors.shape[1]
    if width % n_parts:
        raise ConfigError(
            f"pq_bytes must divide the width of the vectors, got {n_parts} for {width}; "
            f"take {max(n for n in range(1, n_parts + 1) if width % n == 0)}"
        )
    library = faiss('storage "pq"')
    quantiser = library.ProductQuantizer(width, n_parts, 8)
    # Fewer points than centroids are no fault here: then every vector is kept whole.
    quantiser.cp.min_points_per_centroid, quantiser.cp.seed = 1, seed
    if len(vectors) == 0:
        codes = np.zeros((0, n_parts), dtype=np.uint8)
        return Quantised(codes, np.zeros((n_parts, N_CENTROIDS, width // n_parts), np.float32))
    with one_thread(library):  # many small steps: waiting for each other took ten times the work
        quantiser.train(enough(vectors, N_CENTROIDS))
    shape = (n_parts, N_CENTROIDS, width // n_parts)
    centroids = library.vector_to_array(quantiser.centroids).reshape(shape)
    return Quantised(quantiser.compute_codes(vectors), centroids)


def enough(vectors: Floats, n: int) -> Floats:
    """The vectors, repeated where there are fewer than n: k-means refuses fewer points than centroids."""
    if len(vectors) >= n:
        return vectors
    return np.ascontiguousarray(vectors[np.arange(n) % len(vectors)])


def restore(arrays: Arrays) -> Stored:
    """The inverse of `Stored.arrays`.

    Raises:
        BundleError: If these are not the arrays of any form.
    """
    if "vectors" in arrays:
        vectors: NDArray[Any] = arrays["vectors"]
        if vectors.ndim == 2 and vectors.dtype in {np.dtype(np.float32), np.dtype(np.float16)}:
            return Plain(vectors)
    elif arrays.keys() >= {"codes", "centroids"}:
        codes: NDArray[Any] = arrays["codes"]
        centroids: NDArray[Any] = arrays["centroids"]
        fits = codes.ndim == 2 and centroids.shape[:2] == (codes.shape[1], N_CENTROIDS)
        if fits and centroids.ndim == 3 and codes.dtype == np.uint8:
            return Quantised(codes, centroids.astype(np.float32, copy=False))
    raise BundleError("index: its vectors are damaged; build the index again")
