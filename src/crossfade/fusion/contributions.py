"""What each base brought to the score of a candidate: an exact account, term by term.

Shapes: one request with L candidates, n of which are asked about, S bases, M members.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np

from crossfade.fusion.scaling import centre
from crossfade.types import Bools, Doubles, Floats, Ints


@dataclass(frozen=True, eq=False)
class Contributions:
    """The scores of some candidates of one request as sums, in the unit of the score.

    Both ``base.sum(axis=-1) + residual`` and ``centred.sum(axis=-1) + centred_residual`` are the
    score. Every row is NaN whose candidate has no score.

    Attributes:
        base: What each base brought, ``(n, S)``; exactly 0 where it cannot score the candidate.
        residual: What no base accounts for, ``(n,)``: context, intercepts, the origin of a scale,
            and the last bits that rounding leaves.
        centred: How much each base lifts the candidate above the average one, ``(n, S)``: its
            contribution minus the mean of its contributions to the request's candidates that it
            can score; exactly 0 where it cannot score the candidate. What is the same for all
            candidates, such as a constant, is in none of them. Trees are measured from the average
            candidate of the lists they learned from, as the other candidates would cost too much.
        centred_residual: Score minus what stands in ``centred``, ``(n,)``.
    """

    base: Doubles
    residual: Doubles
    centred: Doubles
    centred_residual: Doubles


class ByBase(NamedTuple):
    """`Contributions` before the residuals; what stands where a base cannot score is not read."""

    base: Doubles
    centred: Doubles


def account(score: Floats, there: Bools, parts: ByBase) -> Contributions:
    """Contributions with the residuals that make the sums exact.

    Args:
        score: Shape ``(n,)``; NaN where there is none.
        there: Which bases can score the candidate, ``(n, S)``.
        parts: Both ``(n, S)``.
    """
    base, centred = (np.where(there, part, 0.0) for part in parts)
    base[np.isnan(score)] = centred[np.isnan(score)] = np.nan
    return Contributions(base, score - base.sum(axis=-1), centred, score - centred.sum(axis=-1))


def over_list(brought: Doubles, there: Bools, score: Floats, places: Ints) -> ByBase:
    """Contributions to some candidates, beside those to the whole list.

    Args:
        brought: To every candidate, ``(L, S)``.
        there: Where a base can score a candidate, same shape.
        score: Of the candidates, ``(L,)``; those without one are not counted.
        places: Of the candidates that are asked about, ``(n,)``.
    """
    base = brought[places]
    return ByBase(base, base - _means(brought, there, score))


@numba.njit(cache=True, nogil=True)
def _means(brought: Doubles, there: Bools, score: Floats) -> Doubles:
    """Of each column, over the candidates with a score that its base can score; 0 without any."""
    total, n = np.zeros(brought.shape[1]), np.zeros(brought.shape[1])
    for row in range(len(score)):
        for column in range(0 if np.isnan(score[row]) else len(total)):
            if there[row, column]:
                total[column] += brought[row, column]
                n[column] += 1
    return total / np.maximum(n, 1)


def acted(weights: Floats, says: Floats | Doubles, there: Bools) -> Doubles:
    """Terms of a weighted mean, ``(L, S)``: weight times what the base says, 0 where it says nothing.

    Args:
        weights: Shape ``(L, S)``; NaN for a candidate without a score.
        says: On the scale that is averaged, same shape.
        there: Where a base says something, same shape.
    """
    return weights.astype(np.float64) * np.where(there, says, 0.0)


def joined(parts: Sequence[Contributions], scores: Floats, shares: Doubles, places: Ints) -> ByBase:
    """Contributions to a mean of z scores, from those to each member's own score.

    A z score is the member's score times one number plus another. So contributions are
    multiplied by the first, and the second belongs to no base. Members that cannot score a
    candidate have no say in it, and the shares of the others grow to 1. What is centred was
    centred by each member, on the candidates that it scores.

    Args:
        parts: Of the M members, for the candidates that are asked about.
        scores: What each said of the whole list, ``(M, L)``.
        shares: Above 0, ``(M,)``.
        places: Of the candidates that are asked about, ``(n,)``.
    """
    # A member that says the same of all has a z score of 0 throughout: its deviation is none.
    slope = np.array([centre(row)[1] for row in scores])
    spoke = ~np.isnan(scores[:, places])
    mass = spoke.T @ shares
    factor = np.where(spoke, (shares * slope)[:, None], 0.0) / np.where(mass > 0, mass, 1.0)
    each = factor[:, :, None]  # (M, n, 1)
    base, centred = (
        (each * np.where(spoke[:, :, None], np.stack(one), 0.0)).sum(axis=0)
        for one in ([p.base for p in parts], [p.centred for p in parts])
    )
    return ByBase(base, centred)
