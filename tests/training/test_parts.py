"""Devices, batches, settings and the history of a run."""

import subprocess
import sys
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from crossfade.errors import ConfigError
from crossfade.training.batches import ShuffledRows
from crossfade.training.config import TrainConfig
from crossfade.training.device import device_of, moved, resolve_device
from crossfade.training.history import History

# -- devices ---------------------------------------------------------------------------


def test_without_a_gpu_auto_is_the_cpu_and_cuda_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == resolve_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match='finds no GPU here; use device = "auto" or "cpu"'):
        resolve_device("cuda")


def test_with_a_gpu_auto_takes_it_and_cpu_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert resolve_device("auto") == resolve_device("cuda") == torch.device("cuda", 1)
    assert resolve_device("cpu") == torch.device("cpu")


def test_an_unknown_device_is_named() -> None:
    wrong: Any = "tpu"
    with pytest.raises(ConfigError, match="auto, cpu or cuda, got 'tpu'"):
        resolve_device(wrong)


class Pair(NamedTuple):
    left: Tensor
    right: int


@dataclass(frozen=True)
class Whole:
    pair: Pair
    parts: list[Tensor]
    by_name: dict[str, Tensor]
    rows: Tensor
    label: str


def whole() -> Whole:
    one = torch.ones(2)
    return Whole(Pair(one, 3), [one, one], {"a": one}, one, "x")


def test_every_tensor_of_a_batch_moves_and_the_rest_stays() -> None:
    batch = moved(whole(), torch.device("meta"))
    tensors = [batch.pair.left, *batch.parts, batch.by_name["a"], batch.rows]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert (batch.pair.right, batch.label) == (3, "x")
    assert isinstance(batch.pair, Pair)


def test_on_the_cpu_a_batch_is_left_alone() -> None:
    batch = whole()
    assert moved(batch, torch.device("cpu")) is batch


def test_a_model_is_where_its_weights_are() -> None:
    assert device_of(nn.Linear(1, 1, device="meta")) == torch.device("meta")


# -- batches ---------------------------------------------------------------------------


@given(st.integers(0, 50), st.integers(1, 20), st.integers(0, 5))
def test_each_row_comes_once_per_epoch(n: int, batch_size: int, seed: int) -> None:
    batches = ShuffledRows(n, batch_size)
    given = list(batches.epoch(np.random.default_rng(seed)))
    assert len(given) == len(batches)
    assert all(len(rows) == batch_size for rows in given[:-1])
    assert sorted(np.concatenate([*given, []]).tolist()) == list(range(n))


def test_the_generator_decides_the_order() -> None:
    batches = ShuffledRows(30, 30)
    one, two, three = (next(batches.epoch(np.random.default_rng(seed))) for seed in (1, 1, 2))
    assert one.tolist() == two.tolist() != three.tolist()


@pytest.mark.parametrize(("n", "batch_size"), [(-1, 3), (3, 0)])
def test_impossible_batches_are_refused(n: int, batch_size: int) -> None:
    with pytest.raises(ValueError, match=f"got {n} and {batch_size}"):
        ShuffledRows(n, batch_size)


# -- history ---------------------------------------------------------------------------


def history(*validation: float) -> History:
    return History(loss=(1.0,) * len(validation), validation=validation)


def test_of_equal_epochs_the_first_is_best() -> None:
    assert history(0.1, 0.5, 0.5).best_epoch == 2


@pytest.mark.parametrize(
    ("validation", "patience", "min_delta", "expected"),
    [
        ((0.5,), 1, 0.0, False),  # the first epoch is a gain
        ((0.5, 0.5), 1, 0.0, True),  # no more is no gain
        ((0.5, 0.4, 0.6, 0.5), 2, 0.0, False),  # a gain starts the count again
        ((0.5, 0.4, 0.6, 0.5, 0.6), 2, 0.0, True),
        ((0.50, 0.55), 1, 0.1, True),  # too small a gain
        ((0.50, 0.55, 0.65), 2, 0.1, False),  # small ones add up
        ((0.5, 0.4, 0.3), 0, 0.0, False),  # endless patience
        ((), 1, 0.0, False),
    ],
)
def test_patience_by_hand(
    validation: tuple[float, ...], patience: int, min_delta: float, *, expected: bool
) -> None:
    assert history(*validation).out_of_patience(patience, min_delta) is expected


def test_too_small_a_gain_is_kept_all_the_same() -> None:
    assert history(0.50, 0.55).best_epoch == 2


# -- settings --------------------------------------------------------------------------


def test_wrong_settings_are_all_named() -> None:
    with pytest.raises(ConfigError) as caught:
        TrainConfig(epochs=0, lr=-1, clip_norm=0, warmup_share=1, patience=-1, device="tpu")
    for name in ("epochs", "lr", "clip_norm", "warmup_share", "patience", "device"):
        assert name in str(caught.value)


def test_the_settings_load_no_torch() -> None:
    code = "import sys, crossfade.training.config, crossfade.training.history; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
