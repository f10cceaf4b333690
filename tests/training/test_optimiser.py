import math

import pytest
import torch
from torch import Tensor, nn

from crossfade.training.config import TrainConfig
from crossfade.training.optimiser import (
    lr_factor,
    make_optimiser,
    pace_of,
    parameter_groups,
)


class Mixed(nn.Module):
    """One of everything."""

    def __init__(self) -> None:
        super().__init__()
        self.names = nn.Embedding(5, 4)
        self.bag = nn.EmbeddingBag(5, 4)
        self.hidden = nn.Linear(4, 4)
        self.layer_norm = nn.LayerNorm([2, 4])  # two-dimensional, and still a norm
        self.batch_norm = nn.BatchNorm1d(4)
        self.temperature = nn.Parameter(torch.tensor(0.1))
        self.frozen = nn.Linear(4, 4)
        self.frozen.requires_grad_(requires_grad=False)


def names(model: nn.Module, weight_decay: float) -> dict[float, set[str]]:
    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = parameter_groups(model, weight_decay)
    return {group["weight_decay"]: {name_of[id(p)] for p in group["params"]} for group in groups}


def test_only_the_matrices_of_layers_decay() -> None:
    assert names(Mixed(), 0.1) == {
        0.1: {"hidden.weight"},
        0.0: {
            "names.weight",
            "bag.weight",
            "hidden.bias",
            "layer_norm.weight",
            "layer_norm.bias",
            "batch_norm.weight",
            "batch_norm.bias",
            "temperature",
        },
    }


def test_a_weight_that_is_also_an_embedding_does_not_decay_and_counts_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Linear(4, 5, bias=False)
            self.names = nn.Embedding(5, 4)
            self.out.weight = self.names.weight

    groups = parameter_groups(Tied(), 0.1)
    assert [(group["weight_decay"], len(group["params"])) for group in groups] == [(0.0, 1)]


def test_a_part_with_a_pace_has_groups_and_a_step_size_of_its_own() -> None:
    class Slow(nn.Linear):
        def pace(self) -> float:
            return 0.5

    model = nn.Sequential(nn.Linear(4, 4), Slow(4, 4))
    groups = parameter_groups(model, 0.1)
    assert [(g["paced"], g["weight_decay"], pace_of(model, g)) for g in groups] == [
        ("", 0.1, 1.0),
        ("", 0.0, 1.0),
        ("1", 0.1, 0.5),
        ("1", 0.0, 0.5),
    ]
    (slow,) = groups[2]["params"]
    assert slow is model[1].weight


def test_one_step_by_hand() -> None:
    # Gradient 3 everywhere. The first step of AdamW goes lr against the sign, and takes
    # lr x decay of the weight off first where it decays: 2 - 0.1 x 0.5 x 2 - 0.1 = 1.8.
    model = Mixed()
    loss = torch.tensor(0.0)
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.constant_(parameter, 2.0)
            loss = loss + 3 * parameter.sum()
    loss.backward()  # type: ignore[no-untyped-call]
    make_optimiser(model, TrainConfig(lr=0.1, weight_decay=0.5)).step()

    def value(parameter: Tensor) -> float:
        (one,) = set(parameter.flatten().tolist())
        return float(one)

    assert value(model.hidden.weight) == pytest.approx(1.8, abs=1e-6)
    for kept in (model.hidden.bias, model.names.weight, model.layer_norm.weight, model.temperature):
        assert value(kept) == pytest.approx(1.9, abs=1e-6)


# -- step size -------------------------------------------------------------------------


def test_a_constant_step_size_is_1_throughout() -> None:
    assert [lr_factor(step, 5, TrainConfig()) for step in range(5)] == [1.0] * 5


def test_the_warm_up_rises_in_equal_parts() -> None:
    config = TrainConfig(warmup_share=0.4)
    assert [lr_factor(step, 10, config) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_the_cosine_falls_from_1_through_a_half_to_almost_0() -> None:
    config = TrainConfig(schedule="cosine", warmup_share=0.2)
    factors = [lr_factor(step, 10, config) for step in range(10)]
    assert factors[:3] == [0.5, 1.0, 1.0]
    assert factors[6] == pytest.approx(0.5)  # four of the eight steps after the warm-up
    assert factors[9] == pytest.approx(0.5 * (1 + math.cos(math.pi * 7 / 8)))
    assert factors[2:] == sorted(factors[2:], reverse=True)


def test_a_run_of_one_step_has_a_step_size() -> None:
    for config in (
        TrainConfig(schedule="cosine"),
        TrainConfig(schedule="cosine", warmup_share=0.9),
    ):
        assert lr_factor(0, 1, config) == 1.0
