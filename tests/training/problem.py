"""A problem whose answer is known, for networks with everything that has a state: forty numbers to learn."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from crossfade.training.batches import ShuffledRows
from crossfade.training.config import TrainConfig
from crossfade.training.history import History
from crossfade.training.loop import train
from crossfade.types import Ints

N = 40
CPU = TrainConfig(epochs=5, lr=0.05, device="cpu")
ROWS = ShuffledRows(N, batch_size=16)


class Network(nn.Module):
    """An embedding, a hidden layer with dropout, a norm with running statistics, a temperature."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(5)
            self.names = nn.Embedding(N, 4)
            self.hidden = nn.Linear(4, 8)
            self.norm = nn.BatchNorm1d(8)
            self.drop = nn.Dropout(0.3)
            self.last = nn.Linear(8, 1)
            self.temperature = nn.Parameter(torch.tensor(0.5))

    def forward(self, rows: Tensor) -> Tensor:
        hidden = self.drop(torch.relu(self.norm(self.hidden(self.names(rows)))))
        out: Tensor = self.last(hidden)[:, 0] * self.temperature
        return out


WANTED = torch.sin(torch.arange(N, dtype=torch.float32))


def squared(model: nn.Module, rows: Ints) -> Tensor:
    at = torch.from_numpy(rows).to(next(model.parameters()).device)
    error: Tensor = model(at) - WANTED.to(at.device)[at]
    return error.square().mean()


def minus_error(model: nn.Module) -> float:
    everything = torch.arange(N)
    return -float((model(everything) - WANTED).square().mean())


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def run(model: nn.Module, config: TrainConfig = CPU, **more: Any) -> History:
    return train(model, ROWS, squared, config, **{"seed": 7, "purpose": "train test", **more})


def scripted(values: list[float]) -> tuple[Callable[[nn.Module], float], list[dict[str, Tensor]]]:
    """A validation that gives the values in turn and keeps the weights it saw."""
    left, seen = iter(values), []

    def validate(model: nn.Module) -> float:
        seen.append(weights(model))
        return next(left)

    return validate, seen


class KilledError(Exception):
    """Stands for the end of the process."""


def killed_in_epoch(number: int) -> Callable[[nn.Module, Ints], Tensor]:
    calls = 0

    def loss(model: nn.Module, rows: Ints) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == (number - 1) * len(ROWS) + 2:
            raise KilledError
        return squared(model, rows)

    return loss


class Recorder:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.steps = 0
        self.notes: list[str] = []

    def start(self, task: str, total: int | None) -> None:
        assert task == "train test"
        self.total = total

    def advance(self, task: str, steps: int) -> None:
        self.steps += steps

    def note(self, task: str, text: str) -> None:
        self.notes.append(text)

    def finish(self, task: str) -> None:
        pass
