import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.fusion.gate import gates
from tests.fusion.gate.gates import TINY, fit, noisy, planted

from crossfade.fusion.base import Columns
from crossfade.fusion.gate.hypernetwork import Hypernetwork, HypernetworkConfig, unsoftplus

PLACES = st.tuples(st.integers(0, 6), st.integers(0, 14), st.integers(0, 2))


@pytest.fixture(scope="module")
def model() -> Any:
    return fit("hypernetwork")


def untidy_model() -> Any:
    model = fit("hypernetwork", gates.UNTRAINED)
    noisy(model._network)
    return model


@pytest.fixture
def untidy() -> Any:
    """A model whose every layer says something."""
    return untidy_model()


# -- what all learned gates promise ----------------------------------------------------


def test_training_starts_at_the_static_blend() -> None:
    gates.starts_at_the_static_blend("hypernetwork")


def test_a_batch_of_one_equals_one_of_seven(untidy: Any) -> None:
    gates.one_request_equals_seven(untidy)


def test_the_order_of_candidates_does_not_matter(untidy: Any) -> None:
    gates.order_of_candidates_does_not_matter(untidy)


def test_a_base_that_is_not_there_has_no_influence(untidy: Any) -> None:
    gates.a_base_that_is_not_there_has_no_influence(untidy)


def test_a_restored_model_is_the_same_to_the_bit(model: Any) -> None:
    gates.a_restored_model_is_the_same_to_the_bit(model)


def test_it_learns_whom_to_trust(model: Any) -> None:
    gates.learns_whom_to_trust(model)


def test_it_repeats_to_the_bit() -> None:
    gates.repeats_to_the_bit("hypernetwork")


# -- the generated net -----------------------------------------------------------------


def softplus(values: Any) -> Any:
    return np.logaddexp(0, values)


def test_the_generated_net_by_hand(untidy: Any) -> None:
    # score = sharpness · Σ share · scale · says, and Σ share · offset apart.
    network, signals = untidy._network, planted(2, n=4).signals
    batch, fused = untidy._read(signals), untidy.forward(signals)
    with torch.no_grad():
        parts = network.generate(network.context(batch)).numpy()
    scale, offset, slope, level = (parts[..., 3 * part : 3 * part + 3] for part in range(4))
    there = batch.there.numpy()
    static = np.exp(network.start.detach().numpy()) * there
    share = static / static.sum(axis=-1, keepdims=True)
    scales = softplus(scale + math.log(math.e - 1))
    of_score, of_rank = (
        softplus(raw.detach().numpy()) for raw in (network.of_score, network.of_rank)
    )
    says = of_score * batch.score.numpy() + of_rank * batch.rank.numpy()
    sharpness = softplus(network.sharpness.item())
    gates.close(fused.residual, (share * offset).sum(axis=-1))
    gates.close(
        fused.score,
        sharpness * (share * scales * says).sum(axis=-1) + (share * offset).sum(axis=-1),
    )
    acting = share * scales
    gates.close(fused.weights, acting / acting.sum(axis=-1, keepdims=True))
    confidence = 1 / (1 + np.exp(-(softplus(slope) * says + level)))
    gates.close(fused.confidence[there], confidence[there])


def test_the_weights_are_those_that_acted(untidy: Any) -> None:
    # The score is linear in what each base says, so its slopes tell what acted.
    batch = untidy._read(planted(2, n=4).signals)
    score = batch.score.clone().requires_grad_()
    output = untidy._network(replace(batch, score=score))
    (slopes,) = torch.autograd.grad(output.score.sum(), score)
    acted = slopes / torch.nn.functional.softplus(untidy._network.of_score)
    acted = acted * batch.there
    gates.close(output.weights.detach(), acted.detach() / acted.sum(-1, keepdim=True).detach())
    assert np.allclose(output.weights.detach().sum(dim=-1), 1, rtol=1e-5)


