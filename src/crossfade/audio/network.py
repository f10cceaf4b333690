"""The network: from words, labels and numbers to a mean and a spread per feature."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from crossfade.audio.config import AudioConfig
from crossfade.audio.creators import N_CREATOR_NUMBERS
from crossfade.audio.inputs import N_NUMBERS
from crossfade.data.schema import AUDIO_FEATURES
from crossfade.rng import generator
from crossfade.training.batches import ShuffledRows
from crossfade.training.loop import train
from crossfade.types import Arrays, Csr, Doubles, Floats, Ints

LOG_SIGMA_RANGE = (-4.0, 2.0)
"""In standardised units: no feature is guessed to 2 % of its spread, none is 7 times as wide."""
_SPREAD_WIDTH = 32
_PREDICT_ROWS = 8_192


@dataclass(frozen=True)
class Batch:
    """Some items.

    Attributes:
        token: Tokens of all items, one after the other, int64.
        start: Where each item's tokens begin, shape ``(batch,)``.
        numbers: Shape ``(batch, N_NUMBERS)``.
        creator: Shape ``(batch, N_CREATOR_NUMBERS)``.
        target: Standardised features, shape ``(batch, 8)``; NaN where unknown.
    """

    token: Tensor
    start: Tensor
    numbers: Tensor
    creator: Tensor
    target: Tensor


@dataclass(frozen=True)
class Table:
    """Many items as plain arrays; see `Batch`."""

    tokens: Csr
    numbers: Floats
    creator: Floats
    target: Floats

    def batch(self, rows: Ints) -> Batch:
        """The items of some rows, in the given order."""
        part = Csr(self.tokens[rows])
        return Batch(
            torch.from_numpy(part.indices.astype(np.int64)),
            torch.from_numpy(part.indptr[:-1].astype(np.int64)),
            torch.from_numpy(self.numbers[rows]),
            torch.from_numpy(self.creator[rows]),
            torch.from_numpy(self.target[rows]),
        )


class AudioNetwork(nn.Module):
    """One trunk for all features, with a head for the means and one for the spreads."""

    def __init__(self, n_tokens: int, config: AudioConfig, rng: np.random.Generator) -> None:
        super().__init__()
        width, n_features = config.hidden, len(AUDIO_FEATURES)
        self.token_dropout, self.creator_dropout = config.token_dropout, config.creator_dropout
        # One row more: an embedding bag of width zero cannot be made.
        self.words = nn.EmbeddingBag(n_tokens + 1, width, mode="sum")
        self.numbers = nn.Linear(N_NUMBERS + N_CREATOR_NUMBERS, width)
        self.first_norm, self.middle_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.middle = nn.Linear(width, width)
        self.last = nn.Linear(width, max(width // 2, 1))
        self.mean = nn.Linear(max(width // 2, 1), n_features)
        # What makes a feature hard to guess need not be what moves it, so the spread reads for itself.
        self.spread_words = nn.EmbeddingBag(n_tokens + 1, _SPREAD_WIDTH, mode="sum")
        self.spread_numbers = nn.Linear(N_NUMBERS + N_CREATOR_NUMBERS, _SPREAD_WIDTH)
        self.spread_norm = nn.LayerNorm(_SPREAD_WIDTH)
        self.log_sigma = nn.Linear(max(width // 2, 1) + _SPREAD_WIDTH, n_features)
        self.dropout = nn.Dropout(config.dropout)
        _initialise(self, rng)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean and log spread of each feature, standardised, both ``(batch, 8)``."""
        creator = batch.creator
        shown = torch.ones(len(batch.token), device=creator.device)
        if self.training:
            shown = functional.dropout(shown, self.token_dropout)
            draw = torch.rand(len(creator), 1, device=creator.device)
            creator = creator * (draw >= self.creator_dropout)
        hidden = self.words(batch.token, batch.start, per_sample_weights=shown)
        numbers = torch.cat([batch.numbers, creator], dim=1)
        hidden = hidden + self.numbers(numbers)
        hidden = self.dropout(torch.relu(self.first_norm(hidden)))  # (batch, width)
        hidden = self.dropout(hidden + torch.relu(self.middle_norm(self.middle(hidden))))
        hidden = self.dropout(torch.relu(self.last(hidden)))  # (batch, width / 2)
        spread = self.spread_words(batch.token, batch.start, per_sample_weights=shown)
        spread = torch.relu(self.spread_norm(spread + self.spread_numbers(numbers)))
        # Detached: what explains the spread must not cost the mean anything.
        both = torch.cat([hidden.detach(), self.dropout(spread)], dim=1)
        return self.mean(hidden), self.log_sigma(both).clamp(*LOG_SIGMA_RANGE)


