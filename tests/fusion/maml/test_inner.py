"""The inner loop against closed forms, finite differences and a plain loop."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from crossfade.fusion.maml.inner import (
    Inner,
    Rates,
    Weights,
    adapt,
    clipped,
    meta_loss,
    meta_losses,
)

Task = tuple[Tensor, Tensor]  # of a quadratic: curvature and centre


def f64(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def quadratic(weights: Weights, batch: Task) -> Tensor:
    """½·a·(w − c)², whose gradient is a·(w − c)."""
    curvature, centre = batch
    return (0.5 * curvature * (weights["w"] - centre) ** 2).sum()


A, C, D, W, LR, STEPS = 0.7, 1.5, -0.4, 2.0, 0.3, 4
SHRINK = (1 - LR * A) ** STEPS
"""What is left of w − c after the steps."""
ADAPTED = C + SHRINK * (W - C)


def quadratic_gradient(inner: Inner) -> float:
    """Of ½·(w' − d)² with respect to the start w."""
    start = {"w": f64(W).requires_grad_()}
    support, query = (f64(A)[None], f64(C)[None]), (f64(1)[None], f64(D)[None])
    value = meta_loss(start, quadratic, support, query, LR, inner=inner)
    return float(torch.autograd.grad(value, start["w"])[0])


# -- closed forms ----------------------------------------------------------------------


def test_the_adapted_weight_is_that_of_the_closed_form() -> None:
    adapted = adapt({"w": f64(W)}, quadratic, (f64(A), f64(C)), LR, Inner(STEPS))
    assert float(adapted["w"]) == pytest.approx(ADAPTED, rel=1e-12)


def test_the_meta_gradient_is_that_of_the_closed_form() -> None:
    assert quadratic_gradient(Inner(STEPS)) == pytest.approx(SHRINK * (ADAPTED - D), rel=1e-12)


@given(st.integers(0, 6), st.floats(0.01, 1.5), st.floats(0.1, 2.0))
def test_first_order_differs_from_second_by_exactly_the_shrinkage(
    n_steps: int, lr: float, curvature: float
) -> None:
    start = {"w": f64(W).requires_grad_()}
    support, query = (f64(curvature)[None], f64(C)[None]), (f64(1)[None], f64(D)[None])

    def gradient(*, first_order: bool) -> float:
        inner = Inner(n_steps, first_order=first_order)
        value = meta_loss(start, quadratic, support, query, lr, inner=inner)
        return float(torch.autograd.grad(value, start["w"])[0])

    expected = (1 - lr * curvature) ** n_steps * gradient(first_order=True)
    assert gradient(first_order=False) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("first_order", [False, True])
def test_the_outer_gradient_may_be_functional_too(first_order: bool) -> None:
    inner = Inner(STEPS, first_order=first_order)
    support, query = (f64(A)[None], f64(C)[None]), (f64(1)[None], f64(D)[None])

    def value(start: Weights) -> Tensor:
        return meta_loss(start, quadratic, support, query, LR, inner=inner)

    found = float(torch.func.grad(value)({"w": f64(W)})["w"])
    assert found == pytest.approx(quadratic_gradient(inner), rel=1e-12)


def test_first_order_is_the_gradient_at_the_adapted_weight() -> None:
    assert quadratic_gradient(Inner(STEPS, first_order=True)) == pytest.approx(ADAPTED - D)


def test_the_pull_shortens_the_way_as_the_closed_form_says() -> None:
    # a(w − c) + p(w − w0) is a quadratic with curvature a + p around (a c + p w0) / (a + p).
    pull = 0.9
    inner = Inner(STEPS, pull=pull)
    adapted = adapt({"w": f64(W)}, quadratic, (f64(A), f64(C)), LR, inner)
    centre = (A * C + pull * W) / (A + pull)
    expected = centre + (1 - LR * (A + pull)) ** STEPS * (W - centre)
    assert float(adapted["w"]) == pytest.approx(expected, rel=1e-12)


def test_a_negligible_rate_leaves_the_start_and_no_step_is_the_start() -> None:
    start = {"w": f64(W)}
    assert adapt(start, quadratic, (f64(A), f64(C)), 0.0, Inner(5))["w"].item() == W
    assert adapt(start, quadratic, (f64(A), f64(C)), LR, Inner(0))["w"] is start["w"]


@pytest.mark.parametrize("n_steps", [0, 1, 3])
def test_the_meta_optimum_is_where_the_closed_form_has_it(n_steps: int) -> None:
    # Query loss of task t: ½ (c_t + r_t (w − c_t) − d_t)²; least squares in w.
    a, c, d = f64(0.5, 1.0, 2.0), f64(-1, 0.5, 3), f64(0, 1, 2)
    r = (1 - 0.2 * a) ** n_steps
    optimum = float((r * (d - c + r * c)).sum() / (r * r).sum())
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    for _ in range(400):
        support, query = (a[:, None], c[:, None]), (torch.ones_like(a)[:, None], d[:, None])
        value = meta_loss({"w": w}, quadratic, support, query, 0.2, inner=Inner(n_steps))
        (gradient,) = torch.autograd.grad(value, w)
        w = (w - gradient).detach().requires_grad_()
    assert float(w.detach()) == pytest.approx(optimum, rel=1e-8)


# -- finite differences ----------------------------------------------------------------

N_TASKS, N_ROWS, N_IN, N_HIDDEN = 3, 5, 4, 3


def network(weights: Weights, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Squared error of a small tanh network over the rows that count."""
    x, y, counts = batch
    hidden = torch.tanh(x @ weights["in"].T + weights["bias"])
    error = (hidden @ weights["out"] - y).square()
    return (error * counts).sum() / counts.sum().clamp(min=1)


def a_network(seed: int) -> Weights:
    rng = torch.Generator().manual_seed(seed)
    shapes = {"in": (N_HIDDEN, N_IN), "bias": (N_HIDDEN,), "out": (N_HIDDEN,)}
    return {
        name: torch.randn(shape, generator=rng, dtype=torch.float64)
        for name, shape in shapes.items()
    }


def tasks(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of three tasks; the last rows of the second are padding, the third has one row."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(N_TASKS, N_ROWS, N_IN, generator=rng, dtype=torch.float64)
    y = torch.randn(N_TASKS, N_ROWS, generator=rng, dtype=torch.float64)
    counts = torch.ones(N_TASKS, N_ROWS, dtype=torch.float64)
    counts[1, 3:], counts[2, 1:] = 0, 0
    return x, y, counts


def by_differences(value: Callable[[], Tensor], weights: Weights, step: float = 1e-5) -> Weights:
    """Central differences, one number at a time."""
    found = {}
    for name, tensor in weights.items():
        gradient = torch.zeros_like(tensor)
        for place in np.ndindex(*tensor.shape):
            kept = float(tensor[place])
            tensor[place] = kept + step
            above = float(value())
            tensor[place] = kept - step
            gradient[place] = (above - float(value())) / (2 * step)
            tensor[place] = kept
        found[name] = gradient
    return found


def relative_error(found: Weights, expected: Weights) -> float:
    far = sum((found[k] - expected[k]).square().sum() for k in expected)
    size = sum(value.square().sum() for value in expected.values())
    return float((far / size) ** 0.5)


SETTINGS = [
    Inner(5),
    Inner(3, clip_norm=0.4),
    Inner(3, pull=0.5),
    Inner(2, clip_norm=0.7, pull=0.2),
]


@pytest.mark.parametrize("inner", SETTINGS, ids=str)
def test_the_maml_gradient_equals_finite_differences(inner: Inner) -> None:
    weights, support, query = a_network(0), tasks(1), tasks(2)

    def value() -> Tensor:
        return meta_loss(weights, network, support, query, 0.1, inner=inner)

    expected = by_differences(value, weights)
    found = dict(
        zip(
            weights,
            torch.autograd.grad(value_of(weights, value), list(weights.values())),
            strict=True,
        )
    )
    assert relative_error(found, expected) < 1e-5


def value_of(weights: Weights, value: Callable[[], Tensor]) -> Tensor:
    """The value, with the weights watched."""
    for tensor in weights.values():
        tensor.requires_grad_()
    return value()


@pytest.mark.parametrize("inner", SETTINGS, ids=str)
def test_the_meta_sgd_gradient_equals_finite_differences_in_weights_and_rates(
    inner: Inner,
) -> None:
    weights, support, query = a_network(0), tasks(1), tasks(2)
    rng = torch.Generator().manual_seed(3)
    rates = {k: 0.2 * torch.rand(w.shape, generator=rng).double() for k, w in weights.items()}
    both = {**weights, **{f"rate.{name}": rate for name, rate in rates.items()}}

    def value() -> Tensor:
        return meta_loss(weights, network, support, query, rates, inner=inner)

    expected = by_differences(value, both)
    found = torch.autograd.grad(value_of(both, value), list(both.values()))
    of_rates = {k: v for k, v in expected.items() if k.startswith("rate.")}
    got = dict(zip(both, found, strict=True))
    assert relative_error(got, expected) < 1e-5
    assert relative_error(got, of_rates) < 1e-5


def test_a_first_order_gradient_is_not_that_of_finite_differences() -> None:
    weights, support, query = a_network(0), tasks(1), tasks(2)

    def value(*, first_order: bool = False) -> Tensor:
        inner = Inner(5, first_order=first_order)
        return meta_loss(weights, network, support, query, 0.1, inner=inner)

    expected = by_differences(value, weights)
    value_of(weights, value)
    found = torch.autograd.grad(value(first_order=True), list(weights.values()))
    assert relative_error(dict(zip(weights, found, strict=True)), expected) > 1e-2


# -- tasks -----------------------------------------------------------------------------


def plain_loop(
    weights: Weights,
    support: tuple[Tensor, ...],
    query: tuple[Tensor, ...],
    lr: float,
    n_steps: int,
) -> list[Tensor]:
    """Task after task with `torch.autograd.grad`, as a tutorial writes MAML; padding cut off."""
    losses = []
    for task in range(N_TASKS):
        s, q = (
            tuple(part[task][group[2][task] > 0] for part in group) for group in (support, query)
        )
        fast = weights
        for _ in range(n_steps):
            value = network(fast, s)  # type: ignore[arg-type]
            gradient = torch.autograd.grad(value, list(fast.values()), create_graph=True)
            fast = {k: w - lr * g for (k, w), g in zip(fast.items(), gradient, strict=True)}
        losses.append(network(fast, q))  # type: ignore[arg-type]
    return losses


def test_all_tasks_at_once_equal_one_after_the_other_without_padding() -> None:
    weights, support, query = a_network(0), tasks(1), tasks(2)
    for tensor in weights.values():
        tensor.requires_grad_()
    losses = plain_loop(weights, support, query, 0.1, 3)
    each, _ = meta_losses(weights, network, support, query, 0.1, inner=Inner(3))
    torch.testing.assert_close(each, torch.stack(losses), rtol=1e-12, atol=1e-14)
    expected = torch.autograd.grad(torch.stack(losses).mean(), list(weights.values()))
    found = torch.autograd.grad(each.mean(), list(weights.values()))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("rates", [0.1, "tensors"])
def test_vmap_equals_a_loop_over_adapt_to_the_last_digits(rates: float | str) -> None:
    weights, support, query = a_network(0), tasks(1), tasks(2)
    used: Rates = 0.1 if rates == 0.1 else {k: torch.full_like(w, 0.05) for k, w in weights.items()}
    inner = Inner(4, clip_norm=0.5, pull=0.1)
    each, adapted = meta_losses(weights, network, support, query, used, inner=inner)
    for task in range(N_TASKS):
        s = (support[0][task], support[1][task], support[2][task])
        q = (query[0][task], query[1][task], query[2][task])
        alone = adapt(weights, network, s, used, inner)
        torch.testing.assert_close(network(alone, q), each[task], rtol=1e-12, atol=1e-14)
        for name, tensor in alone.items():
            torch.testing.assert_close(adapted[name][task], tensor, rtol=1e-12, atol=1e-14)


def test_a_task_does_not_feel_the_other_tasks() -> None:
    weights, support, query = a_network(0), tasks(1), tasks(2)
    each, adapted = meta_losses(weights, network, support, query, 0.1, inner=Inner(3))
    other = tuple(part.clone() for part in support)
    other[0][0] += 5.0
    changed, moved = meta_losses(weights, network, other, query, 0.1, inner=Inner(3))  # type: ignore[arg-type]
    assert changed[0] != each[0]
    torch.testing.assert_close(changed[1:], each[1:], rtol=0, atol=0)
    torch.testing.assert_close(moved["in"][1:], adapted["in"][1:], rtol=0, atol=0)


def test_nothing_given_is_changed() -> None:
    weights, support, query = a_network(0), tasks(1), tasks(2)
    before = [tensor.clone() for tensor in (*weights.values(), *support, *query)]
    meta_loss(weights, network, support, query, 0.1, inner=Inner(3, clip_norm=0.1, pull=1.0))
    for tensor, kept in zip((*weights.values(), *support, *query), before, strict=True):
        assert torch.equal(tensor, kept)


def test_a_task_that_fails_leaves_the_weights_as_they_were() -> None:
    weights = a_network(0)
    before = {name: tensor.clone() for name, tensor in weights.items()}

    def failing(given: Weights, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        failing.calls += 1  # type: ignore[attr-defined]
        if failing.calls == 3:  # type: ignore[attr-defined]
            raise RuntimeError("lost")
        return network(given, batch)

    failing.calls = 0  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="lost"):
        meta_loss(weights, failing, tasks(1), tasks(2), 0.1, inner=Inner(5))
    assert all(torch.equal(weights[name], before[name]) for name in weights)


def test_padding_tasks_count_nothing_and_no_task_is_0() -> None:
    weights, support, query = a_network(0), tasks(1), tasks(2)
    each, _ = meta_losses(weights, network, support, query, 0.1, inner=Inner(2))
    counts = f64(1, 0, 3)
    broken = tuple(part.clone() for part in query)
    broken[0][1] = torch.nan
    value = meta_loss(weights, network, support, broken, 0.1, inner=Inner(2), counts=counts)  # type: ignore[arg-type]
    assert float(value) == pytest.approx(float((each[0] + 3 * each[2]) / 4), rel=1e-12)
    assert (
        float(meta_loss(weights, network, support, query, 0.1, inner=Inner(2), counts=f64(0, 0, 0)))
        == 0.0
    )


# -- clipping --------------------------------------------------------------------------


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=5), st.floats(0.01, 10))
def test_a_clipped_gradient_keeps_its_direction_and_is_short_enough(
    values: list[float], norm: float
) -> None:
    gradient = {"a": f64(*values[:1]), "b": f64(*values[1:])}
    found = torch.cat(list(clipped(gradient, norm).values()))
    whole = f64(*values)
    length = float(whole.norm())
    expected = whole * min(1.0, norm / length) if length > 0 else whole
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_the_outer_gradient_of_a_task_without_reactions_is_a_number() -> None:
    weights, query = a_network(0), tasks(2)
    x, y, _ = tasks(1)
    support = (x, y, torch.zeros(N_TASKS, N_ROWS, dtype=torch.float64))

    def value() -> Tensor:
        return meta_loss(weights, network, support, query, 0.1, inner=Inner(3, clip_norm=0.5))

    found = torch.autograd.grad(value_of(weights, value), list(weights.values()))
    assert all(bool(part.isfinite().all()) for part in found)


@pytest.mark.parametrize("wrong", [{"n_steps": -1}, {"pull": -0.1}, {"clip_norm": 0.0}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be 0 or more"):
        Inner(**wrong)  # type: ignore[arg-type]
