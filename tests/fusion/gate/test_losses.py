"""The losses of a gate, by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.fusion.gate.batches import SMALL, network, read, stirred
from tests.fusion.problem import plain, problem
from torch import Tensor

from crossfade.fusion.gate.inputs import GateBatch
from crossfade.fusion.gate.losses import confidence_loss, divergence, gate_loss, listwise

# -- listwise --------------------------------------------------------------------------


def test_the_listwise_loss_by_hand() -> None:
    # Shares e, 1, e² over their sum; the second and third are wanted, half each.
    score = torch.tensor([[1.0, 0.0, 2.0]])
    total = math.e + 1 + math.e**2
    expected = -0.5 * math.log(1 / total) - 0.5 * math.log(math.e**2 / total)
    wanted, there = torch.tensor([[False, True, True]]), torch.ones(1, 3, dtype=torch.bool)
    assert listwise(score, wanted, there).item() == pytest.approx(expected, rel=1e-6)


def test_padding_and_requests_without_a_wanted_candidate_do_not_count() -> None:
    score = torch.tensor([[1.0, 0.0, 50.0], [3.0, 1.0, 2.0]], requires_grad=True)
    wanted = torch.tensor([[False, True, False], [False, False, False]])
    there = torch.tensor([[True, True, False], [True, True, True]])
    loss = listwise(score, wanted, there)
    assert loss.item() == pytest.approx(math.log(1 + math.e), rel=1e-6)
    loss.backward()  # type: ignore[no-untyped-call]
    assert score.grad is not None
    assert score.grad[0, 2] == 0
    assert score.grad[1].tolist() == [0, 0, 0]
    assert score.grad[0, 0] > 0 > score.grad[0, 1]


def test_a_batch_in_which_nobody_wants_anything_has_no_loss() -> None:
    nothing = torch.zeros(2, 3, dtype=torch.bool)
    assert listwise(torch.randn(2, 3), nothing, ~nothing).item() == 0


# -- shrinkage: one sign, one meaning --------------------------------------------------

STATIC = torch.tensor([[[0.7, 0.2, 0.1]]])
HERE = torch.ones(1, 1, dtype=torch.bool)


@given(arrays(np.float64, 3, elements=st.floats(-5, 5)))
def test_divergence_is_0_at_the_static_blend_and_positive_elsewhere(logits: object) -> None:
    weights = torch.softmax(torch.as_tensor(logits), dim=-1)[None, None]
    static = STATIC.double()
    found = divergence(weights, static, HERE).item()
    assert found == pytest.approx(float((weights * (weights / static).log()).sum()), abs=1e-6)
    assert found >= -1e-7
    assert divergence(static, static, HERE).item() == pytest.approx(0, abs=1e-12)
    if (weights - static).abs().max() > 0.01:
        assert found > 1e-5


@given(arrays(np.float64, 3, elements=st.floats(-3, 3)))
def test_the_gradient_of_the_divergence_leads_back_to_the_static_blend(start: object) -> None:
    logits, static = torch.as_tensor(start).clone(), STATIC.double()
    before = (torch.softmax(logits, -1) - static).abs().sum()
    for _ in range(200):
        logits = logits.detach().requires_grad_()
        weights = torch.softmax(logits, -1)[None, None]
        divergence(weights, static, HERE).backward()  # type: ignore[no-untyped-call]
        assert logits.grad is not None
        logits = (logits - 2.0 * logits.grad).detach()
    after = (torch.softmax(logits, -1) - static).abs().sum()
    assert after < 0.01 + 0.5 * before


def test_the_divergence_is_a_mean_whatever_the_batch() -> None:
    weights, static = torch.tensor([[[0.5, 0.3, 0.2]]]), STATIC
    one = divergence(weights, static, HERE)
    many = divergence(weights.expand(8, 5, 3), static.expand(8, 5, 3), HERE.expand(8, 5))
    torch.testing.assert_close(one, many)
    padded = torch.cat([weights, torch.zeros(1, 1, 3)], dim=1)
    mask = torch.tensor([[True, False]])
    torch.testing.assert_close(divergence(padded, static.expand(1, 2, 3), mask), one)


def test_a_base_that_is_not_there_adds_nothing_and_spoils_no_gradient() -> None:
    weights = torch.tensor([[[0.5, 0.5, 0.0]]], requires_grad=True)
    static = torch.tensor([[[0.5, 0.5, 0.0]]])
    loss = divergence(weights, static, HERE)
    assert loss.item() == pytest.approx(0, abs=1e-7)
    loss.backward()  # type: ignore[no-untyped-call]
    assert weights.grad is not None
    assert torch.isfinite(weights.grad).all()


# -- confidence ------------------------------------------------------------------------


def half_wanted(n: int, n_wanted: int) -> GateBatch:
    """One request with so many candidates, some of them wanted, and one base."""
    relevant = np.arange(n) < n_wanted
    labelled = plain(
        np.zeros((1, n, 1)),
        relevant[None],
        user=np.zeros((1, 1)),
        item=np.zeros((1, n, 1)),
        user_names="u",
        item_names="i",
    )
    return read(labelled)


def best_constant(batch: GateBatch) -> float:
    """The probability at which the confidence loss is smallest."""
    grid = torch.linspace(0.01, 0.99, 99)
    shape = batch.there.shape
    losses = [confidence_loss(torch.logit(p).expand(shape), batch).item() for p in grid]
    return float(grid[int(np.argmin(losses))])


@pytest.mark.parametrize(("n", "n_wanted"), [(10, 1), (10, 3), (10, 8)])
def test_confidence_is_best_at_the_true_frequency(n: int, n_wanted: int) -> None:
    assert best_constant(half_wanted(n, n_wanted)) == pytest.approx(n_wanted / n, abs=0.005)


def test_confidence_is_best_at_the_true_frequency_where_only_some_unwanted_are_drawn() -> None:
    # 3 of 30 are wanted; a batch of those 3 and 9 of the 27 others must say 0.1, not 0.25.
    batch = half_wanted(12, 3)
    assert best_constant(batch) == pytest.approx(0.25, abs=0.005)
    drawn = replace(batch, kept=torch.tensor([9 / 27]))
    assert best_constant(drawn) == pytest.approx(0.1, abs=0.005)


def test_the_confidence_of_a_base_that_is_silent_is_not_judged() -> None:
    labelled = problem(0)
    batch = read(labelled)
    logit = torch.zeros(batch.there.shape, requires_grad=True)
    confidence_loss(logit, batch).backward()  # type: ignore[no-untyped-call]
    assert logit.grad is not None
    assert (logit.grad[~batch.there] == 0).all()
    assert (logit.grad[batch.there] != 0).all()


# -- together --------------------------------------------------------------------------


def total(**settings: float) -> Tensor:
    labelled = problem(0)
    batch = read(labelled)
    net = stirred(network(labelled), 0.3)
    config = SMALL.changed(**{"confidence": 0.0, "kl": 0.0, "residual_penalty": 0.0, **settings})
    return gate_loss(net(batch), net.static_weights(batch.there), batch, config).detach()


def test_every_term_counts_by_its_weight() -> None:
    bare = total()
    for name in ("confidence", "kl", "residual_penalty"):
        once, twice = total(**{name: 1.0}) - bare, total(**{name: 2.0}) - bare
        assert once > 0, name
        torch.testing.assert_close(twice, 2 * once, rtol=1e-4, atol=1e-5)
    every = total(confidence=1.0, kl=1.0, residual_penalty=1.0)
    parts = sum(total(**{name: 1.0}) - bare for name in ("confidence", "kl", "residual_penalty"))
    torch.testing.assert_close(every, bare + parts, rtol=1e-4, atol=1e-5)
