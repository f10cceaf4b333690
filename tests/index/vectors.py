"""Vectors to search among."""

import numpy as np

from crossfade.types import Floats


def clustered(n: int, width: int, seed: int) -> Floats:
    """Unit vectors in groups, as towers make them."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(20, width))
    vectors = centres[rng.integers(20, size=n)] + 0.5 * rng.normal(size=(n, width))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)
