"""Randomness that is handed in, never taken from the world."""

import zlib

import numpy as np


def generator(seed: int, purpose: str) -> np.random.Generator:
    """A generator for one named purpose.

    Each purpose draws from a stream of its own, so adding a random step to
    one part never changes the numbers another part sees.

    Args:
        seed: The run's one seed, 0 or more.
        purpose: Any stable text, such as ``"nmf.init"``.
    """
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])
