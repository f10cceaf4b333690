"""Slots filled by chance, with the chances kept for whoever learns from what happens.

A list that only ever shows what scores well never learns about the rest: filters on confidence
delete new items by design. A few slots are drawn at random instead, more often among candidates
whose score is uncertain. The chance of each candidate is returned; a reward divided by it is an
unbiased estimate (inverse propensity scoring).

Source:
    Horvitz and Thompson (1952), "A generalization of sampling without replacement from a finite
    universe"; Bottou et al. (2013), "Counterfactual reasoning and learning systems", section 4.
"""

from dataclasses import dataclass

import numpy as np

from crossfade.ranking.greedy import QUALITY, Limits, broken_by_all, take
from crossfade.types import Doubles, Ints, Rows

EVEN_SHARE = 0.1
"""Part of the chance that is spread evenly, so that no candidate's is too small to divide by."""


@dataclass(frozen=True, eq=False)
class ExploredSlot:
    """One slot filled by chance.

    Attributes:
        position: Its place in the list, 0 being the first.
        item_row: Every item that could have stood there, given the slots drawn before it,
            shape ``(n,)``.
        probability: Their chances, above 0 and 1 in sum, shape ``(n,)``.
        chosen: Which of them was drawn.
    """

    position: int
    item_row: Rows
    probability: Doubles
    chosen: int

    @property
    def propensity(self) -> float:
        """Chance of the item that was drawn."""
        return float(self.probability[self.chosen])


@dataclass(frozen=True, eq=False)
class Draw:
    """One candidate drawn: among whom, with what chances, and the limits it breaks, as bits."""

    among: Ints
    probability: Doubles
    chosen: int
    broken: int


def chances(uncertainty: Doubles) -> Doubles:
    """Chance of each candidate, in proportion to its uncertainty but for `EVEN_SHARE`.

    Args:
        uncertainty: 0 or more, shape ``(n,)``; NaN, unknown, counts as the largest known one.

    Returns:
        Above 0 and 1 in sum; all equal where nothing is known or nothing is uncertain.
    """
    n = len(uncertainty)
    known = ~np.isnan(uncertainty)
    most = float(uncertainty[known].max()) if known.any() else 0.0
    if most == 0:
        return np.full(n, 1 / n)
    # Over the largest first: sums of huge numbers would overflow.
    weight = np.where(known, uncertainty, most) / most
    probability: Doubles = EVEN_SHARE / n + (1 - EVEN_SHARE) * weight / weight.sum()
    return probability


def draw(
    limits: Limits,
    levels: Ints,
    uncertainty: Doubles,
    n: int,
    rng: np.random.Generator,
) -> list[Draw]:
    """Candidates for some slots, one after the other, each among those not yet listed.

    Those that keep the limits of the first level that leaves anybody; a small probability is no
    reason to keep an item out here, since trying such items is what the slots are for.

    Args:
        limits: With the rest of the list already taken; changed in place.
        levels: Sets of limits as bits, each within the one before.
        uncertainty: Of each candidate, shape ``(n_candidates,)``; see `chances`.
        n: How many slots.
        rng: Where chance comes from; one number for each slot.

    Returns:
        At most ``n``: fewer where nobody is left whom the last level lets in.
    """
    drawn = []
    for number in rng.random(n):
        broken = broken_by_all(limits)
        fitting = (
            np.flatnonzero((broken >= 0) & (broken & level & ~QUALITY == 0)) for level in levels
        )
        among = next((places for places in fitting if len(places)), None)
        if among is None:
            break
        probability = chances(uncertainty[among])
        reached = np.cumsum(probability)
        chosen = int(np.searchsorted(reached, number * reached[-1], side="right"))
        # Rounding may put the number on the upper end.
        chosen = min(chosen, len(among) - 1)
        take(limits, among[chosen])
        drawn.append(Draw(among, probability, chosen, int(broken[among[chosen]]) & ~QUALITY))
    return drawn


def positions(n_listed: int, n_explored: int) -> Ints:
    """Where explored slots stand: at the ends of equal stretches of a list.

    Args:
        n_listed: Length of the whole list, at least ``n_explored``.
        n_explored: How many slots.

    Returns:
        Rising places, the first of a list being 0, shape ``(n_explored,)``.
    """
    stretch = np.arange(1, n_explored + 1, dtype=np.int64)
    return stretch * n_listed // max(n_explored, 1) - 1
