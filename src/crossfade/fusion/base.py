"""What fusion sees and gives: `Signals`, `Fused`, `Fusion`."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from crossfade.types import Arrays, Bools, Floats


@dataclass(frozen=True)
class Signals:
    """Base scores of a batch of requests, each with a candidate list.

    B requests, L candidates, S base recommenders; S is never fixed.

    Attributes:
        score: Shape ``(B, L, S)``; NaN where a base cannot score.
        mask: Shape ``(B, L)``; False marks padding of shorter lists.
    """

    score: Floats
    mask: Bools

    def __post_init__(self) -> None:
        if self.score.ndim != 3 or self.mask.shape != self.score.shape[:2]:
            raise ValueError(
                f"score {self.score.shape} and mask {self.mask.shape} must be (B, L, S) and (B, L)"
            )

    @property
    def available(self) -> Bools:
        """Where a base gave a score for a real candidate, shape ``(B, L, S)``."""
        return ~np.isnan(self.score) & self.mask[:, :, None]


@dataclass(frozen=True)
class Fused:
    """Blended scores.

    Attributes:
        score: Shape ``(B, L)``; NaN where no base could score.
        weights: Shape ``(B, L, S)``; in [0, 1], summing to 1 over the available bases,
            all NaN where there is none.
    """

    score: Floats
    weights: Floats


class Fusion(ABC):
    """Every fusion model takes `Signals` and gives `Fused`."""

    name: ClassVar[str]

    @abstractmethod
    def forward(self, signals: Signals) -> Fused:
        """Blend a batch."""

    @abstractmethod
    def state(self) -> Arrays:
        """The fitted arrays."""
