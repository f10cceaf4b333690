"""Where candidates stand among everything a base scores, without sorting large catalogues whole."""

from typing import NamedTuple

import numba
import numpy as np

from crossfade.arrays import top_k
from crossfade.fusion.ranks import Ladder
from crossfade.fusion.scaling import measure
from crossfade.types import Bools, Doubles, Floats, Ints, Rows

SORTED_WHOLE = 32_768
"""Up to so many items each has its exact rank."""

SORTED = 1_024
"""Of more items about so many have, the best of each base."""

SAMPLED = 8_192
"""The others' ranks are estimated from so many at even distances, or a few more."""

ROUNDING = 1e-12
"""Share of a sum of squares that rounding may leave where nothing is left."""

BLOCK = 64
"""Scores looked at together."""

WORD = 8
"""Marks of one byte each that are looked at together."""


class Moments(NamedTuple):
    """Of the scores of n requests, each ``(n,)``.

    Attributes:
        n_known: How many there are.
        mean: Of them.
        inverse: 1 over their standard deviation; 0 where it is 0.
    """

    n_known: Ints
    mean: Doubles
    inverse: Doubles

    @classmethod
    def empty(cls, n: int) -> "Moments":
        """With anything in them."""
        return cls(np.empty(n, dtype=np.int64), np.empty(n), np.empty(n))

    @classmethod
    def of(cls, scores: Floats) -> "Moments":
        """Of scores ``(n, n_items)``."""
        out = cls.empty(len(scores))
        _measure(scores, *out)
        return out


