"""What an index loses against exact search over the vectors as they came."""

from dataclasses import asdict, dataclass

import numba
import numpy as np

from crossfade.types import Doubles, Floats, Ints, Rows

N_RESAMPLES = 2_000


@dataclass(frozen=True)
class Measured:
    """A mean over queries.

    Attributes:
        mean: The value.
        low: Lower end of its 95 % interval, by bootstrap over the queries.
        high: Upper end.
        n_queries: How many queries it rests on.
        k: Length of the lists compared.
    """

    mean: float
    low: float
    high: float
    n_queries: int
    k: int

    def facts(self) -> dict[str, float | int]:
        """JSON-ready."""
        return asdict(self)


def measured(values: Doubles, k: int, rng: np.random.Generator) -> Measured:
    """Mean and interval of one value per query; at least one is needed."""
    drawn = values[rng.integers(len(values), size=(N_RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Measured(float(values.mean()), float(low), float(high), len(values), k)


def recall(scores: Floats, truth: Floats) -> Doubles:
    """Share of a list that belongs there, for each query.

    What scores as much as the last of the true best belongs there: of equal vectors any will do.

    Args:
        scores: True scores of what was found, shape ``(n_queries, k)``; NaN is a gap.
        truth: Scores of the true best, falling, same shape, without gaps.
    """
    shares: Doubles = (scores >= truth[:, -1:]).mean(axis=1, dtype=np.float64)
    return shares


def rank_change(scores: Floats, truth: Rows) -> Doubles:
    """How many places the true best are moved by other scores, mean for each query.

    Args:
        scores: What the stored vectors give, shape ``(n_queries, n)``.
        truth: The true best in their order, shape ``(n_queries, k)``, without gaps.

    Returns:
        Mean of |new rank - true rank|, where ranks are among all n and equal scores are ordered by number.
    """
    out = np.empty(len(truth), dtype=np.float64)
    for i, (row, wanted) in enumerate(zip(scores, truth, strict=True)):
        out[i] = np.abs(_ranks(row, wanted.astype(np.int64)) - np.arange(len(wanted))).mean()
    return out


def _ranks(row: Floats, wanted: Ints) -> Ints:
    """Rank of some columns among all of a row, 0 is the largest."""
    order = np.lexsort((wanted, -row[wanted]))  # best first
    ahead = _count_ahead(row, row[wanted][order], wanted[order])
    ranks = np.empty(len(wanted), dtype=np.int64)
    ranks[order] = np.cumsum(ahead[:-1])
    return ranks


@numba.njit(cache=True, nogil=True)
def _count_ahead(row: Floats, values: Floats, columns: Ints) -> Ints:
    """How many columns lie before the first of some, between the first and the second, … and after the last."""
    counts = np.zeros(len(values) + 1, dtype=np.int64)
    for column in range(len(row)):
        score = row[column]
        low, high = 0, len(values)
        while low < high:  # the first of them that this column lies before
            middle = (low + high) // 2
            if score > values[middle] or (score == values[middle] and column < columns[middle]):
                high = middle
            else:
                low = middle + 1
        counts[low] += 1
    return counts
