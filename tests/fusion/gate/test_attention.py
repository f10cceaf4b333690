import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.fusion.gate import gates
from tests.fusion.gate.gates import TINY, fit, noisy, planted

from crossfade.errors import DataError
from crossfade.fusion.gate.attention import EachBase
from crossfade.fusion.registry import make_fusion


@pytest.fixture(scope="module")
def model() -> Any:
    return fit("attention")


@pytest.fixture
def untidy() -> Any:
    """A model whose every layer says something."""
    model = fit("attention", gates.UNTRAINED)
    noisy(model._network)
    return model


# -- what all learned gates promise ----------------------------------------------------


def test_training_starts_at_the_static_blend() -> None:
    gates.starts_at_the_static_blend("attention")


def test_a_batch_of_one_equals_one_of_seven(untidy: Any) -> None:
    gates.one_request_equals_seven(untidy)


def test_the_order_of_candidates_does_not_matter(untidy: Any) -> None:
    gates.order_of_candidates_does_not_matter(untidy)


def test_a_base_that_is_not_there_has_no_influence(untidy: Any) -> None:
    gates.a_base_that_is_not_there_has_no_influence(untidy)


def test_the_weights_are_those_that_acted(untidy: Any) -> None:
    def says(network: Any, batch: Any) -> torch.Tensor:
        said = network.of_score * batch.score + network.of_rank * batch.rank
        return said * torch.nn.functional.softplus(network.sharpness)  # type: ignore[no-any-return]

    gates.weights_are_those_that_acted(untidy, says)


def test_a_restored_model_is_the_same_to_the_bit(model: Any) -> None:
    gates.a_restored_model_is_the_same_to_the_bit(model)


def test_it_learns_whom_to_trust(model: Any) -> None:
    gates.learns_whom_to_trust(model)


def test_it_repeats_to_the_bit() -> None:
    gates.repeats_to_the_bit("attention")


# -- attention -------------------------------------------------------------------------


def test_one_normalisation_of_attention_confidence_and_static_weights(untidy: Any) -> None:
    # By hand: weights are the product of exp(q·k / √d), confidence and static weight, divided
    # once by its sum over the bases that are there.
    network, batch = untidy._network, untidy._read(planted(2, n=4).signals)
    with torch.no_grad():
        told = torch.stack([batch.score, batch.rank, batch.there.float()], dim=-1)
        key = network.encoders(told.movedim(2, 0)).movedim(0, 2).numpy()
        query = network.query(network.context(batch)).numpy()
        output = network(batch)
    attention = np.exp(np.einsum("bld,blsd->bls", query, key) / math.sqrt(32))
    confidence = 1 / (1 + np.exp(-output.confidence.numpy()))
    product = attention * confidence * np.exp(network.start.detach().numpy()) * batch.there.numpy()
    gates.close(output.weights, product / product.sum(axis=-1, keepdims=True))


def test_a_base_can_lose_all_its_weight(untidy: Any) -> None:
    # softmax(attention × confidence), with both in [0, 1], leaves a useless base of two 27 %.
    network = untidy._network
    with torch.no_grad():
        network.confidence.bias[2] = -40.0
        network.confidence_of_base.zero_()
        network.confidence.weight.zero_()
    signals = planted(2, n=4).signals
    weights = untidy.forward(signals).weights[signals.available.all(axis=-1)]
    assert weights[:, 2].max() < 1e-6


def test_each_base_has_a_layer_of_its_own() -> None:
    layer = EachBase(2, 3, 4)
    values = torch.randn(2, 5, 6, 3)
    expected = torch.stack(
        [values[base] @ layer.weight[base] + layer.bias[base] for base in range(2)]
    )
    torch.testing.assert_close(layer(values), expected)


def test_without_a_residual_the_bases_account_for_everything() -> None:
    model = fit("attention", {**TINY, "residual": False, "train": {"epochs": 2, "lr": 0.01}})
    fused = model.forward(planted(2, n=4).signals)
    assert (np.nan_to_num(fused.residual) == 0).all()


def test_the_query_does_not_read_the_scores(untidy: Any) -> None:
    batch = untidy._read(planted(2, n=4).signals)
    other = replace(batch, score=-batch.score, rank=-batch.rank, base=-batch.base)
    with torch.no_grad():
        one, two = (untidy._network.context(given) for given in (batch, other))
    torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_encoders_learn_although_the_query_starts_at_nothing(model: Any) -> None:
    fresh = fit("attention", gates.UNTRAINED)._network
    assert (fresh.query.weight.abs() < 1e-9).all()
    moved = model._network.encoders[0].weight - fresh.encoders[0].weight
    assert moved.abs().max() > 0.01


def test_signals_without_context_are_refused() -> None:
    bare = planted(0, n=8)
    signals = replace(bare.signals, user=None)
    with pytest.raises(DataError, match="attention weighs bases"):
        make_fusion("attention", TINY).fit(replace(bare, signals=signals), bare)