class Standings:
    """Scores of one base for some requests, with what it takes to tell where any of them stands.

    Up to `SORTED_WHOLE` items are sorted. Of more only the best are, about `SORTED`: their ranks are
    exact, the others' are estimated from a sample.

    Attributes:
        scores: Shape ``(n, n_items)``, finite; NaN where the base cannot score. Not copied where it
            is contiguous and of single precision.

    Args:
        scores: The same.
        moments: Theirs, for who has them already.
    """

    def __init__(self, scores: Floats, moments: Moments | None = None) -> None:
        self.scores = scores = np.ascontiguousarray(scores, dtype=np.float32)
        self._moments = Moments.of(scores) if moments is None else moments
        self._columns: tuple[Floats, Rows] | None = None
        n_known, n = self._moments.n_known, len(scores)
        # Of each row: the scores above a floor, and a sample; ascending, so NaN comes last.
        floor = np.full(n, -np.inf, dtype=np.float32)
        if scores.shape[1] <= SORTED_WHOLE:
            best = np.sort(scores, axis=1)
            self._ladder = Ladder(best, n_known, floor, best[:, :0], n_known)
            return
        sample = np.sort(scores[:, :: scores.shape[1] // SAMPLED], axis=1)
        _lower(floor, sample, n_known)
        n_best, width = np.empty(n, dtype=np.int64), 2 * SORTED
        while True:
            best = np.empty((n, width), dtype=np.float32)
            columns = np.empty((n, width), dtype=np.int32)
            _take_above(scores, floor, best, columns, n_best)
            width = int(n_best.max(initial=0))
            if width <= best.shape[1]:
                break
        self._columns = best, columns
        self._ladder = Ladder(np.sort(best, axis=1), n_best, floor, sample, n_known)

    def best(self, k: int) -> Rows:
        """Columns of the k best of each row in their own order, ties by column, ``(n, k)``; -1 pads."""
        n_wanted = np.minimum(self._moments.n_known, k)
        out = np.full((len(self.scores), k), -1, dtype=np.int32)
        left = np.arange(len(out))
        if self._columns is not None:
            found, columns = self._columns
            best, n_best, floor, *_ = self._ladder
            done = _best_of(self.scores, found, columns, best, n_best, floor, n_wanted, out)
            left = np.flatnonzero(~done)
        if len(left):
            scores, n = self.scores[left], n_wanted[left]
            least = np.array(
                [self._least(row, n_wanted[row]) for row in left.tolist()], dtype=np.float32
            )
            rest = out[left]
            _best(scores, least, n - _n_above(scores, least), rest)
            out[left] = rest
        return out

    def among(self, item_rows: Rows, k: int) -> Rows:
        """Of some items alone the k best of each row, best first, ``(n, k)``; -1 pads."""
        places = top_k(self.scores[:, item_rows], k)
        return np.where(places >= 0, item_rows[places], -1).astype(np.int32)

    def _least(self, row: int, n: int) -> np.float32:
        """The n-th best score of a row that has so many; infinite for none."""
        if n == 0:
            return np.float32(np.inf)
        n_best = self._ladder.n_best[row]
        if n <= n_best:
            return np.float32(self._ladder.best[row, n_best - n])
        return np.float32(np.sort(self.scores[row])[self._moments.n_known[row] - n])

    def tell(self, item_row: Rows, score: Floats, rank: Floats) -> None:
        """Write what is said of some items of each row.

        Args:
            item_row: Shape ``(n, L)``; -1 pads.
            score: To write z-scores to, ``(n, L)``; NaN where there is no score.
            rank: To write reciprocal ranks to. Those that rest on the sample are off by less than 0.01.
        """
        values = np.empty(item_row.shape, dtype=np.float32)
        _pick(self.scores, item_row, self._moments.mean, self._moments.inverse, values, score)
        self._ladder.write(values, rank)


def _n_above(scores: Floats, least: Floats) -> Ints:
    """How many scores of each row are above its bound, ``(n,)``."""
    out = np.empty(len(scores), dtype=np.int64)
    _count_above(scores, least, out)
    return out


@numba.njit(cache=True, nogil=True)
def _measure(scores: Floats, n_known: Ints, mean: Doubles, inverse: Doubles) -> None:
    for row in range(len(scores)):
        n_known[row], mean[row], inverse[row] = measure(scores[row])


# Loops over whole rows count up by one from 0 and know no branch: so they run as vectors.
@numba.njit(cache=True, nogil=True)
def _count_above(scores: Floats, least: Floats, out: Ints) -> None:
    for row in range(len(scores)):
        values, bound, n = scores[row], least[row], np.int32(0)
        for place in range(len(values)):
            n += np.int32(values[place] > bound)
        out[row] = n


@numba.njit(cache=True, nogil=True)
def _lower(floor: Floats, sample: Floats, n_known: Ints) -> None:
    """Set each floor to what about `SORTED` scores are above, by the sample; not where there are fewer."""
    for row in range(len(sample)):
        if n_known[row] > SORTED:
            n_sampled = np.searchsorted(sample[row], np.float32(np.nan))
            place = n_sampled - 1 - n_sampled * SORTED // n_known[row]
            if place >= 0:
                floor[row] = sample[row, place]


@numba.njit(cache=True, nogil=True)
def _take_above(scores: Floats, floor: Floats, out: Floats, columns: Rows, n: Ints) -> None:
    """The scores above the floor of each row and where they are, as far as there is room, then NaN; how many."""
    is_above = np.zeros(-(-scores.shape[1] // WORD) * WORD, dtype=np.uint8)
    words = is_above.view(np.uint64)
    for row in range(len(scores)):
        values, bound, size = scores[row], floor[row], 0
        for place in range(len(values)):
            is_above[place] = values[place] > bound
        for word in range(len(words)):
            if words[word] == 0:  # so are most
                continue
            for place in range(word * WORD, (word + 1) * WORD):
                if is_above[place]:
                    if size < out.shape[1]:
                        out[row, size], columns[row, size] = values[place], place
                    size += 1
        out[row, size:] = np.nan
        n[row] = size


@numba.njit(cache=True, nogil=True)
def _best_of(  # noqa: PLR0917  (kernels know no keywords)
    scores: Floats,
    found: Floats,
    columns: Rows,
    best: Floats,
    n_best: Ints,
    floor: Floats,
    n_wanted: Ints,
    out: Rows,
) -> Bools:
    """As `_best`, from the scores above the floor and those on it; whether these were enough."""
    done = np.ones(len(scores), dtype=np.bool_)
    for row in range(len(scores)):
        n, wanted, size = n_best[row], n_wanted[row], 0
        if wanted <= n:
            bound, ties = best[row, n - wanted] if wanted > 0 else np.float32(np.inf), wanted
            for place in range(n):
                ties -= found[row, place] > bound
            for place in range(n):
                value = found[row, place]
                if value > bound or (value == bound and ties > 0):
                    ties -= value == bound
                    out[row, size] = columns[row, place]
                    size += 1
            continue
        column, bound = 0, floor[row]
        while size < wanted - n and column < scores.shape[1]:
            out[row, size] = column
            size += scores[row, column] == bound
            column += 1
        done[row] = size == wanted - n
        if done[row]:
            out[row, size:wanted] = columns[row, :n]
            out[row, :wanted].sort()
    return done


@numba.njit(cache=True, nogil=True)
def _best(scores: Floats, least: Floats, n_ties: Ints, out: Rows) -> None:
    for row in range(len(scores)):
        values, bound, ties, size = scores[row], least[row], n_ties[row], 0
        better = _some_above(values, bound)
        equal = _some_above(values, np.nextafter(bound, np.float32(-np.inf)))
        for block in range(len(better)):
            if not (better[block] or (ties > 0 and equal[block])):
                continue
            for place in range(block * BLOCK, min((block + 1) * BLOCK, len(values))):
                if values[place] > bound or (values[place] == bound and ties > 0):
                    ties -= values[place] == bound
                    out[row, size] = place
                    size += 1


@numba.njit(cache=True, nogil=True)
def _some_above(values: Floats, bound: float) -> Bools:
    """Which blocks of values may hold some above the bound; most hold nothing of the best."""
    some = np.ones(-(-len(values) // BLOCK), dtype=np.bool_)
    for block in range(len(values) // BLOCK):
        n = np.int32(0)
        for place in range(BLOCK):
            n += np.int32(values[block * BLOCK + place] > bound)
        some[block] = n > 0
    return some


@numba.njit(cache=True, nogil=True)
def _pick(  # noqa: PLR0917  (kernels know no keywords)
    scores: Floats,
    item_row: Rows,
    mean: Doubles,
    inverse: Doubles,
    values: Floats,
    score: Floats,
) -> None:
    """Scores of some items, NaN for -1, as they are and on their scale."""
    for row in range(item_row.shape[0]):
        for place in range(item_row.shape[1]):
            column = item_row[row, place]
            value = scores[row, column] if column >= 0 else np.float32(np.nan)
            values[row, place] = value
            score[row, place] = (value - mean[row]) * inverse[row]


@numba.njit(cache=True, nogil=True)
def moments_without(
    n: float, mean: float, squares: float, gone: Doubles
) -> tuple[float, float, float]:
    """Count, mean and squared distances from it of n values when some of them are gone.

    What is left of equal values has no distance at all: rounding leaves specks, which are none.
    """
    left = n - len(gone)
    if left < 1:
        return 0.0, 0.0, 0.0
    after = mean + (mean * len(gone) - gone.sum()) / left
    rest = squares + n * (mean - after) ** 2 - np.square(gone - after).sum()
    return left, after, rest if rest > ROUNDING * max(squares, 1e-300) else 0.0
