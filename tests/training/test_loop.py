from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.problem import (
    CPU,
    ROWS,
    WANTED,
    N,
    Network,
    minus_error,
    run,
    same,
    scripted,
    squared,
    weights,
)
from torch import Tensor, nn

from crossfade.errors import DataError, TrainingError
from crossfade.training.batches import ShuffledRows
from crossfade.training.config import TrainConfig
from crossfade.training.loop import train
from crossfade.types import Ints

# -- learning --------------------------------------------------------------------------


def test_training_lowers_the_loss() -> None:
    history = run(Network(), CPU.changed(epochs=30))
    assert history.n_epochs == 30
    assert history.loss[-1] < 0.5 * history.loss[0]


def test_one_weight_follows_adamw_by_hand() -> None:
    # The gradient of 3 w is 3. AdamW's first step moves by lr against its sign (up to eps)
    # after taking lr * weight_decay of the weight off: 2 - 0.1 * 0.5 * 2 - 0.1 = 1.8.
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1, 1)
            nn.init.constant_(self.layer.weight, 2.0)
            nn.init.constant_(self.layer.bias, 2.0)

    model = Plain()
    config = TrainConfig(epochs=1, lr=0.1, weight_decay=0.5, device="cpu")
    train(
        model,
        ShuffledRows(1, 1),
        lambda m, _: 3 * (m.layer.weight + m.layer.bias).sum(),
        config,
        seed=0,
        purpose="by hand",
    )
    assert model.layer.weight.item() == pytest.approx(1.8, abs=1e-6)
    assert model.layer.bias.item() == pytest.approx(1.9, abs=1e-6)  # no decay


def test_a_part_with_a_pace_moves_by_that_much_less() -> None:
    # The first step of AdamW is one step size long: 0.1, and a quarter of it.
    class Slow(nn.Linear):
        def pace(self) -> float:
            return 0.25

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.plain, self.slow = nn.Linear(1, 1), Slow(1, 1)
            nn.init.constant_(self.plain.weight, 2.0)
            nn.init.constant_(self.slow.weight, 2.0)

    model = Both()
    train(
        model,
        ShuffledRows(1, 1),
        lambda m, _: 3 * (m.plain.weight + m.slow.weight).sum(),
        TrainConfig(epochs=1, lr=0.1, weight_decay=0.0, device="cpu"),
        seed=0,
        purpose="by hand",
    )
    assert model.plain.weight.item() == pytest.approx(1.9, abs=1e-6)
    assert model.slow.weight.item() == pytest.approx(1.975, abs=1e-6)


def test_the_loss_of_an_epoch_is_the_mean_of_its_batches() -> None:
    told = iter([1.0, 2.0, 6.0])

    def scripted(model: nn.Module, rows: Ints) -> Tensor:
        return squared(model, rows) * 0 + next(told)

    history = train(Network(), ROWS, scripted, CPU.changed(epochs=1), seed=0, purpose="train test")
    assert history.loss == (3.0,)


def test_dropout_is_on_in_training_and_off_in_validation_and_afterwards() -> None:
    modes = []

    def loss(model: nn.Module, rows: Ints) -> Tensor:
        modes.append(model.training)
        return squared(model, rows)

    def validate(model: nn.Module) -> float:
        modes.append(model.training)
        assert not torch.is_grad_enabled()
        return 0.0

    model = Network()
    train(model, ROWS, loss, CPU.changed(epochs=2), seed=0, purpose="x", validate=validate)
    assert modes == [True, True, True, False] * 2
    assert not model.training


def test_the_step_size_follows_the_whole_run_not_each_epoch() -> None:
    # Under a gradient that never changes AdamW moves by lr x factor at each step. Half a
    # cosine over two epochs of one batch: 1 and 0.5.
    model = nn.Linear(1, 1, bias=False)
    start = model.weight.item()
    config = TrainConfig(epochs=2, lr=0.1, weight_decay=0, schedule="cosine", device="cpu")
    train(model, ShuffledRows(1, 1), lambda m, _: m.weight.sum(), config, seed=0, purpose="x")
    assert start - model.weight.item() == pytest.approx(0.15, abs=1e-5)


def test_a_long_gradient_is_clipped() -> None:
    model = nn.Linear(1, 1, bias=False)
    for clip in (None, 3.0):
        config = TrainConfig(epochs=1, clip_norm=clip, device="cpu")
        train(
            model, ShuffledRows(1, 1), lambda m, _: 30 * m.weight.sum(), config, seed=0, purpose="x"
        )
        assert model.weight.grad is not None
        assert model.weight.grad.item() == pytest.approx(30 if clip is None else 3, rel=1e-5)


# -- randomness ------------------------------------------------------------------------


def test_equal_seeds_give_equal_weights_and_others_do_not() -> None:
    one, two, three = Network(), Network(), Network()
    run(one)
    torch.rand(3)  # the world's generator moves on in between
    run(two)
    run(three, seed=8)
    assert same(weights(one), weights(two))
    assert not same(weights(one), weights(three))