def faithful_loss(mean: Tensor, log_sigma: Tensor, target: Tensor) -> Tensor:
    """Squared error for the mean plus Gaussian likelihood for the spread around that mean.

    Averaged over the known targets; 0 where none is known.

    Args:
        mean: Shape ``(batch, 8)``.
        log_sigma: Same shape.
        target: Same shape; NaN where unknown.

    Source:
        Stirn et al. (2023), "Faithful Heteroscedastic Regression with Neural Networks".
    """
    known = ~torch.isnan(target)
    squared = torch.where(known, mean - target.nan_to_num(), 0.0).square()
    likelihood = log_sigma + 0.5 * squared.detach() * torch.exp(-2 * log_sigma)
    return torch.where(known, squared + likelihood, 0.0).sum() / known.sum().clamp(min=1)


class _Batches:
    def __init__(self, table: Table, rows: Ints, size: int) -> None:
        self._table, self._rows = table, rows
        self._shuffled = ShuffledRows(len(rows), size)
        self.n_examples = len(rows)

    def __len__(self) -> int:
        return len(self._shuffled)

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        for places in self._shuffled.epoch(rng):
            yield self._table.batch(self._rows[places])


def train_network(
    table: Table, rows: Ints, config: AudioConfig, seed: int, name: str
) -> AudioNetwork:
    """A network that has seen the given rows.

    Args:
        table: All items.
        rows: The ones to learn from, 1 or more.
        config: Width, dropout and how to train.
        seed: The run's one seed.
        name: Names the random streams and the progress.
    """
    # A small catalogue in large batches would be over after a handful of steps.
    size = min(config.batch_size, max(32, len(rows) // 48))
    batches = _Batches(table, rows, size)
    epochs = max(config.train.epochs, math.ceil(config.min_examples / len(rows)))
    network = AudioNetwork(table.tokens.shape[1], config, generator(seed, f"{name}: init"))

    def loss(model: AudioNetwork, batch: Batch) -> Tensor:
        mean, log_sigma = model(batch)
        return faithful_loss(mean, log_sigma, batch.target)

    train(
        network,
        batches,
        loss,
        config.train.changed(epochs=epochs),
        seed=seed,
        purpose=name,
    )
    return network


def predict(network: AudioNetwork, table: Table, rows: Ints) -> tuple[Doubles, Doubles]:
    """Mean and spread of some rows, standardised, both ``(n, 8)``."""
    network.eval()
    means, sigmas = [np.zeros((0, 8))], [np.zeros((0, 8))]
    with torch.no_grad():
        for start in range(0, len(rows), _PREDICT_ROWS):
            mean, log_sigma = network(table.batch(rows[start : start + _PREDICT_ROWS]))
            means.append(mean.double().numpy())
            sigmas.append(log_sigma.double().exp().numpy())
    return np.concatenate(means), np.concatenate(sigmas)


def to_arrays(network: AudioNetwork) -> Arrays:
    """Weights as plain arrays."""
    return {name: weight.detach().numpy() for name, weight in network.state_dict().items()}


def from_arrays(arrays: Arrays, config: AudioConfig) -> AudioNetwork:
    """The inverse of `to_arrays`."""
    n_tokens = arrays["words.weight"].shape[0] - 1
    network = AudioNetwork(n_tokens, config, np.random.default_rng(0))
    network.load_state_dict({name: torch.from_numpy(weight) for name, weight in arrays.items()})
    return network.eval()


def _initialise(network: nn.Module, rng: np.random.Generator) -> None:
    """Starting weights from a generator of our own, never from PyTorch's."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.EmbeddingBag):
                module.weight.copy_(_normal(rng, module.weight.shape, 0.05))
            elif isinstance(module, nn.Linear):
                module.weight.copy_(_normal(rng, module.weight.shape, module.in_features**-0.5))
                module.bias.zero_()


def _normal(rng: np.random.Generator, shape: torch.Size, scale: float) -> Tensor:
    return torch.from_numpy(rng.normal(0.0, scale, tuple(shape)).astype(np.float32))
