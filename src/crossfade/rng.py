"""Randomness that is handed in, never taken from the world."""

import zlib

import numpy as np

from crossfade.errors import ConfigError


def generator(seed: int, purpose: str) -> np.random.Generator:
    """A generator for one named purpose.

    Each purpose draws from a stream of its own, so adding a random step to
    one part never changes the numbers another part sees.

    Args:
        seed: The run's one seed, 0 or more.
        purpose: Any stable text, such as ``"nmf.init"``.

    Raises:
        ConfigError: If the seed is negative.
    """
    if seed < 0:
        raise ConfigError(f"seed must be 0 or more, got {seed}")
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])
