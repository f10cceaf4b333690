"""How much two versions agree on what is near what."""

import numpy as np

from crossfade.types import Doubles, Floats, Ints


def neighbour_overlap(before: Floats, after: Floats, sampled: Ints, k: int = 10) -> Doubles:
    """Jaccard similarity of the nearest neighbours that each of some items has in two sets of vectors.

    Two trainings differ by a rotation, so that vectors themselves cannot be compared; neighbours by cosine
    do not notice one. Of items spread at random over n others, ``k / (2 n)`` is left.

    Args:
        before: Vectors of the items that both versions know, ``(n, d)``.
        after: Of the same items in the same order, ``(n, e)``.
        sampled: Items to look at.
        k: Neighbours of each; n − 1 where there are fewer.

    Returns:
        In [0, 1], one per sampled item; NaN where one of its vectors is 0 or unknown.
    """
    one, other = (_unit(vectors) for vectors in (before, after))
    out = np.full(len(sampled), np.nan)
    for place, item in enumerate(sampled.tolist()):
        if np.isnan(one[item]).any() or np.isnan(other[item]).any():
            continue
        a, b = (_nearest(vectors, item, k) for vectors in (one, other))
        either = len(np.union1d(a, b))
        if either:
            out[place] = len(np.intersect1d(a, b)) / either
    return out


def _unit(vectors: Floats) -> Doubles:
    """Of length 1; NaN where there is no direction."""
    length = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    found: Doubles = np.divide(
        vectors, length, out=np.full(vectors.shape, np.nan), where=length > 0
    )
    return found


def _nearest(vectors: Doubles, item: int, k: int) -> Ints:
    """The k items with the largest cosine, ties by row."""
    cosine = vectors @ vectors[item]
    cosine[item] = np.nan
    order = np.argsort(-cosine, kind="stable")  # NaN last
    found: Ints = order[: min(k, int((~np.isnan(cosine)).sum()))]
    return found
