"""The inner loop: a few gradient steps on one task, and the loss of a batch of tasks after them.

Weights are dictionaries of tensors and are never changed in place, so nothing has to be put back,
tasks cannot disturb one another, and threads may adapt at the same time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch.func import grad, vmap

Weights = dict[str, Tensor]
"""Fast weights by name; all of one float type."""

Rates = float | Weights
"""Inner step sizes: one for all, or a tensor for each weight that broadcasts to it (Meta-SGD)."""

B = TypeVar("B")
Loss = Callable[[Weights, B], Tensor]
"""Scalar loss of weights on one task's batch; 0 with gradient 0 where the batch is all padding."""


@dataclass(frozen=True)
class Inner:
    """How the inner loop goes.

    Attributes:
        n_steps: Gradient steps, 0 or more; memory grows linearly with them.
        first_order: Treat inner gradients as constants in the outer one (FOMAML).
        clip_norm: Longest inner gradient over all weights of a task together; None: not clipped.
        pull: Strength of ½·pull·|weights − start|², added to the loss of every step.
    """

    n_steps: int = 5
    first_order: bool = False
    clip_norm: float | None = None
    pull: float = 0.0

    def __post_init__(self) -> None:
        if (
            self.n_steps < 0
            or self.pull < 0
            or (self.clip_norm is not None and self.clip_norm <= 0)
        ):
            raise ValueError(
                f"n_steps and pull must be 0 or more and clip_norm above 0, got {self}"
            )


def adapt(start: Weights, loss: Loss[B], batch: B, rates: Rates, inner: Inner) -> Weights:
    """Weights after a few gradient steps on one task's support loss.

    The result stays connected to ``start`` and ``rates``, so a query loss of it differentiates
    through every step; with ``inner.first_order``, as if the steps were constant.

    Args:
        start: Where the steps begin; not changed.
        loss: Differentiable twice, unless first order.
        batch: What the loss is taken on.
        rates: Step sizes.
        inner: How many steps and how they are held back.

    Returns:
        New tensors under the same names; ``start`` itself where there is no step.

    Source:
        Finn, Abbeel and Levine (2017), "Model-Agnostic Meta-Learning", eq. 1; Li et al. (2017),
        "Meta-SGD", eq. 2, where ``rates`` are tensors.
    """
    weights = start
    for step in range(inner.n_steps):
        # First order, the gradient is a constant outside, so the outer graph need not record it.
        with torch.set_grad_enabled(torch.is_grad_enabled() and not inner.first_order):
            gradient = grad(loss)(weights, batch)
            if inner.pull and step:  # the first step begins at the start
                gradient = {
                    name: value + inner.pull * (weights[name] - start[name])
                    for name, value in gradient.items()
                }
            gradient = clipped(gradient, inner.clip_norm)
        weights = {
            name: value - (rates[name] if isinstance(rates, dict) else rates) * gradient[name]
            for name, value in weights.items()
        }
    return weights


def clipped(gradient: Weights, norm: float | None) -> Weights:
    """The gradient, shortened to ``norm`` over all its parts together where it is longer.

    Twice differentiable everywhere but at exactly ``norm``; the square root is never taken of 0,
    whose slope would turn the outer gradient of a task without reactions into NaN.
    """
    if norm is None:
        return gradient
    square = torch.stack([(value * value).sum() for value in gradient.values()]).sum()
    long = square > norm**2
    factor = torch.where(long, norm * torch.where(long, square, 1.0).rsqrt(), 1.0)
    return {name: value * factor for name, value in gradient.items()}


def meta_losses(
    start: Weights, loss: Loss[B], support: B, query: B, rates: Rates, *, inner: Inner
) -> tuple[Tensor, Weights]:
    """Query loss of each task after adapting to its support; all tasks at once.

    Args:
        start: Shared by the tasks.
        loss: Of one task; must not depend on the data in its control flow.
        support: Tensors with the tasks along their first axis, in tuples or dictionaries.
        query: Likewise.
        rates: Step sizes.
        inner: How the inner loop goes.

    Returns:
        Losses, ``(T,)``, and the adapted weights, each with the tasks along a new first axis.

    Raises:
        ValueError: If the tasks of support and query are not equally many.
    """

    def one(support: B, query: B) -> tuple[Tensor, Weights]:
        weights = adapt(start, loss, support, rates, inner)
        if not inner.n_steps:  # vmap gives back what does not depend on a task without its axis
            weights = {name: value.clone() for name, value in weights.items()}
        return loss(weights, query), weights

    found: tuple[Tensor, Weights] = vmap(one)(support, query)
    return found


def meta_loss(
    start: Weights,
    loss: Loss[B],
    support: B,
    query: B,
    rates: Rates,
    *,
    inner: Inner,
    counts: Tensor | None = None,
) -> Tensor:
    """Mean query loss over the tasks that count; see `meta_losses`.

    Args:
        start: Shared by the tasks; gradients flow to it.
        loss: Of one task.
        support: Tasks along the first axis of every tensor.
        query: Likewise.
        rates: Step sizes; gradients flow to them too, where they are tensors.
        inner: How the inner loop goes.
        counts: How much each task counts, ``(T,)``, 0 for padding; None: all the same.

    Returns:
        A scalar; 0 where no task counts.
    """
    each, _ = meta_losses(start, loss, support, query, rates, inner=inner)
    if counts is None:
        return each.mean()
    total = counts.sum()
    # A padding task may have no loss at all, and 0 times NaN would be NaN.
    kept = torch.where(counts > 0, each, torch.zeros_like(each))
    return (kept * counts).sum() / torch.where(total > 0, total, torch.ones_like(total))
