"""Where the arithmetic happens."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from crossfade.errors import ConfigError
from crossfade.training.config import DeviceName

B = TypeVar("B")


def resolve_device(name: DeviceName) -> torch.device:
    """The device a name stands for.

    Args:
        name: ``"cpu"``, ``"cuda"``, or ``"auto"`` for a GPU where there is one.

    Raises:
        ConfigError: For ``"cuda"`` where PyTorch finds no GPU, and for any other name.
    """
    if name not in {"auto", "cpu", "cuda"}:
        raise ConfigError(f"device must be auto, cpu or cuda, got {name!r}")
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise ConfigError(
            'device "cuda" was asked for, but PyTorch finds no GPU here; '
            'use device = "auto" or "cpu", or install a PyTorch build for your GPU'
        )
    if name == "cpu" or not has_gpu:
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def device_of(model: nn.Module) -> torch.device:
    """Where a model's weights are."""
    return next(model.parameters()).device


def moved(batch: B, device: torch.device) -> B:
    """A batch with every tensor in it on ``device``.

    Goes into tuples, lists, mappings and dataclasses; anything else stays as it is.
    """
    if device.type == "cpu":  # batches are made there
        return batch
    return cast("B", _moved(batch, device))


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_moved(part, device) for part in value))
    if isinstance(value, list | tuple):
        return type(value)(_moved(part, device) for part in value)
    if isinstance(value, Mapping):
        return {name: _moved(part, device) for name, part in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
        return replace(value, **{name: _moved(part, device) for name, part in parts.items()})
    return value


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on a single core while it lasts.

    Small networks gain little from a second core, and where other work shares the cores they lose
    ten times over: each of thousands of small steps then waits for a thread that is not running.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
