"""The training loop every network shares."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from crossfade.errors import DataError, TrainingError
from crossfade.progress import Task, task
from crossfade.rng import generator
from crossfade.training.batches import Batches
from crossfade.training.checkpoint import (
    Checkpoint,
    digest,
    load_checkpoint,
    optimiser_state,
    restore_optimiser,
    save_checkpoint,
    snapshot,
)
from crossfade.training.config import TrainConfig
from crossfade.training.device import moved, resolve_device
from crossfade.training.history import History
from crossfade.training.optimiser import lr_factor, make_optimiser, pace_of

M = TypeVar("M", bound=nn.Module)
B = TypeVar("B")


def train(
    model: M,
    batches: Batches[B],
    loss: Callable[[M, B], Tensor],
    config: TrainConfig,
    *,
    seed: int,
    purpose: str,
    validate: Callable[[M], float] | None = None,
    checkpoint: Path | None = None,
    data: str = "",
    begin_epoch: Callable[[int], None] | None = None,
    keep_start: bool = False,
) -> History:
    """Train a model in place; it ends on the CPU, in eval mode, as it was at the best epoch.

    On a CPU everything is float32 and the same arguments give the same weights, bit for
    bit, whether or not the run was killed and resumed in between. On a GPU the loss runs
    under bf16 autocast, validation in float32.

    Randomness: each epoch has streams of its own, derived from ``seed``, ``purpose`` and
    its number, one for the batches and one for PyTorch (dropout knows only PyTorch's
    global generator, which is put back as it was when the run ends). So a checkpoint
    needs no states of generators, and what validation draws disturbs nothing. Two
    threads of one process that train at once would draw from each other's stream.

    Args:
        model: Its weights now are where training starts.
        batches: The training examples; tensors in a batch are moved to the model's device.
        loss: Mean loss of one batch, a scalar tensor.
        config: How to train.
        seed: The run's one seed.
        purpose: Names the random streams and the progress, such as ``"train two_tower"``.
        validate: Value on held-out data, higher is better; called after each epoch in
            eval mode without gradients. Without it nothing stops early and the last
            epoch is kept.
        checkpoint: Directory to save to after each epoch. A checkpoint of the same run
            found there is resumed; of a finished run, its result comes back at once.
        data: What the batches hold, such as a data set's fingerprint: a checkpoint of
            other data is refused.
        begin_epoch: Told the number of each epoch, from 1, before it begins, for losses
            that change over time.
        keep_start: The model stays as it was before training if no epoch is better on
            validation.

    Returns:
        What happened, epoch by epoch.

    Raises:
        DataError: If there is no batch.
        TrainingError: If the loss, a weight or the validation value is not finite.
        ConfigError: If there is no such device, or the checkpoint is of another run.
        BundleError: If the checkpoint is damaged or cannot be written.
    """
    if len(batches) == 0:
        raise DataError(f"{purpose}: no training examples; check the filters on the events")
    device = resolve_device(config.device)
    before = snapshot(model)
    run = {
        **_facts(config, batches, seed, purpose, data),
        "validated": validate is not None,
        "starting_weights": digest(before),
    }
    model.to(device)
    optimiser = make_optimiser(model, config)
    history, best = History(n_examples=batches.n_examples), before
    saved = load_checkpoint(run, checkpoint) if checkpoint is not None else None
    if saved is not None:
        history, best = saved.history, saved.best
        model.load_state_dict(saved.model)
        restore_optimiser(optimiser, saved.optimiser)

    n_left = 0 if history.stopped_early else config.epochs - history.n_epochs
    forked = [device] if device.type == "cuda" else []
    with (
        _repeatable(device),
        torch.random.fork_rng(devices=forked),
        task(purpose, n_left * len(batches)) as running,
    ):
        for epoch in range(history.n_epochs + 1, history.n_epochs + n_left + 1):
            began = time.perf_counter()
            if begin_epoch is not None:
                begin_epoch(epoch)
            _seed_torch(device, seed, f"{purpose}: torch, epoch {epoch}")
            steps = _Epoch(epoch, purpose, config, device, running)
            mean = steps.run(model, batches, loss, optimiser, seed)
            _refuse_broken_weights(model, epoch, purpose, config)
            value = None if validate is None else _validated(model, validate, epoch, purpose)
            history = history.followed_by(mean, value, time.perf_counter() - began)
            stop = history.out_of_patience(config.patience, config.min_delta)
            history = replace(history, stopped_early=stop and epoch < config.epochs)
            now = snapshot(model)
            if history.best_epoch == epoch:
                best = now
            if checkpoint is not None:
                at = Checkpoint(history, now, best, optimiser_state(optimiser))
                save_checkpoint(at, run, checkpoint)
            running.note(_summary(history, config))
            if history.stopped_early:
                break
        if keep_start and validate is not None:
            model.load_state_dict(before)
            if _validated(model, validate, 0, purpose) >= max(history.validation):
                best = before
    model.load_state_dict(best)
    model.to("cpu").eval()
    return history


def _facts(
    config: TrainConfig, batches: Batches[Any], seed: int, purpose: str, data: str
) -> dict[str, Any]:
    """What makes a run the same run; the device does not, so one may go on elsewhere."""
    return {
        **config.model_dump(mode="json", exclude={"device"}),
        "seed": seed,
        "purpose": purpose,
        "data": data,
        "n_batches": len(batches),
        "n_examples": batches.n_examples,
    }


class _Epoch:
    """One pass over the batches."""

    def __init__(
        self, number: int, purpose: str, config: TrainConfig, device: torch.device, running: Task
    ) -> None:
        self._number, self._purpose, self._config = number, purpose, config
        self._device, self._running = device, running

    def run(
        self,
        model: M,
        batches: Batches[B],
        loss: Callable[[M, B], Tensor],
        optimiser: torch.optim.Optimizer,
        seed: int,
    ) -> float:
        """Step after step; gives the mean loss."""
        config, n_batches = self._config, len(batches)
        rng = generator(seed, f"{self._purpose}: batches, epoch {self._number}")
        weights = [weight for group in optimiser.param_groups for weight in group["params"]]
        total, done = 0.0, 0
        model.train()
        for batch in batches.epoch(rng):
            step = (self._number - 1) * n_batches + done
            for group in optimiser.param_groups:
                pace = pace_of(model, group)
                group["lr"] = pace * config.lr * lr_factor(step, config.epochs * n_batches, config)
            optimiser.zero_grad(set_to_none=True)
            with _precision(self._device):
                value = loss(model, moved(batch, self._device))
            total += self._finite(value.item(), done + 1, n_batches)
            value.backward()  # type: ignore[no-untyped-call]
            if config.clip_norm is not None:
                nn.utils.clip_grad_norm_(weights, config.clip_norm)
            optimiser.step()
            done += 1
            self._running.note(f"epoch {self._number} of {config.epochs}, loss {total / done:.4g}")
            self._running.advance()
        if done != n_batches:
            raise ValueError(f"batches promised {n_batches} per epoch and gave {done}")
        return total / done

    def _finite(self, value: float, batch: int, n_batches: int) -> float:
        """The value, if it is a number; checked before a step can spoil the weights."""
        if math.isfinite(value):
            return value
        raise TrainingError(
            f"{self._purpose}: the loss is {value} in epoch {self._number}, batch {batch} of {n_batches}; "
            f"{_mend(self._config)}"
        )


def _mend(config: TrainConfig) -> str:
    clip = (
        "set clip_norm" if config.clip_norm is None else f"lower clip_norm ({config.clip_norm:g})"
    )
    return f"lower lr ({config.lr:g}), {clip}, or look for NaN and infinity in the inputs"


@contextmanager
def _repeatable(device: torch.device) -> Iterator[None]:
    """Sums over several cores in one order on a CPU; otherwise two runs part in the last bit, and soon beyond."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(before or device.type == "cpu")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def _precision(device: torch.device) -> AbstractContextManager[Any]:
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def _seed_torch(device: torch.device, seed: int, purpose: str) -> None:
    """Seed the global generators that dropout draws from; the caller has forked them."""
    number = int(generator(seed, purpose).integers(2**63))
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index].manual_seed(number)


def _refuse_broken_weights(model: nn.Module, epoch: int, purpose: str, config: TrainConfig) -> None:
    broken = [name for name, w in model.named_parameters() if not bool(w.isfinite().all())]
    if broken:
        raise TrainingError(
            f"{purpose}: {broken[0]} holds numbers that are not finite after epoch {epoch}; {_mend(config)}"
        )


def _validated(model: M, validate: Callable[[M], float], epoch: int, purpose: str) -> float:
    model.eval()
    with torch.no_grad():
        value = float(validate(model))
    if not math.isfinite(value):
        raise TrainingError(
            f"{purpose}: the validation value is {value} after epoch {epoch}; "
            "check that the held-out data has something to rank"
        )
    return value


def _summary(history: History, config: TrainConfig) -> str:
    text = f"epoch {history.n_epochs} of {config.epochs}, loss {history.loss[-1]:.4g}"
    if history.validation:
        best = history.validation[history.best_epoch - 1]
        text += f", validation {history.validation[-1]:.4g} (best {best:.4g})"
    return text
