"""What the towers are put together from; like them it needs PyTorch and is imported late."""

from itertools import pairwise

import torch
from torch import nn

QUIET = 0.1
"""Layers beside a shorter way begin at this share of their usual size: first comes similarity of content."""


def stacked(widths: tuple[int, ...], dropout: tuple[float, ...]) -> nn.Sequential:
    """Linear layers with ReLU and dropout between them; the last one is linear alone."""
    layers: list[nn.Module] = []
    for place, (n_in, n_out) in enumerate(pairwise(widths)):
        layers.append(nn.Linear(n_in, n_out))
        if place < len(dropout):
            layers += [nn.ReLU(), nn.Dropout(dropout[place])]
    return nn.Sequential(*layers)


def quieten(*layers: nn.Module) -> None:
    """Make a layer's output small, yet not 0: the direction of a vector of zeros cannot be learned."""
    with torch.no_grad():
        for layer in layers:
            for weight in layer.parameters():
                weight.mul_(QUIET)


def label_bag(n_labels: int, width: int) -> nn.EmbeddingBag:
    """Means of label embeddings; the row after the last is padding and counts for nothing."""
    bag = nn.EmbeddingBag(n_labels + 1, width, mode="mean", padding_idx=n_labels)
    nn.init.normal_(bag.weight, std=0.25)
    with torch.no_grad():
        bag.weight[n_labels] = 0.0
    return bag


def weighted_bag(n_labels: int, width: int) -> nn.EmbeddingBag:
    """Weighted sums of label embeddings."""
    bag = nn.EmbeddingBag(n_labels, width, mode="sum")
    nn.init.normal_(bag.weight, std=0.25)
    return bag


def table(n_rows: int, width: int, deviation: float, *, padded: bool = True) -> nn.Embedding:
    """Embeddings; with padding row 0 is zeros, which stands for unknown, and stays so."""
    table = nn.Embedding(n_rows, width, padding_idx=0 if padded else None)
    nn.init.normal_(table.weight, std=deviation)
    if padded:
        with torch.no_grad():
            table.weight[0] = 0.0
    return table
