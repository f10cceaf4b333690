"""`TextEncoder`: what turns texts into vectors of one width."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from crossfade import progress
from crossfade.types import Arrays, Floats

N_DIMS = 384
"""Width of every text vector, whichever encoder made it."""

BLOCK = 20_000
"""Texts that are encoded, and kept by a cache, at a time."""


class TextEncoder(ABC):
    """Texts to unit vectors whose cosines say how alike the texts are.

    Attributes:
        name: Stable name in settings, bundles and fingerprints.
        n_dims: Columns of every result of `encode`.
    """

    name: ClassVar[str]
    n_dims: int = N_DIMS

    @abstractmethod
    def fit(self, texts: Sequence[str], seed: int = 0) -> Self:
        """Learn from a catalogue's texts; a second fit forgets the first.

        Args:
            texts: Of the base block's catalogue only, from `item_texts`. Later items are
                encoded, never learned from.
            seed: The run's seed; equal texts and seeds give equal encoders.
        """

    @abstractmethod
    def _encode(self, texts: Sequence[str], advance: Callable[[int], None]) -> Floats:
        """As `encode`; ``advance`` is told after how many further texts."""

    def encode(self, texts: Sequence[str]) -> Floats:
        """A vector per text; each depends on its own text alone, not on the rest of the batch.

        Returns:
            Shape ``(n, n_dims)``, rows of length 1. A row is NaN where the encoder finds
            nothing to go by: an empty text, or one in which it recognises nothing.

        Raises:
            NotFittedError: Before `fit` or `restore`.
        """
        out = np.full((len(texts), self.n_dims), np.nan, dtype=np.float32)
        for start, vectors in self.encode_in_blocks(texts):
            out[start : start + len(vectors)] = vectors
        return out

    def encode_in_blocks(self, texts: Sequence[str]) -> Iterator[tuple[int, Floats]]:
        """Parts of what `encode` gives, as they get ready, each with its first row; reports progress."""
        if not texts:
            return
        with progress.task(f"encode texts ({self.name})", len(texts)) as running:
            for start in range(0, len(texts), BLOCK):
                yield start, self._encode(texts[start : start + BLOCK], running.advance)

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Plain values for the manifest, as `restore` takes them."""

    @abstractmethod
    def state(self) -> Arrays:
        """Everything but the settings, as named arrays."""

    @classmethod
    @abstractmethod
    def restore(cls, config: dict[str, Any], arrays: Arrays) -> Self:
        """A fitted encoder from its settings and arrays.

        Raises:
            ConfigError: If the settings do not fit this encoder.
            KeyError: If an array is missing.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """A short text that changes whenever `encode` could give other vectors."""
