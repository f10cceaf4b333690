"""How much each of several models counts, by what they said of lists they had not seen."""

import numpy as np

from crossfade.fusion.base import LabelledSignals, Signals
from crossfade.fusion.static import tune_static
from crossfade.types import Doubles, Floats

LEAST_SHARE = 0.05
"""A model with a smaller share is left out: it moves no list that its time would be worth."""

BAGS = 20
"""Samples of the requests on which shares are sought; the mean of them is taken."""


def find_shares(
    scaled: Floats,
    labelled: LabelledSignals,
    rng: np.random.Generator,
    *,
    depth: int,
    even_requests: int,
) -> Doubles:
    """Shares by greedy ensemble selection, drawn towards equal ones where lists are few.

    Args:
        scaled: What each model said of each candidate, z-scored per request, ``(B, L, M)``; NaN
            where it said nothing.
        labelled: Those lists, at least one of which holds something wanted.
        rng: For samples of the requests.
        depth: NDCG at this depth decides.
        even_requests: The equal shares count as much as this many requests.

    Returns:
        Shape ``(M,)``, at least 0, summing to 1.

    Source:
        Caruana et al. (2004), "Ensemble Selection from Libraries of Models", §2.3 for the
        repetition on samples.
    """
    signals = Signals(scaled, labelled.signals.mask)
    hopeful = np.flatnonzero((labelled.relevant & signals.mask).any(axis=1))
    found = []
    for _ in range(BAGS if scaled.shape[-1] > 1 else 1):
        drawn = rng.choice(hopeful, size=len(hopeful))
        lists = signals.take(drawn), labelled.relevant[drawn], labelled.n_relevant[drawn]
        found.append(tune_static(*lists, depth, start="equal").weights)
    mean = np.mean(found, axis=0, dtype=np.float64)
    least = min(LEAST_SHARE, mean.max())  # or of many equals none would be left
    kept = np.where(mean < least, 0, mean)
    even = (kept > 0) / (kept > 0).sum()
    evenness = even_requests / (even_requests + len(hopeful))
    shares: Doubles = (1 - evenness) * kept / kept.sum() + evenness * even
    return shares
