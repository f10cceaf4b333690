"""A training run on disk after each epoch, so that a killed one can go on."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from crossfade.errors import BundleError, ConfigError
from crossfade.files import MANIFEST, publish, read_published, refuse_foreign, unwrapped
from crossfade.training.history import History

SCHEMA = 1
KIND = "checkpoint"

State = dict[str, Tensor]
"""Named tensors on the CPU that share memory with nothing."""


@dataclass(frozen=True)
class Checkpoint:
    """A run at the end of an epoch.

    Attributes:
        history: What happened so far.
        model: Weights and buffers now.
        best: Weights and buffers at the best epoch.
        optimiser: As `optimiser_state` gives it.
    """

    history: History
    model: State
    best: State
    optimiser: State


def snapshot(model: nn.Module) -> State:
    """A model's weights and buffers as they are now."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def digest(state: State) -> str:
    """Hex SHA-256 of names and values."""
    seen = hashlib.sha256()
    for name, value in sorted(state.items()):
        seen.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        seen.update(value.contiguous().flatten().view(torch.uint8).numpy().data)
    return seen.hexdigest()


def optimiser_state(optimiser: torch.optim.Optimizer) -> State:
    """Moments and step counts, named ``<parameter number>.<name>``."""
    return {
        f"{number}.{name}": value.detach().cpu().clone()
        for number, values in optimiser.state_dict()["state"].items()
        for name, value in values.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, state: State) -> None:
    """The inverse of `optimiser_state`."""
    per_parameter: dict[int, State] = {}
    for key, value in state.items():
        number, name = key.split(".", 1)
        per_parameter.setdefault(int(number), {})[name] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": per_parameter, "param_groups": groups})


def save_checkpoint(checkpoint: Checkpoint, run: dict[str, Any], directory: Path) -> None:
    """Write a checkpoint in the place of the one before.

    Args:
        checkpoint: What to write.
        run: JSON-ready facts that make a run what it is.
        directory: Readers see the old or the new checkpoint, never a mixture.

    Raises:
        BundleError: If the directory holds something else or the disk refuses.
    """
    history = checkpoint.history
    states = {"model": checkpoint.model, "optimiser": checkpoint.optimiser}
    if history.best_epoch != history.n_epochs:
        states["best"] = checkpoint.best

    def write(parts: Path) -> None:
        for name, state in states.items():
            part = parts / f"{name}.safetensors"
            try:
                save_file(state, part)
            except SafetensorError as error:
                raise unwrapped(error, part) from error

    header = {"run": run, "history": history.to_json()}
    publish(directory, KIND, SCHEMA, header, write)


def load_checkpoint(run: dict[str, Any], directory: Path) -> Checkpoint | None:
    """The checkpoint of this run, or None where there is none yet.

    Args:
        run: As it was given to `save_checkpoint`.
        directory: Where it would be.

    Raises:
        BundleError: If it is damaged, or the directory holds something else.
        ConfigError: If it belongs to another run; names everything that differs.
    """
    refuse_foreign(directory, KIND)
    if not (directory / MANIFEST).exists():
        return None

    def read(manifest: dict[str, Any], parts: Path) -> Checkpoint:
        try:
            _refuse_other_run(run, manifest["run"], directory)
            told = manifest["history"]
            history = History(
                loss=tuple(told["loss"]),
                validation=tuple(told["validation"]),
                seconds=tuple(told["seconds"]),
                n_examples=told["n_examples"],
                stopped_early=told["stopped_early"],
            )
            model, optimiser = (
                load_file(parts / f"{name}.safetensors") for name in ("model", "optimiser")
            )
            is_best = history.best_epoch == history.n_epochs
            best = model if is_best else load_file(parts / "best.safetensors")
        except (KeyError, TypeError, OSError, SafetensorError) as error:
            raise BundleError(f"{directory}: damaged checkpoint ({error})") from None
        return Checkpoint(history, model, best, optimiser)

    try:
        return read_published(directory, KIND, SCHEMA, read)
    except BundleError as error:
        raise BundleError(f"{error}; or delete {directory} to train from the start") from None


def _refuse_other_run(run: dict[str, Any], saved: dict[str, Any], directory: Path) -> None:
    names = [name for name in sorted(run.keys() | saved.keys()) if run.get(name) != saved.get(name)]
    if names:
        found = ", ".join(f"{name} {saved.get(name)} there, {run.get(name)} now" for name in names)
        raise ConfigError(
            f"{directory}: checkpoint of another run ({found}); "
            "delete it to train from the start, or choose another directory"
        )
