"""How alike candidates are, and how good, on scales that a knob can weigh against each other."""

import numba
import numpy as np

from crossfade.arrays import n_shared
from crossfade.errors import ConfigError
from crossfade.ranking.catalogue import RankingCatalogue
from crossfade.types import Doubles, Floats, Ints, Rows


def relevance(score: Floats | Doubles) -> Doubles:
    """Scores as shares of the way from the worst to the best, so that every unit weighs the same.

    Distances between scores are kept: an item far ahead of the others is not given up for a little
    variety. Ranks, which forget them, cost more accuracy for the same diversity (measured on the
    calibrate block of Amazon CDs).

    Args:
        score: Falling, shape ``(n,)``.

    Returns:
        Shape ``(n,)``, in [0, 1]; 1 throughout where all are equal.
    """
    if not len(score):
        return np.zeros(0)
    doubles = score.astype(np.float64)
    width = doubles[0] - doubles[-1]
    return (doubles - doubles[-1]) / width if width > 0 else np.ones(len(score))


def similarity(
    item_row: Rows, vectors: Floats | Doubles | None, catalogue: RankingCatalogue
) -> Doubles:
    """How alike the items are, shape ``(n, n)``, 1 on the diagonal.

    In [0, 1]: half of 1 plus the cosine of their vectors; without vectors the Jaccard
    similarity of their genres, which is what the metric `diversity` of an evaluation counts.
    Items of which nothing is known are taken to be as like each other item as the known ones
    are on average, so that missing knowledge is neither rewarded nor punished.

    Args:
        item_row: Shape ``(n,)``.
        vectors: Shape ``(n, width)``, a row with NaN or of zeros alone being unknown; or None.
        catalogue: The items.

    Raises:
        ConfigError: If there are neither vectors nor genres.
    """
    if vectors is not None:
        # Plain cosines would take opposites for copies, since they span no volume.
        return filled((1 + cosine(vectors)) / 2)
    if not catalogue.genres:
        raise ConfigError(
            "diversity needs item vectors or genres, and the catalogue has no genres; give vectors with the "
            "candidates, or set diversity = 0"
        )
    return filled(jaccard(item_row, catalogue.genre_indptr, catalogue.genre))


def cosine(vectors: Floats | Doubles) -> Doubles:
    """Cosines of all pairs, shape ``(n, n)``; NaN for vectors with NaN, or of zeros alone."""
    doubles = vectors.astype(np.float64)
    length = np.sqrt((doubles**2).sum(axis=1, keepdims=True))
    units = np.divide(doubles, length, out=np.full_like(doubles, np.nan), where=length > 0)
    return _products(np.ascontiguousarray(units.T))


@numba.njit(cache=True, nogil=True)
def _products(units: Doubles) -> Doubles:
    """Inner products of all columns, in one order of summing, so that equal vectors tie exactly."""
    width, n = units.shape
    out = np.zeros((n, n))
    for i in range(n):
        row = out[i]
        for c in range(width):
            own, values = units[c, i], units[c]
            for j in range(n):
                row[j] += own * values[j]
    return out


@numba.njit(cache=True, nogil=True)
def jaccard(item_row: Rows, indptr: Ints, genre: Rows) -> Doubles:
    """Shared genres over all genres of each pair, shape ``(n, n)``; NaN where either has none."""
    n = len(item_row)
    out = np.full((n, n), np.nan)
    for i in range(n):
        for j in range(i + 1):
            at_a, end_a = indptr[item_row[i]], indptr[item_row[i] + 1]
            at_b, end_b = indptr[item_row[j]], indptr[item_row[j] + 1]
            if at_a == end_a or at_b == end_b:
                continue
            n_both = n_shared(genre, at_a, end_a, at_b, end_b)
            n_either = (end_a - at_a) + (end_b - at_b) - n_both
            out[i, j] = out[j, i] = n_both / n_either
    return out


def filled(similarities: Doubles) -> Doubles:
    """Similarities whose unknown rows are filled with the averages of the known ones.

    In the space behind a kernel this puts an unknown item at the mean of the known ones, plus a
    direction of its own that makes its length 1; so the filled matrix is a kernel if the known
    part is one, and determinants stay meaningful.

    Args:
        similarities: Symmetric, shape ``(n, n)``, an unknown item's row and column being NaN.

    Returns:
        The same, without NaN, 1 on the diagonal. Where nothing is known all pairs have 0.
    """
    unknown = np.isnan(np.diagonal(similarities))
    known = ~unknown
    out = similarities.copy()
    if unknown.any():
        # An item counts among the average it is compared with: that keeps the matrix a kernel.
        mean = similarities[known][:, known].mean(axis=0) if known.any() else np.empty(0)
        out[np.ix_(unknown, known)] = mean
        out[np.ix_(known, unknown)] = mean[:, None]
        out[np.ix_(unknown, unknown)] = mean.mean() if len(mean) else 0.0
    np.fill_diagonal(out, 1.0)
    return out
