"""The gate as a function, against plain arithmetic."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from tests.fusion.maml.people import lists, two_tastes

from crossfade.fusion.maml.config import MamlConfig
from crossfade.fusion.maml.inner import meta_loss
from crossfade.fusion.maml.network import (
    LEAST,
    Lists,
    MamlGate,
    gate_score,
    inner_of,
    lists_of,
    listwise,
)
from crossfade.fusion.maml.training import drawn, first_sharpness
from crossfade.fusion.static import StaticBlend
from crossfade.types import Floats

NAN = math.nan


def gate(
    algorithm: Any = "anil", start: tuple[float, ...] = (0.6, 0.4), n_context: int = 3
) -> MamlGate:
    weights = np.array(start, dtype=np.float32)
    config = MamlConfig(algorithm=algorithm, hidden=4)
    return MamlGate(config, weights, n_context, 1.0, np.random.default_rng(0))


def one_task(score: Any, relevant: Any, log_weight: Any = None) -> Lists:
    made = lists(relevant, score)
    weight = np.zeros(made.relevant.shape) if log_weight is None else np.array(log_weight)
    read = lists_of(made, np.zeros((1, 3), dtype=np.float32), weight.astype(np.float32))
    return Lists(*(part[0] for part in read))


# -- scores and losses -----------------------------------------------------------------


def test_the_score_is_the_weighted_mean_over_the_bases_that_are_there() -> None:
    task = one_task([[[4.0, 0.0], [NAN, 3.0], [NAN, NAN]]], [[1, 0, 0]])
    score = gate_score(torch.tensor([math.log(0.25), math.log(0.75)]), task)
    np.testing.assert_allclose(score, [1.0, 3.0, 0.0], rtol=1e-6)


def test_the_listwise_loss_by_hand() -> None:
    task = one_task(np.zeros((1, 4, 2)), [[1, 0, 1, 0]])
    score = torch.tensor([1.0, 0.0, 2.0, -1.0])
    total = math.log(sum(math.exp(s) for s in (1, 0, 2, -1)))
    assert listwise(score, task).item() == pytest.approx(((total - 1) + (total - 2)) / 2, rel=1e-6)


def test_nothing_wanted_is_no_loss_and_no_gradient() -> None:
    task = one_task(np.ones((1, 3, 2)), [[0, 0, 0]])
    logits = torch.zeros(2, requires_grad=True)
    value = listwise(gate_score(logits, task), task)
    assert value.item() == 0.0
    assert torch.autograd.grad(value, logits)[0].tolist() == [0.0, 0.0]


def test_a_candidate_that_no_base_can_score_is_not_in_the_list() -> None:
    with_it = one_task([[[1.0, 0], [0, 1.0], [NAN, NAN]]], [[1, 0, 1]])
    without = one_task([[[1.0, 0], [0, 1.0]]], [[1, 0]])
    logits = torch.tensor([0.3, -0.2])
    assert with_it.log_weight[2] == LEAST
    one, other = (listwise(gate_score(logits, task), task) for task in (with_it, without))
    torch.testing.assert_close(one, other)


def test_a_drawn_candidate_stands_for_several() -> None:
    # Three equal negatives, or one of them that stands for three.
    whole = one_task([[[2.0, 1]] + [[0.5, 0.5]] * 3], [[1, 0, 0, 0]])
    part = one_task([[[2.0, 1], [0.5, 0.5]]], [[1, 0]], [[0.0, math.log(3)]])
    logits = torch.tensor([0.1, 0.4])
    torch.testing.assert_close(*(listwise(gate_score(logits, t), t) for t in (whole, part)))


def test_drawn_lists_hold_all_that_is_wanted_and_weigh_up_to_the_whole() -> None:
    made = two_tastes(6, n_items=30)
    read = drawn(made, np.zeros((6, 0), dtype=np.float32), 12, np.random.default_rng(0))
    assert read.wanted.shape == (6, 12)
    assert read.wanted.sum(dim=1).tolist() == [8.0] * 6
    # Four of 22 others are drawn: each stands for 5.5, and the list for 30 candidates.
    np.testing.assert_allclose(read.log_weight.exp().sum(dim=1), 30.0, rtol=1e-5)
    assert read.log_weight[read.wanted > 0].abs().max() == 0.0


def test_a_drawn_loss_is_near_that_of_the_whole_list() -> None:
    made = two_tastes(40, n_items=200)
    context = np.zeros((40, 3), dtype=np.float32)
    whole = lists_of(made, context, np.zeros((40, 200), dtype=np.float32))
    parts = [drawn(made, context, 64, np.random.default_rng(seed)) for seed in range(20)]
    network = gate()

    def mean(read: Lists) -> float:
        values = torch.func.vmap(network.loss, in_dims=(None, 0))(
            network.start(), network.read(read)
        )
        return float(values.detach().mean())

    assert np.mean([mean(part) for part in parts]) == pytest.approx(mean(whole), rel=0.01)


def test_few_reactions_weigh_less_than_many() -> None:
    read = lists_of(
        lists([[1, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]]),
        np.zeros((3, 3), dtype=np.float32),
        np.zeros((3, 4), dtype=np.float32),
    )
    np.testing.assert_allclose(read.shrunk(5.0).weight, [1 / 6, 3 / 8, 0.0])
    np.testing.assert_allclose(read.shrunk(0.0).weight, [1.0, 1.0, 0.0])


# -- the gate --------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["anil", "maml", "fomaml", "meta_sgd"])
def test_the_gate_starts_at_the_static_blend(algorithm: str) -> None:
    network = gate(algorithm)
    hidden = network.read_hidden(torch.randn(3, generator=torch.Generator().manual_seed(0)))
    weights = torch.softmax(network.logits(network.start(), hidden), dim=0)
    np.testing.assert_allclose(weights.detach(), np.array([0.61, 0.41]) / 1.02, rtol=1e-6)


def test_anil_moves_the_head_alone_and_the_others_both_layers() -> None:
    assert set(gate("anil").start()) == {"head_weight", "head_bias"}
    for algorithm in ("maml", "fomaml", "meta_sgd"):
        assert set(gate(algorithm).start()) == {
            "head_weight",
            "head_bias",
            "body_weight",
            "body_bias",
        }


def test_rates_of_meta_sgd_are_learned_one_per_weight_and_stay_above_0() -> None:
    network, config = gate("meta_sgd"), MamlConfig(algorithm="meta_sgd", inner_lr=0.3)
    rates = network.rates(config)
    assert isinstance(rates, dict)
    assert {k: v.shape for k, v in rates.items()} == {
        k: w.shape for k, w in network.start().items()
    }
    assert network.log_rates is not None
    for rate in network.log_rates.values():
        rate.data -= 50
    assert all((rate > 0).all() for rate in network.rates(config).values())  # type: ignore[union-attr]
    assert gate("maml").rates(config) == 0.3


def test_only_fomaml_is_first_order() -> None:
    kinds = ("anil", "maml", "fomaml", "meta_sgd")
    orders = {k: inner_of(MamlConfig(algorithm=k)).first_order for k in kinds}
    assert [k for k, first in orders.items() if first] == ["fomaml"]


@pytest.mark.parametrize("algorithm", ["anil", "maml", "meta_sgd"])
def test_the_meta_gradient_of_the_gate_equals_finite_differences(algorithm: str) -> None:
    network = gate(algorithm).double()
    network.head_weight.data.normal_(generator=torch.Generator().manual_seed(1))
    config = MamlConfig(algorithm=algorithm, inner_lr=0.3, n_steps=3)
    made = two_tastes(4, n_items=12, n_wanted=3)
    context = np.random.default_rng(2).normal(size=(4, 3)).astype(np.float32)
    read = lists_of(made, context, np.zeros((4, 12), dtype=np.float32))
    support = Lists(*(part.double() for part in read))
    query = support._replace(wanted=support.wanted.flip(0))

    def value() -> torch.Tensor:
        return meta_loss(
            network.start(),
            network.loss,
            network.read(support).shrunk(5.0),
            network.read(query),
            network.rates(config),
            inner=inner_of(config),
        )

    parameters = list(network.parameters())
    found = torch.cat([g.flatten() for g in torch.autograd.grad(value(), parameters)])
    expected = []
    with torch.no_grad():
        for parameter in parameters:
            flat: Floats = parameter.data.view(-1)  # type: ignore[assignment]
            for place in range(len(flat)):
                kept = float(flat[place])
                values = []
                for change in (1e-5, -1e-5):
                    flat[place] = kept + change
                    values.append(float(value()))
                flat[place] = kept
                expected.append((values[0] - values[1]) / 2e-5)
    reference = torch.tensor(expected, dtype=torch.float64)
    assert ((found - reference).norm() / reference.norm()).item() < 1e-5


def test_far_logits_leave_the_second_order_gradient_a_number() -> None:
    task = one_task([[[4.0, NAN], [NAN, 3.0], [1.0, 1.0]]], [[1, 0, 0]])
    logits = torch.tensor([0.0, -120.0], requires_grad=True)
    value = listwise(gate_score(logits, task), task)
    (first,) = torch.autograd.grad(value, logits, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), logits)
    assert bool(first.isfinite().all())
    assert bool(second.isfinite().all())


def test_sharpness_starts_where_the_static_loss_is_least() -> None:
    # Wanted is on top by far: the sharper the better. Wanted at random: the flatter the better.
    score = np.linspace(2, -2, 8)[None, :, None] * np.ones((6, 1, 2))
    blend = StaticBlend(np.array([0.5, 0.5], dtype=np.float32))
    top, bottom = np.zeros((6, 8)), np.zeros((6, 8))
    top[:, 0], bottom[:, -1] = 1, 1
    assert first_sharpness(blend, lists(top, score)) == 8.0
    assert first_sharpness(blend, lists(bottom, score)) == 0.25
