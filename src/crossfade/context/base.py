"""What every extractor of context is: columns and which of them are known, to a vector."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Extracted(NamedTuple):
    """What an extractor gives.

    Attributes:
        context: Shape ``(..., output_dim)``.
        weights: How much each column, or each modality, went into it: in [0, 1], summing to 1
            (0 in all where a join had nothing to join), ``(..., n)``; None for extractors
            that do not weigh. They say what was read, not what matters: relevance is for ablation.
    """

    context: Tensor
    weights: Tensor | None = None


class Extractor(nn.Module, ABC):
    """A network from scaled columns to a context vector; each row is read on its own.

    Attributes:
        n_columns: Number of columns it reads.
        output_dim: Width of its vector.
    """

    def __init__(self, n_columns: int, output_dim: int) -> None:
        super().__init__()
        if n_columns < 1:
            raise ValueError(f"{type(self).__name__} needs a column to read, got {n_columns}")
        self.n_columns = n_columns
        self.output_dim = output_dim

    @abstractmethod
    def forward(self, values: Tensor, known: Tensor) -> Extracted:
        """Read some rows.

        Args:
            values: Scaled columns, ``(..., n_columns)``. What stands where nothing is known is
                never looked at.
            known: Where a value is known, bool, same shape.
        """

    def shown(self, values: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Values with 0 where nothing is known, and 1 where something is; both of one type.

        Raises:
            ValueError: If the shapes are not those of this extractor.
        """
        if values.shape[-1] != self.n_columns or known.shape != values.shape:
            raise ValueError(
                f"{type(self).__name__} reads {self.n_columns} columns and where they are known, got "
                f"{tuple(values.shape)} and {tuple(known.shape)}"
            )
        # Chosen, not multiplied: 0 times NaN would be NaN.
        return torch.where(known, values, torch.zeros_like(values)), known.to(values.dtype)


def masked_softmax(scores: Tensor, there: Tensor) -> Tensor:
    """Softmax over the last axis where ``there``; exactly 0 elsewhere, and everywhere where nothing is."""
    # A finite number: minus infinity in a whole row has no gradient that is a number.
    hidden = scores.masked_fill(~there, torch.finfo(scores.dtype).min)
    return torch.softmax(hidden, dim=-1) * there


class MaskedEncoder(Extractor):
    """Values and mask side by side through one hidden layer.

    Args:
        n_columns: Number of columns.
        hidden: Width of the hidden layer.
        output_dim: Width of the vector.
    """

    def __init__(self, n_columns: int, hidden: int, output_dim: int) -> None:
        super().__init__(n_columns, output_dim)
        self.layers = nn.Sequential(
            nn.Linear(2 * n_columns, hidden), nn.ReLU(), nn.Linear(hidden, output_dim)
        )

    def forward(self, values: Tensor, known: Tensor) -> Extracted:
        """Read some rows; see `Extractor.forward`."""
        return Extracted(self.layers(torch.cat(self.shown(values, known), dim=-1)))
