"""What the two towers are trained on. Pure functions of tensors."""

from typing import Any

import numpy as np
import torch
from scipy.special import xlog1py
from torch import Tensor
from torch.nn import functional

from crossfade.types import Floats


def sampled_softmax(  # noqa: PLR0917  (in the order of the formula)
    user: Tensor,
    item: Tensor,
    target: Tensor,
    excluded: Tensor,
    log_q: Tensor,
    temperature: Tensor | float,
    correction: float,
    *,
    correct_positives: bool = False,
    hardest: int | None = None,
) -> Tensor:
    """Softmax loss over a sampled set of candidates that all requests of a batch share.

    With s(n) = <user, item n> / temperature, the loss of a request is the mean over its
    positives p of -log(e(p) / (e(p) + Σ e'(n))), where e(p) = exp s(p), the sum runs over
    candidates that are neither positives of the request nor excluded, and
    e'(n) = exp(s(n) - correction × log_q(n)).

    A candidate that enters the set with probability q stands for 1/q items, so with
    correction 1 the sum is unbiased for the sum over *all* other items, and the gradient
    that of the full softmax up to the spread of the sample. Popular items enter often;
    without the correction they are pushed down more than they should be. A positive is
    in its own sum always, not with probability q, and stands for itself alone.

    Args:
        user: Vectors of the requests, shape ``(batch, dim)``.
        item: Vectors of the candidates, each item once, shape ``(candidates, dim)``.
        target: Positives of each request, bool ``(batch, candidates)``.
        excluded: No negatives for the request, such as other items the user is known to
            like, bool ``(batch, candidates)``; says nothing about positives.
        log_q: Log probability that a candidate enters the set, shape ``(candidates,)``;
            see `inclusion_log_q`.
        temperature: Above 0; cosines need about 0.05 to 0.1.
        correction: Share of the correction to apply, 0 (none) to 1 (all).
        correct_positives: Also take the correction off the positives, e(p) = e'(p), as in
            Yi et al. Has the same optimum given enough data and capacity, but pushes
            positives the less the rarer they are.
        hardest: Keep only this many negatives per request, those with the largest
            s(n); None keeps all.

    Returns:
        Mean over the requests that have a positive, a scalar; 0, with a gradient of
        0, where none has. A request without a negative adds 0. Half precision is
        computed in float32.

    Source:
        Yi et al. (2019), "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
        Recommendations", eq. 4 and 5; positives left alone as in Khrylchenko et al. (2025),
        "Correcting the LogQ Correction".
    """
    # Autocast would round the logits to bf16: at temperature 0.05 an error of 0.08.
    with torch.autocast(user.device.type, enabled=False):
        user, item = (x.float() if x.dtype.itemsize < 4 else x for x in (user, item))
        scaled = user / temperature
        shift = -correction * log_q.to(item.dtype)
        row, column = target.nonzero(as_tuple=True)
        positive = (scaled[row] * item[column]).sum(dim=1)
        if correct_positives:
            positive = positive + shift[column]
        absent = target | excluded
        if hardest is not None and hardest < len(item):
            absent = _all_but_hardest(user, item, absent, hardest)
        against = _log_sum_exp(scaled, item, shift, absent)
        # -log(e(p) / (e(p) + exp(against))), without leaving the log scale.
        each = functional.softplus(against[row] - positive)
        n_positives = row.bincount(minlength=len(user))
        n_requests = (n_positives > 0).sum().clamp(min=1)
        return (each / n_positives[row]).sum() / n_requests


def _all_but_hardest(user: Tensor, item: Tensor, absent: Tensor, hardest: int) -> Tensor:
    """``absent``, and True too for all but the ``hardest`` most similar of the others."""
    with torch.no_grad():
        similarity = (user @ item.T).masked_fill_(absent, -torch.inf)
        kept = similarity.topk(hardest, dim=1, sorted=False).indices
        return absent | torch.ones_like(absent).scatter_(1, kept, value=False)


def _log_sum_exp(user: Tensor, item: Tensor, shift: Tensor, absent: Tensor) -> Tensor:
    """The log of Σ exp(<user, item> + shift) over the items that are not absent; -inf over none."""
    out: Tensor = _LogSumExp.apply(user, item, shift, absent)  # type: ignore[no-untyped-call]
    return out


class _LogSumExp(torch.autograd.Function):
    """Keeps one matrix of the size of ``absent``, and no gradient of that size.

    With E = exp(logits - largest) and w = gradient / ΣE, the gradients are w E item and
    (w E)ᵀ user: w goes into the small factor. A third of the time of plain autograd.
    """

    @staticmethod
    def forward(ctx: Any, user: Tensor, item: Tensor, shift: Tensor, absent: Tensor) -> Tensor:
        powers = torch.addmm(shift, user, item.T).masked_fill_(absent, -torch.inf)
        largest = powers.amax(dim=1)
        largest = largest.masked_fill(largest == -torch.inf, 0)
        powers.sub_(largest[:, None]).exp_()
        total = powers.sum(dim=1)
        ctx.save_for_backward(user, item, powers, total)
        return total.log() + largest

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        user, item, powers, total = ctx.saved_tensors
        # A row over nothing has no slope; 0 / 0 would say NaN.
        share = torch.where(total > 0, gradient / total, 0)[:, None]
        return share * (powers @ item), powers.T @ (share * user), None, None


def inclusion_log_q(share: Floats, n_in_batch: int, n_uniform: int) -> Floats:
    """Log probability that an item enters the candidates of a batch at least once.

    Args:
        share: Share of each item among the positives that batches draw from, shape
            ``(n_items,)``, non-negative, sums to 1.
        n_in_batch: Positives in a batch, each taken as an independent draw from ``share``.
        n_uniform: Further draws, uniform over all items, with replacement.

    Returns:
        Shape ``(n_items,)``, at most 0; -inf for an item that can never enter.

    Source:
        Mixed negative sampling: Yang et al. (2020), "Mixed Negative Sampling for Learning
        Two-tower Neural Networks in Recommendations".
    """
    # xlog1py: no draw at all leaves even an item absent whose share is 1.
    log_absent = xlog1py(n_in_batch, -share.astype(np.float64))
    log_absent += xlog1py(n_uniform, -1 / len(share))
    with np.errstate(divide="ignore"):  # log 0 is -inf, which is meant
        log_q: Floats = np.log(-np.expm1(log_absent)).astype(np.float32)
    return log_q


def cosine_embedding(user: Tensor, item: Tensor, label: Tensor, margin: float) -> Tensor:
    """The documented baseline: pull wanted pairs together, push the others apart up to a margin.

    Args:
        user: Shape ``(pairs, dim)``.
        item: Shape ``(pairs, dim)``.
        label: 1 for a wanted pair, -1 for another, shape ``(pairs,)``.
        margin: Cosine from which on unwanted pairs cost something, in [-1, 1].

    Returns:
        Mean over pairs of 1 - cos where wanted and max(0, cos - margin) where not, a scalar.
    """
    return functional.cosine_embedding_loss(user, item, label, margin=margin)
