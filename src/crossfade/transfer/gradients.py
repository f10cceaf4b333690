"""Learning with the help of those sources that point the same way."""

import numpy as np
import torch

from crossfade.fusion.few_shot.network import Lists, loss, n_parameters, neutral
from crossfade.transfer.case import Case, Option
from crossfade.transfer.knowledge import Bowl
from crossfade.types import Doubles


class GradientBased(Option):
    """Learning on the target, helped by those groups of source tasks whose gradients point the same way.

    A group helps only if the cosine of its gradient with the target's is above 0 with the stated
    confidence when learning starts, and only in steps in which it still is.

    Source:
        Du et al. (2018), "Adapting Auxiliary Losses Using Gradient Similarity", arXiv 1812.02224, §3.
    """

    name, verdict = "gradient_based", "transfer"

    def settle(self, case: Case) -> Doubles | None:
        """See `Option.settle`; None where no source points the same way."""
        lists, config = case.lists, case.config
        flat = neutral(lists.n_bases)
        helping = _helping(case, flat)
        if not helping:
            return None
        n = lists.n_teaching
        share = n / (n + config.pull)
        at = torch.tensor(flat, requires_grad=True)
        optimiser = torch.optim.Adam([at], lr=config.rate)
        for _ in range(2 * config.n_steps):  # it starts further away than the others
            optimiser.zero_grad()
            (own,) = torch.autograd.grad(loss(at, lists), at)
            now = at.detach().numpy()
            slopes = np.stack([bowl.slope(now) for bowl in helping])
            likeness = np.maximum(_cosine(slopes, own.numpy()), 0)
            theirs = torch.from_numpy(likeness @ slopes / len(helping))
            at.grad = share * own + (1 - share) * theirs
            optimiser.step()
        return at.detach().numpy()


N_RESAMPLED, LOW = 200, 0.1
"""Samples of lists behind the interval of a cosine, and the quantile that must be above 0."""


def _helping(case: Case, flat: Doubles) -> list[Bowl]:
    """The groups whose gradient points the target's way with confidence, at some parameters."""
    each = _list_gradients(case.lists, flat)
    rng = np.random.default_rng(0)
    n = len(each)
    means = np.stack([each[rng.integers(n, size=n)].mean(axis=0) for _ in range(N_RESAMPLED)])
    bowls = [bowl for source in case.sources for bowl in source.bowls]
    return [one for one in bowls if np.quantile(_cosine(means, one.slope(flat)), LOW) > 0]


def _list_gradients(lists: Lists, flat: Doubles) -> Doubles:
    """Gradient of each teaching list's loss, ``(n, P)``."""
    at = torch.tensor(flat, requires_grad=True)
    places = torch.nonzero(lists.relevant.any(dim=1))[:, 0]
    found = [torch.autograd.grad(loss(at, lists.take(one[None])), at)[0].numpy() for one in places]
    return np.stack(found) if found else np.zeros((1, n_parameters(lists.n_bases)))


def _cosine(rows: Doubles, other: Doubles) -> Doubles:
    """Of each row with a vector, ``(n,)``; 0 where one of them is 0."""
    length = np.linalg.norm(rows, axis=1) * np.linalg.norm(other)
    cosine: Doubles = np.divide(rows @ other, length, out=np.zeros(len(rows)), where=length > 0)
    return cosine