def test_each_epoch_draws_batches_and_dropout_of_its_own() -> None:
    orders, drawn = [], []

    def loss(model: nn.Module, rows: Ints) -> Tensor:
        orders.append(tuple(rows.tolist()))
        drawn.append(float(torch.rand(1)))
        return squared(model, rows)

    train(Network(), ShuffledRows(N, N), loss, CPU, seed=0, purpose="x")
    assert len(set(orders)) == len(set(drawn)) == 5


def test_the_worlds_generators_are_left_as_they_were() -> None:
    before = torch.get_rng_state()
    run(Network())
    assert torch.equal(torch.get_rng_state(), before)


def test_validation_may_draw_what_it_likes() -> None:
    def curious(model: nn.Module) -> float:
        torch.rand(7)
        return minus_error(model)

    one, two = Network(), Network()
    run(one, validate=minus_error)
    run(two, validate=curious)
    assert same(weights(one), weights(two))


# -- early stopping --------------------------------------------------------------------


def test_the_best_epoch_is_kept_and_patience_ends_the_run() -> None:
    validate, seen = scripted([0.1, 0.4, 0.3, 0.2, 0.9])
    model = Network()
    history = run(model, CPU.changed(epochs=9, patience=2), validate=validate)
    assert history.validation == (0.1, 0.4, 0.3, 0.2)
    assert history.best_epoch == 2
    assert history.stopped_early
    assert same(weights(model), seen[1])
    assert not same(weights(model), seen[3])


def test_patience_0_never_stops() -> None:
    validate, seen = scripted([0.5, 0.4, 0.3, 0.2])
    model = Network()
    history = run(model, CPU.changed(epochs=4, patience=0), validate=validate)
    assert history.n_epochs == 4
    assert not history.stopped_early
    assert same(weights(model), seen[0])


@pytest.mark.parametrize(("at_start", "kept"), [(0.5, "start"), (0.4, "start"), (0.3, "best")])
def test_the_start_is_kept_on_demand_where_no_epoch_is_better(at_start: float, kept: str) -> None:
    model = Network()
    start = weights(model)
    # The start is judged after the epochs.
    validate, seen = scripted([0.1, 0.4, 0.2, at_start])
    run(model, CPU.changed(epochs=3, patience=0), validate=validate, keep_start=True)
    assert same(weights(model), start if kept == "start" else seen[1])


def test_without_validation_the_last_epoch_is_kept() -> None:
    history = run(Network(), CPU.changed(patience=1))
    assert history.validation == ()
    assert history.best_epoch == history.n_epochs == 5


# -- what goes wrong -------------------------------------------------------------------


def test_a_loss_that_is_no_number_names_epoch_and_batch_and_spares_the_weights() -> None:
    calls = 0

    def loss(model: nn.Module, rows: Ints) -> Tensor:
        nonlocal calls
        calls += 1
        return squared(model, rows) * (float("nan") if calls == 5 else 1.0)

    model = Network()
    with pytest.raises(TrainingError, match=r"nan in epoch 2, batch 2 of 3; lower lr \(0\.05\)"):
        train(model, ROWS, loss, CPU, seed=0, purpose="train test")
    assert all(bool(w.isfinite().all()) for w in model.parameters())


def test_a_gradient_that_is_no_number_is_found_by_the_end_of_the_epoch() -> None:
    def loss(model: Network, rows: Ints) -> Tensor:
        # The square root of 0 is 0, its slope infinite; times 0 that is NaN.
        return squared(model, rows) + (model.temperature * 0).sqrt()

    with pytest.raises(TrainingError, match="temperature"):
        train(Network(), ShuffledRows(N, N), loss, CPU, seed=0, purpose="x")


def test_a_validation_that_is_no_number_is_an_error() -> None:
    with pytest.raises(TrainingError, match="validation value is nan after epoch 1"):
        run(Network(), validate=lambda _: float("nan"))


def test_no_examples_are_an_error() -> None:
    with pytest.raises(DataError, match="no training examples"):
        train(Network(), ShuffledRows(0, 4), squared, CPU, seed=0, purpose="x")


def test_batches_must_keep_their_promise() -> None:
    class Short(ShuffledRows):
        def epoch(self, rng: np.random.Generator) -> Iterator[Ints]:
            yield next(super().epoch(rng))

    with pytest.raises(ValueError, match="promised 3 per epoch and gave 1"):
        train(Network(), Short(N, 16), squared, CPU, seed=0, purpose="x")


# -- on a GPU --------------------------------------------------------------------------


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_ends_within_a_tenth_of_the_loss_of_the_cpu(tmp_path: Path) -> None:
    def made_on(device: str) -> tuple[float, Network]:
        model = Network()
        model.drop.p = 0.0  # the two draw different numbers
        config = CPU.changed(epochs=40, lr=0.02, device=device)
        history = run(model, config, validate=minus_error_anywhere, checkpoint=tmp_path / device)
        return max(history.validation), model

    def minus_error_anywhere(model: nn.Module) -> float:
        device = next(model.parameters()).device
        return -float((model(torch.arange(N, device=device)) - WANTED.to(device)).square().mean())

    (on_cpu, _), (on_gpu, model) = made_on("cpu"), made_on("cuda")
    assert on_gpu == pytest.approx(on_cpu, rel=0.1)
    assert {weight.device.type for weight in model.parameters()} == {"cpu"}
