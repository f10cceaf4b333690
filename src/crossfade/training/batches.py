"""Training examples in portions."""

import math
from collections.abc import Iterator
from typing import Protocol, TypeVar

import numpy as np

from crossfade.types import Ints

B_co = TypeVar("B_co", covariant=True)


class Batches(Protocol[B_co]):
    """The training examples of one epoch, cut into batches.

    An epoch must depend on its generator only, never on earlier epochs: that is what
    lets a resumed run see the batches an uninterrupted one would have seen.
    """

    def __len__(self) -> int:
        """Batches per epoch, 1 or more."""

    @property
    def n_examples(self) -> int:
        """Examples per epoch, for the rate that is shown."""

    def epoch(self, rng: np.random.Generator) -> Iterator[B_co]:
        """The batches of one epoch in the order ``rng`` gives them."""


class ShuffledRows:
    """Row numbers 0 … n − 1 in a new random order each epoch: ``(batch,)`` int64 arrays.

    The last batch may be shorter.

    Args:
        n_examples: How many rows, 0 or more.
        batch_size: Most rows in a batch, 1 or more.
    """

    def __init__(self, n_examples: int, batch_size: int) -> None:
        if n_examples < 0 or batch_size < 1:
            raise ValueError(
                f"n_examples must be 0 or more and batch_size 1 or more, got {n_examples} and {batch_size}"
            )
        self.n_examples, self.batch_size = n_examples, batch_size

    def __len__(self) -> int:
        return math.ceil(self.n_examples / self.batch_size)

    def epoch(self, rng: np.random.Generator) -> Iterator[Ints]:
        """The rows of one epoch, each once."""
        order = rng.permutation(self.n_examples)
        for start in range(0, self.n_examples, self.batch_size):
            yield order[start : start + self.batch_size]
