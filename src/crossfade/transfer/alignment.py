"""Making a target look like a source, in front of the source's gate."""

import numpy as np
import torch

from crossfade.fusion.few_shot.network import Lists, loss
from crossfade.transfer.case import Case, Option
from crossfade.types import Doubles


class FeatureAlignment(Option):
    """The target's scores are moved and stretched to look like the source's, in front of its gate.

    Second moments are matched per base, as weights of a blend must stay weights, while the
    aligned blend is asked to rank the target's own lists; both start at leaving scores as they are.

    Source:
        Sun and Saenko (2016), "Deep CORAL", arXiv 1607.01719, eq. 1, with diagonal covariances.
    """

    name, verdict = "feature_alignment", "transfer"

    def settle(self, case: Case) -> Doubles:
        """See `Option.settle`."""
        start = case.carried()
        n = case.lists.n_bases
        source = self._moments(case)
        own = _score_moments(case.lists)
        known = torch.from_numpy(np.isfinite(source).all(axis=0) & np.isfinite(own).all(axis=0))
        theirs, ours = (torch.from_numpy(np.nan_to_num(part, nan=1.0)) for part in (source, own))
        moved = torch.zeros(2, n, dtype=torch.float64, requires_grad=True)  # log-stretch and shift
        optimiser = torch.optim.Adam([moved], lr=case.config.rate)
        lists, pull = case.lists, case.config.pull
        for _ in range(case.config.n_steps):
            optimiser.zero_grad()
            stretch = moved[0].exp()
            apart = (stretch * ours[0] + moved[1] - theirs[0]).square()
            apart = apart + (stretch * ours[1] - theirs[1]).square()
            task = loss(in_front(torch.from_numpy(start), moved), lists) * lists.n_teaching
            total = task + pull * ((apart * known).mean() + moved.square().sum())
            total.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        return in_front(torch.from_numpy(start), moved).detach().numpy()

    def _moments(self, case: Case) -> Doubles:
        """Means and spreads of the nearest source, ``(2, S)``."""
        gates = np.stack([one.prior.parameters(case.domain, case.evidence) for one in case.sources])
        nearest = case.sources[int(np.argmax(case.trust(gates)))].moments
        return np.stack([nearest.mean, nearest.deviation])


def _score_moments(lists: Lists) -> Doubles:
    """Mean and spread of each base's scores where it gives any, ``(2, S)``; NaN where it gives none."""
    there = lists.there.double()
    n = there.sum(dim=(0, 1))
    mean = lists.score.sum(dim=(0, 1)) / n
    square = lists.score.square().sum(dim=(0, 1)) / n
    return np.stack([mean.numpy(), (square - mean.square()).clamp(min=0).sqrt().numpy()])


def in_front(flat: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
    """Parameters of the gate that ranks scores as the given one ranks stretched and shifted ones.

    ``w (a z + b)`` is ``w a · z`` and a constant; a missing score then counts less by ``b``.
    """
    n = moved.shape[1]
    bias, rest = flat[:n] + moved[0], flat[n : 2 * n]
    missing = (flat[2 * n : 3 * n] - moved[1]) * (-moved[0]).exp()
    return torch.cat([bias, rest, missing, flat[3 * n :]])
