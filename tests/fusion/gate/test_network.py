"""The gate network: where it starts, and what may and may not move it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fusion.gate.batches import SMALL, network, read, stirred
from tests.fusion.problem import problem, with_signals

from crossfade.fusion.gate.network import GateOutput, masked_softmax

START = [0.75, 0.25, 0.0]


def test_training_starts_at_the_floored_static_weights() -> None:
    labelled = problem(0)
    batch = read(labelled)
    net = network(labelled, START)
    net.expect(0.01)
    output = net(batch)
    # (0.75 + 0.01, 0.25 + 0.01, 0.01), normalised over the bases that are there.
    floored = np.array(START) + SMALL.floor
    there = labelled.signals.available
    expected = there * floored
    expected /= np.maximum(expected.sum(axis=-1, keepdims=True), 1e-9)
    np.testing.assert_allclose(output.weights.detach(), expected, atol=1e-6)
    np.testing.assert_allclose(net.static_weights(batch.there), expected, atol=1e-6)
    # And the order is that of a static blend of what the bases say: score plus half the rank.
    blend = (expected * (batch.score + 0.5 * batch.rank).numpy()).sum(axis=-1)
    scored = np.asarray(there.any(axis=-1))
    for row in range(len(blend)):
        places = np.flatnonzero(scored[row])
        mine = output.score[row].detach().numpy()[places]
        assert np.argsort(mine).tolist() == np.argsort(blend[row][places]).tolist()
    assert (output.residual == 0).all()


@pytest.mark.parametrize("frequency", [0.01, 0.3])
def test_confidence_starts_at_how_often_anything_is_wanted(frequency: float) -> None:
    net = network(problem(0))
    net.expect(frequency)
    confidence = torch.sigmoid(net(read(problem(0))).confidence)
    np.testing.assert_allclose(confidence.detach(), frequency, rtol=1e-4)


@given(st.floats(0, 20))
@settings(max_examples=20)
def test_weights_sum_to_1_over_the_bases_that_are_there_however_extreme(by: float) -> None:
    labelled = problem(0)
    batch = read(labelled)
    weights = stirred(network(labelled), by)(batch).weights.detach()
    assert (weights[~batch.there] == 0).all()
    np.testing.assert_allclose(weights.sum(dim=-1)[batch.there.any(dim=-1)], 1, rtol=1e-5)
    assert (weights.sum(dim=-1)[~batch.there.any(dim=-1)] == 0).all()


def test_a_masked_base_takes_nothing_even_from_bases_that_are_hardly_trusted() -> None:
    logits = torch.tensor([[-80.0, -81.0, 5.0]], requires_grad=True)
    weights = masked_softmax(logits, torch.tensor([[True, True, False]]))
    share = 1 / (1 + np.exp(-1))
    np.testing.assert_allclose(weights.detach(), [[share, 1 - share, 0]], rtol=1e-6)
    weights[0, 0].backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    np.testing.assert_allclose(
        logits.grad, [[share * (1 - share), -share * (1 - share), 0]], rtol=1e-5
    )


def test_where_nothing_is_there_weights_and_gradients_are_0() -> None:
    logits = torch.tensor([[1.0, 2.0]], requires_grad=True)
    weights = masked_softmax(logits, torch.tensor([[False, False]]))
    assert weights.tolist() == [[0, 0]]
    weights.sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.tolist() == [[0, 0]]


@given(st.floats(-1e6, 1e6, width=32))
@settings(max_examples=20)
def test_what_a_masked_base_would_say_has_no_influence(value: float) -> None:
    labelled = problem(0)
    net = stirred(network(labelled))
    hidden = labelled.signals.mask & np.isnan(labelled.signals.score[:, :, 1])
    rank = np.array(labelled.signals.reciprocal_rank)
    rank[hidden, 1] = value
    same(net(read(with_signals(labelled, reciprocal_rank=rank), on=labelled)), net(read(labelled)))


def same(one: GateOutput, other: GateOutput) -> None:
    for name, value in vars(one).items():
        assert torch.equal(value, getattr(other, name)), name


def test_one_request_gets_what_it_gets_among_seven() -> None:
    labelled = problem(0)
    batch = read(labelled)
    net = stirred(network(labelled), 0.2)
    seven = net(batch.take(torch.arange(7)))
    for place in range(7):
        alone = net(batch.take(torch.tensor([place])))
        for name, value in vars(alone).items():
            assert value.shape[0] == 1
            torch.testing.assert_close(value[0], getattr(seven, name)[place], rtol=1e-5, atol=1e-5)


def test_the_first_layer_is_the_same_as_one_over_everything() -> None:
    # Multiplying what is read of a request only once must not change what comes out.
    labelled = problem(0)
    batch = read(labelled)
    net = stirred(network(labelled, residual=True), 0.1)
    user = net.user(batch.user)
    met = net.meeting(user)[:, None, :] * net.item(batch.item)
    wide = user[:, None, :].expand(-1, met.shape[1], -1)
    hidden = net.layers(torch.cat([batch.base, batch.item, met, wide], dim=-1))
    torch.testing.assert_close(net(batch).confidence, net.confidence(hidden), rtol=1e-4, atol=1e-5)


def test_request_and_candidate_meet() -> None:
    # With everything else silent, the effect of a candidate's column depends on the request's.
    labelled = problem(0)
    batch = read(labelled)
    net = stirred(network(labelled))

    def rise(user: float) -> torch.Tensor:
        about = torch.full_like(batch.user, user)
        low, high = (
            net(replace(batch, user=about, item=torch.full_like(batch.item, value))).score
            for value in (-1.0, 1.0)
        )
        difference: torch.Tensor = high - low
        return difference

    assert not torch.allclose(rise(-1.0), rise(1.0), atol=1e-3)


def test_without_a_residual_the_score_is_all_of_bases() -> None:
    labelled = problem(0)
    batch = read(labelled)
    output = stirred(network(labelled, residual=False))(batch)
    assert (output.residual == 0).all()
    assert (output.score[~batch.mask] == 0).all()
    with_rest = stirred(network(labelled, residual=True))(batch)
    assert (with_rest.residual != 0).any()
