"""Accuracy of ranked lists: pure functions of where the wanted items stand.

All take ``hits``, shape ``(n, k)``: True where the item at that rank was wanted (False
where a list is shorter than k), and ``n_relevant``, shape ``(n,)``: how many items were
wanted altogether. All give shape ``(n,)``, in [0, 1], NaN where nothing was wanted. The
lists come from the whole catalogue; nothing is sampled. Definitions agree with trec_eval.
"""

from collections.abc import Callable

import numba
import numpy as np

from crossfade.types import Bools, Csr, Doubles, Ints, Rows


def ndcg(hits: Bools, n_relevant: Ints) -> Doubles:
    """Discounted gain over that of an ideal list of the same length.

    Source:
        Järvelin and Kekäläinen (2002), "Cumulated Gain-Based Evaluation of IR Techniques",
        with binary gain and discount 1 / log2(rank + 1).
    """
    k = hits.shape[1]
    discount = 1 / np.log2(np.arange(2, k + 2))
    # The best possible list holds min(n_relevant, k) wanted items at its top.
    ideal = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(n_relevant, k)]
    return _share(hits @ discount, ideal)


def recall(hits: Bools, n_relevant: Ints) -> Doubles:
    """Wanted items found, over all wanted items (also where those are more than k)."""
    return _share(hits.sum(axis=1), n_relevant)


def precision(hits: Bools, n_relevant: Ints) -> Doubles:
    """Wanted items found over k; empty places of a short list count as misses."""
    found = hits.mean(axis=1)
    return np.where(n_relevant > 0, found, np.nan)


def average_precision(hits: Bools, n_relevant: Ints) -> Doubles:
    """Mean over all wanted items of the precision at their rank, 0 where not found.

    Its mean over requests is MAP. Divides by ``n_relevant``, as trec_eval's ``map_cut``.
    """
    ranks = np.arange(1, hits.shape[1] + 1)
    at_hits = np.where(hits, np.cumsum(hits, axis=1) / ranks, 0.0)
    return _share(at_hits.sum(axis=1), n_relevant)


def reciprocal_rank(hits: Bools, n_relevant: Ints) -> Doubles:
    """1 over the rank of the first wanted item, 0 where none is found; its mean is MRR."""
    first = np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1), 0.0)
    return np.where(n_relevant > 0, first, np.nan)


def hit_rate(hits: Bools, n_relevant: Ints) -> Doubles:
    """1 where any wanted item is found."""
    return np.where(n_relevant > 0, hits.any(axis=1).astype(np.float64), np.nan)


ACCURACY_METRICS: dict[str, Callable[[Bools, Ints], Doubles]] = {
    "ndcg": ndcg,
    "recall": recall,
    "precision": precision,
    "map": average_precision,
    "mrr": reciprocal_rank,
    "hr": hit_rate,
}


def locate(lists: Rows, relevant: Csr) -> tuple[Bools, Rows]:
    """Where wanted items stand in ranked lists.

    Args:
        lists: Item rows, best first, -1 padded, shape ``(n, k)``.
        relevant: Stored where an item is wanted, shape ``(n, n_items)``, sorted indices.

    Returns:
        ``hits``, shape ``(n, k)``, and for every stored entry of ``relevant`` its place in
        the list, 0 for the first, or -1 where it is not in it.
    """
    hits = np.zeros(lists.shape, dtype=np.bool_)
    place = np.full(relevant.nnz, -1, dtype=np.int32)
    indptr, indices = relevant.indptr.astype(np.int64), relevant.indices.astype(np.int32)
    _locate(lists, indptr, indices, hits, place)
    return hits, place


@numba.njit(cache=True, nogil=True)
def _locate(lists: Rows, indptr: Ints, indices: Rows, hits: Bools, place: Rows) -> None:
    for row in range(lists.shape[0]):
        start, stop = indptr[row], indptr[row + 1]
        for rank in range(lists.shape[1]):
            item = lists[row, rank]
            if item < 0:
                break
            entry = start + np.searchsorted(indices[start:stop], item)
            if entry < stop and indices[entry] == item:
                hits[row, rank] = True
                place[entry] = rank


def _share(part: Doubles | Ints, whole: Doubles | Ints) -> Doubles:
    out = np.full(len(part), np.nan)
    np.divide(part, whole, out=out, where=np.asarray(whole) > 0)
    return out
