import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.problem import (
    CPU,
    ROWS,
    KilledError,
    N,
    Network,
    Recorder,
    killed_in_epoch,
    minus_error,
    run,
    same,
    scripted,
    squared,
    weights,
)
from torch import Tensor, nn

from crossfade.errors import BundleError, ConfigError
from crossfade.progress import reporting_to
from crossfade.training.config import TrainConfig
from crossfade.training.loop import train
from crossfade.types import Ints

FULL = TrainConfig(
    epochs=6, lr=0.05, device="cpu", schedule="cosine", warmup_share=0.2, clip_norm=1.0, patience=0
)


@pytest.mark.parametrize("validate", [None, minus_error])
def test_a_killed_run_ends_as_if_nothing_had_happened(
    tmp_path: Path, validate: Callable[[nn.Module], float] | None
) -> None:
    whole = Network()
    wanted = run(whole, FULL, validate=validate)

    place = tmp_path / "checkpoint"
    arguments: dict[str, Any] = {"seed": 7, "purpose": "train test", "validate": validate}
    with pytest.raises(KilledError):
        train(Network(), ROWS, killed_in_epoch(3), FULL, checkpoint=place, **arguments)
    n_calls = 0

    def counting(model: nn.Module, rows: Ints) -> Tensor:
        nonlocal n_calls
        n_calls += 1
        return squared(model, rows)

    resumed = Network()
    found = train(resumed, ROWS, counting, FULL, checkpoint=place, **arguments)
    assert n_calls == 4 * len(ROWS)  # epochs 3 to 6
    assert same(weights(resumed), weights(whole))
    assert found.loss == wanted.loss
    assert found.validation == wanted.validation


def test_the_best_epoch_survives_a_kill(tmp_path: Path) -> None:
    validate, seen = scripted([0.1, 0.9, 0.2])
    with pytest.raises(KilledError):
        train(Network(), ROWS, killed_in_epoch(4), FULL, seed=7, purpose="x",
              validate=validate, checkpoint=tmp_path / "c")  # fmt: skip
    later, _ = scripted([0.3, 0.4, 0.5])
    model = Network()
    history = run(model, FULL, purpose="x", validate=later, checkpoint=tmp_path / "c")
    assert history.validation == (0.1, 0.9, 0.2, 0.3, 0.4, 0.5)
    assert same(weights(model), seen[1])


def test_a_finished_run_gives_its_result_at_once(tmp_path: Path) -> None:
    validate, _ = scripted([0.5, 0.4, 0.3])
    config = FULL.changed(patience=2)
    first, again = Network(), Network()
    history = run(first, config, validate=validate, checkpoint=tmp_path)

    def never(model: nn.Module) -> float:
        raise AssertionError

    assert run(again, config, validate=never, checkpoint=tmp_path) == history
    assert history.stopped_early
    assert same(weights(first), weights(again))


def test_a_checkpoint_of_another_run_is_refused_with_what_differs(tmp_path: Path) -> None:
    run(Network(), data="monday", checkpoint=tmp_path)
    other = Network()
    with torch.no_grad():
        other.temperature.add_(1)
    with pytest.raises(ConfigError) as caught:
        run(other, CPU.changed(lr=0.5), data="tuesday", checkpoint=tmp_path)
    for words in ("lr 0.05 there, 0.5 now", "data monday there", "starting_weights", "delete it"):
        assert words in str(caught.value)


def test_a_damaged_checkpoint_says_how_to_go_on(tmp_path: Path) -> None:
    run(Network(), checkpoint=tmp_path)
    (part,) = tmp_path.glob("parts-*/model.safetensors")
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(BundleError, match="train from the start"):
        run(Network(), checkpoint=tmp_path)


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(BundleError, match=r"thesis\.txt"):
        run(Network(), checkpoint=tmp_path)


# -- telling ---------------------------------------------------------------------------


def test_progress_counts_batches_and_tells_loss_and_validation() -> None:
    recorder = Recorder()
    validate, _ = scripted([0.25, 0.125])
    with reporting_to(recorder):
        history = run(Network(), CPU.changed(epochs=2), validate=validate)
    assert recorder.total == recorder.steps == 6
    assert recorder.notes[-2] == f"epoch 2 of 2, loss {history.loss[1]:.4g}"
    assert recorder.notes[-1] == (
        f"epoch 2 of 2, loss {history.loss[1]:.4g}, validation 0.125 (best 0.25)"
    )


def test_a_resumed_run_counts_what_is_left(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(Network(), ROWS, killed_in_epoch(3), CPU, seed=7, purpose="train test",
              checkpoint=tmp_path)  # fmt: skip
    recorder = Recorder()
    with reporting_to(recorder):
        run(Network(), checkpoint=tmp_path)
    assert recorder.total == recorder.steps == 3 * 3


def test_each_epoch_is_announced_also_after_a_kill(tmp_path: Path) -> None:
    told: list[int] = []
    with pytest.raises(KilledError):
        train(Network(), ROWS, killed_in_epoch(2), CPU, seed=7, purpose="train test",
              checkpoint=tmp_path, begin_epoch=told.append)  # fmt: skip
    run(Network(), checkpoint=tmp_path, begin_epoch=told.append)
    assert told == [1, 2, 2, 3, 4, 5]


def test_a_history_is_plain_json() -> None:
    history = run(Network(), CPU.changed(epochs=2))
    told = json.loads(json.dumps(history.to_json(), allow_nan=False))
    assert told["n_examples"] == N
    assert told["best_epoch"] == 2
    assert told["examples_per_s"] == [N / s for s in told["seconds"]]
