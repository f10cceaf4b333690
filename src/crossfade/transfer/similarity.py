"""How alike two domains are: by what their lists look like, and by whether one foretells the other."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtr

from crossfade.fusion.few_shot.network import loss, neutral
from crossfade.transfer.case import Case
from crossfade.transfer.knowledge import Knowledge
from crossfade.transfer.moments import FEWEST, Moments

RIDGE = 1e-3
"""Share of the usual variance added to every direction, so that one that never varies decides nothing."""


@dataclass(frozen=True)
class Likeness:
    """How a source stands to a target.

    Attributes:
        source: Its name.
        distance: Proxy A-distance of their lists, in [0, 2]: 0 for lists that nobody can tell apart; None
            where there are too few to tell.
        foretells: How much better the source's gate foretells what the target wants than equal
            weights do, in nats per list; below 0 it misleads; None where nothing was wanted.
    """

    source: str
    distance: float | None
    foretells: float | None


def likeness(source: Knowledge, case: Case) -> Likeness:
    """Compare a source with a target on what both know: scores of the same bases, and histories."""
    foretells = None
    if case.lists.n_teaching:
        gate = source.prior.parameters(case.domain, case.evidence)
        even, own = (
            float(loss(torch.from_numpy(at), case.lists))
            for at in (neutral(case.lists.n_bases), gate)
        )
        foretells = even - own
    return Likeness(
        source.name, proxy_distance(source.moments, Moments.of([case.lists])), foretells
    )


def proxy_distance(one: Moments, other: Moments) -> float | None:
    """Proxy A-distance by the best linear discriminant between two normal clouds; None for too few lists.

    ``2 (1 − 2 error)`` with the error of Fisher's discriminant, which needs means and covariances only:
    so a source need not show its lists.

    Source:
        Ben-David et al. (2007), "Analysis of Representations for Domain Adaptation", §4; Fisher (1936).
    """
    if min(one.n, other.n) < FEWEST:
        return None
    apart = one.middle - other.middle
    pooled = (one.covariance + other.covariance) / 2
    ridge = RIDGE * np.trace(pooled) / len(pooled)
    if ridge == 0:  # nothing varies in either
        return 0.0 if not apart.any() else 2.0
    squared = float(apart @ np.linalg.solve(pooled + ridge * np.eye(len(pooled)), apart))
    error = float(ndtr(-0.5 * np.sqrt(max(squared, 0.0))))
    return 2 * (1 - 2 * error)