@given(st.integers(0, 3), PLACES, st.floats(0.01, 5), st.floats(0, 2))
def test_a_base_that_says_more_never_lowers_a_score(
    seed: int, place: tuple[int, int, int], more: float, higher: float
) -> None:
    model = UNTIDY
    batch = model._read(planted(seed, n=7).signals)
    batch.there[place] = True
    score, rank = batch.score.clone(), batch.rank.clone()
    score[place] += more
    rank[place] += higher
    raised = replace(batch, score=score, rank=rank, base=batch.base + 1)
    with torch.no_grad():
        before, after = model._network(batch), model._network(raised)
    assert after.score[place[:2]] >= before.score[place[:2]]
    if before.weights[place] > 0.01:
        assert after.score[place[:2]] > before.score[place[:2]]
    others = torch.ones_like(before.score, dtype=torch.bool)
    others[place[:2]] = False
    assert (after.score[others] == before.score[others]).all()
    # Which no base score enters:
    assert (after.weights == before.weights).all()
    assert (after.residual == before.residual).all()


UNTIDY = untidy_model()


def test_a_trained_model_is_monotone_too(model: Any) -> None:
    # The base may be trusted little, but never the wrong way round.
    signals = planted(2).signals
    there = signals.available
    for base in range(3):
        score = signals.score.copy()
        score[:, :, base] += 0.5
        gain = model.forward(replace(signals, score=score)).score - model.forward(signals).score
        assert (gain[there[:, :, base]] > 0).all()
        assert (gain[~there[:, :, base] & there.any(axis=-1)] == 0).all()


def test_without_a_residual_there_are_no_offsets() -> None:
    model = fit("hypernetwork", {**TINY, "residual": False, "train": {"epochs": 1, "lr": 0.01}})
    noisy(model._network)
    assert (np.nan_to_num(model.forward(planted(2, n=4).signals).residual) == 0).all()


def test_confidence_starts_at_how_often_candidates_are_wanted() -> None:
    model = fit("hypernetwork", gates.UNTRAINED)
    train = planted(0)
    there = train.signals.available
    share = (there & train.relevant[:, :, None]).sum() / there.sum()
    batch = model._read(planted(2).signals)
    with torch.no_grad():
        level = model._network(
            replace(batch, score=0 * batch.score, rank=0 * batch.rank)
        ).confidence
    np.testing.assert_allclose(torch.sigmoid(level), share, rtol=1e-3)


# -- how it starts ---------------------------------------------------------------------


def test_the_last_layer_starts_at_nothing_and_the_others_do_not() -> None:
    network = fit("hypernetwork", gates.UNTRAINED)._network
    assert (network.generate.weight.abs() < 1e-9).all()
    assert network.context.of_candidate.weight.abs().max() > 0.1


@pytest.mark.parametrize("n_layers", [1, 3, 8])
def test_a_signal_keeps_its_size_at_any_depth(n_layers: int) -> None:
    # PyTorch's own start takes 5/6 of the mean square per hidden layer: 1e-6 after eight.
    config = HypernetworkConfig(hidden=512, n_layers=n_layers, user_dim=256, item_dim=256)
    torch.manual_seed(n_layers)
    names = tuple(map(str, range(32)))  # each with a value and a flag: 64 numbers
    columns = Columns(("a", "b", "c"), names, names)
    network = Hypernetwork(config, np.full(3, 1 / 3, dtype=np.float32), columns).context
    batch = gates_batch(n_requests=200, n_candidates=3, width=64)
    with torch.no_grad():
        hidden = network.eval()(batch)
    assert 0.7 < float(hidden.square().mean()) < 1.4


def gates_batch(n_requests: int, n_candidates: int, width: int) -> Any:
    """A batch whose context is standard normal."""
    batch = fit("hypernetwork", gates.UNTRAINED)._read(planted(0, n=n_requests).signals)
    draw = torch.Generator().manual_seed(0)
    return replace(
        batch,
        user=torch.randn(n_requests, width, generator=draw),
        item=torch.randn(n_requests, n_candidates, width, generator=draw),
    )


@pytest.mark.parametrize("value", [0.5, 1.0, 3.0])
def test_unsoftplus_is_the_inverse(value: float) -> None:
    assert softplus(unsoftplus(value)) == pytest.approx(value)
