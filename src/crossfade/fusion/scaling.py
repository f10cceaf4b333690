"""Putting the scores of different bases on one scale, request by request."""

from typing import Literal

import numpy as np

from crossfade.types import Floats

Scaling = Literal["zscore", "reciprocal_rank"]


def scale(scores: Floats, scaling: Scaling) -> Floats:
    """Scores of one base on the common scale.

    Args:
        scores: Shape ``(n, n_items)``; NaN where the base cannot score, and it stays NaN.
        scaling: ``zscore`` keeps distances within a request, ``reciprocal_rank`` only the order.
    """
    return zscore(scores) if scaling == "zscore" else reciprocal_rank(scores)


def zscore(scores: Floats) -> Floats:
    """Each row minus its mean, over its standard deviation; a constant row becomes 0."""
    known = ~np.isnan(scores)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    # Counted from the smallest score, a constant row is exactly 0; from a rounded mean it is not.
    lowest = np.where(known, scores, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    above = np.where(known, scores - np.where(np.isinf(lowest), 0.0, lowest), 0.0)
    centred = np.where(known, above - above.sum(axis=1, keepdims=True) / count, 0.0)
    deviation = np.sqrt((centred**2).sum(axis=1, keepdims=True) / count)
    scaled = centred / np.where(deviation > 0, deviation, 1.0)
    return np.where(known, scaled, np.nan).astype(np.float32)


def reciprocal_rank(scores: Floats, offset: float = 60.0) -> Floats:
    """``(offset + 1) / (offset + rank)``, 1 for the best; equal scores share their best rank.

    Source:
        Cormack, Clarke and Büttcher (2009), "Reciprocal Rank Fusion outperforms Condorcet
        and individual Rank Learning Methods".
    """
    out = np.full(scores.shape, np.nan, dtype=np.float32)
    for row, values in enumerate(scores):
        known = ~np.isnan(values)
        ordered = np.sort(-values[known])
        rank = np.searchsorted(ordered, -values[known], side="left") + 1
        out[row, known] = (offset + 1) / (offset + rank)
    return out
