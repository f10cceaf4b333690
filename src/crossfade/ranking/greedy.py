"""Filling a list slot by slot, under limits that give way in order.

Candidates stand in their order: best score first, equal scores by item row. A candidate is
named by its place in it, so "the first of several equals" is the rule for every tie.

All compiled functions that call each other stand in this one file: Numba's cache does not
notice when a function in another file changes.
"""

from typing import NamedTuple

import numba
import numpy as np

from crossfade.ranking.calibrated import SMOOTHING
from crossfade.types import Bools, Doubles, Ints, Rows

GENRE, CREATOR, QUALITY = 1, 2, 4
"""Limits as bits."""

NO_LIMIT = np.iinfo(np.int64).max
LEAST_VOLUME = 1e-6
"""Squared distance below which an item adds no direction of its own to those listed."""


class Limits(NamedTuple):
    """What is limited, and how far each limit is used up.

    Attributes:
        item_row: Candidates in their order, shape ``(n,)``.
        weak: Whether their probability is too small, shape ``(n,)``.
        creator: Creator of each item of the catalogue, -1 where unknown.
        genre_indptr: Where the genres of each item of the catalogue start.
        genre: Their numbers.
        creator_cap: Most items of one creator.
        genre_cap: Most items that stand for one genre.
        n_of_creator: Listed items of each creator; changes as the list fills.
        n_of_genre: Listed items that stand for each genre; changes as the list fills.
        taken: Whether a candidate is listed, shape ``(n,)``; changes as the list fills.
    """

    item_row: Rows
    weak: Bools
    creator: Rows
    genre_indptr: Ints
    genre: Rows
    creator_cap: int
    genre_cap: int
    n_of_creator: Ints
    n_of_genre: Ints
    taken: Bools


class Aims(NamedTuple):
    """What a candidate is worth beside its score; about the first ``n`` candidates.

    Attributes:
        relevance: In [0, 1], shape ``(n,)``.
        similarity: Shape ``(n, n)``, 1 on the diagonal; shape ``(0, 0)`` without diversity.
        diversity: In [0, 1].
        volume: Whether diversity means the volume all items span (DPP), not the distance to
            the nearest one (MMR).
        history: Share of each genre in the history; shape ``(0,)`` without calibration.
        calibrated: In [0, 1].
    """

    relevance: Doubles
    similarity: Doubles
    diversity: float
    volume: bool
    history: Doubles
    calibrated: float


def fill_by_score(limits: Limits, levels: Ints, chosen: Ints, broken: Ints) -> int:
    """Fills ``chosen`` with the best candidates.

    First with those that keep all limits of ``levels[0]``, then with those that keep the fewer
    ones of ``levels[1]``, and so on.

    Args:
        limits: Changed in place.
        levels: Sets of bits, each within the one before.
        chosen: Filled with candidates.
        broken: Filled with the limits that each of them breaks, as bits.

    Returns:
        How many were found.
    """
    # One by one: Numba takes longer to take a tuple of them apart than to fill a list.
    found: int = _fill_by_score(*limits, levels, chosen, broken)
    return found


@numba.njit(cache=True, nogil=True)
def _fill_by_score(  # noqa: PLR0917  (kernels know no keywords)
    item_row: Rows,
    weak: Bools,
    creator: Rows,
    genre_indptr: Ints,
    genre: Rows,
    creator_cap: int,
    genre_cap: int,
    n_of_creator: Ints,
    n_of_genre: Ints,
    taken: Bools,
    levels: Ints,
    chosen: Ints,
    broken: Ints,
) -> int:
    limits = Limits(
        item_row,
        weak,
        creator,
        genre_indptr,
        genre,
        creator_cap,
        genre_cap,
        n_of_creator,
        n_of_genre,
        taken,
    )
    size = 0
    for level in levels:
        for candidate in range(len(limits.item_row)):
            if size == len(chosen):
                return size
            if limits.taken[candidate]:
                continue
            bits = _broken(limits, candidate)
            if bits & level == 0:
                take(limits, candidate)
                chosen[size], broken[size] = candidate, bits
                size += 1
    return size


@numba.njit(cache=True, nogil=True)
def fill_by_aims(limits: Limits, levels: Ints, aims: Aims, chosen: Ints, broken: Ints) -> int:
    """As `fill_by_score`, each slot with the candidate that is worth most beside those listed.

    Worth is ``(1 - c) * ((1 - d) * relevance + d * spread) - c * n * gap`` for diversity ``d``
    and calibration ``c``: ``spread`` is minus the largest similarity to a listed item (MMR), or
    the logarithm of the volume it adds (DPP); ``gap`` is the divergence from the history of the
    list of ``n`` that it would make. Steck weighs the gap against the sum of relevance; against
    the mean, hence the ``n``, a strength means the same for lists of every length. Candidates
    beyond the aims come last on each level, by score.

    Source:
        Carbonell and Goldstein (1998), "The use of MMR, diversity-based reranking"; Chen, Zhang
        and Zhou (2018), "Fast Greedy MAP Inference for Determinantal Point Process to Improve
        Recommendation Diversity", algorithm 1; Steck (2018), "Calibrated Recommendations".
    """
    n = len(aims.relevance)
    spread, volume = np.zeros(n), np.ones(n)
    directions = np.zeros((len(chosen) if aims.volume else 0, n))
    listed, n_listed = np.zeros(len(aims.history)), 0
    gap = np.zeros(n)
    size, level = 0, 0
    while size < len(chosen) and level < len(levels):
        if len(aims.history):
            _gaps(limits, aims.history, listed, n_listed, gap)
            gap *= size + 1
        best = _worthiest(limits, levels[level], aims, spread, gap)
        if best < 0:
            level += 1
            continue
        chosen[size], broken[size] = best, _broken(limits, best)
        take(limits, best)
        if best < n and len(aims.similarity) and aims.volume:
            _span(aims.similarity[best].copy(), best, directions, size, volume)
            for other in range(n):
                # Items that add nothing are all alike in that; relevance decides among them.
                spread[other] = np.log(max(volume[other], LEAST_VOLUME))
        elif best < n and len(aims.similarity):
            for other in range(n):
                distance = -aims.similarity[best, other]
                spread[other] = distance if size == 0 else min(spread[other], distance)
        if len(aims.history):
            n_listed += _count(limits, best, listed)
        size += 1
    return size


@numba.njit(cache=True, nogil=True)
def broken_by_all(limits: Limits) -> Ints:
    """Limits that each candidate would break if it came next, as bits; -1 if it is listed."""
    out = np.empty(len(limits.item_row), dtype=np.int64)
    for candidate in range(len(out)):
        out[candidate] = -1 if limits.taken[candidate] else _broken(limits, candidate)
    return out


@numba.njit(cache=True, nogil=True)
def take(limits: Limits, candidate: int) -> None:
    """Lists a candidate: it counts for its creator, and for that genre of it that has most room."""
    limits.taken[candidate] = True
    row = limits.item_row[candidate]
    if limits.creator[row] >= 0:
        limits.n_of_creator[limits.creator[row]] += 1
    genres = limits.genre[limits.genre_indptr[row] : limits.genre_indptr[row + 1]]
    if len(genres):
        emptiest = genres[0]
        for genre in genres:
            if limits.n_of_genre[genre] < limits.n_of_genre[emptiest]:
                emptiest = genre
        limits.n_of_genre[emptiest] += 1


@numba.njit(cache=True, nogil=True)
def _broken(limits: Limits, candidate: int) -> int:
    bits = QUALITY if limits.weak[candidate] else 0
    row = limits.item_row[candidate]
    creator = limits.creator[row]
    if creator >= 0 and limits.n_of_creator[creator] >= limits.creator_cap:
        bits |= CREATOR
    start, stop = limits.genre_indptr[row], limits.genre_indptr[row + 1]
    # One genre with room is enough; an item of unknown genre is in nobody's way.
    full = stop > start
    for genre in limits.genre[start:stop]:
        if limits.n_of_genre[genre] < limits.genre_cap:
            full = False
            break
    return bits | GENRE if full else bits


@numba.njit(cache=True, nogil=True)
def _worthiest(limits: Limits, level: int, aims: Aims, spread: Doubles, gap: Doubles) -> int:
    """The candidate worth most among those that keep a level's limits; -1 if none does."""
    best, most = -1, -np.inf
    for candidate in range(len(aims.relevance)):
        if limits.taken[candidate]:
            continue
        worth = (1 - aims.diversity) * aims.relevance[candidate]
        worth += aims.diversity * spread[candidate]
        worth = (1 - aims.calibrated) * worth - aims.calibrated * gap[candidate]
        if worth > most and _broken(limits, candidate) & level == 0:
            best, most = candidate, worth
    if best >= 0:
        return best
    for candidate in range(len(aims.relevance), len(limits.item_row)):
        if not limits.taken[candidate] and _broken(limits, candidate) & level == 0:
            return candidate
    return -1


@numba.njit(cache=True, nogil=True)
def _span(found: Doubles, best: int, directions: Doubles, size: int, volume: Doubles) -> None:
    """Takes the direction of a listed item out of what every other item could add.

    ``found`` is its row of similarities, ``volume`` d squared of the paper, and
    ``directions[:, i]`` its c for item i.
    """
    if volume[best] <= LEAST_VOLUME:
        return
    for earlier in range(size):
        own, row = directions[earlier, best], directions[earlier]
        for other in range(len(found)):
            found[other] -= own * row[other]
    length = np.sqrt(volume[best])
    for other in range(len(found)):
        directions[size, other] = found[other] / length
        volume[other] -= directions[size, other] ** 2


@numba.njit(cache=True, nogil=True)
def _gaps(limits: Limits, history: Doubles, listed: Doubles, n_listed: int, gap: Doubles) -> None:
    """`calibration_gap` of the list with each candidate added, into ``gap``.

    Only the genres of a candidate differ from what all candidates share, so few logarithms do.
    """
    entropy, now, shared = 0.0, 0.0, 0.0
    logs = np.zeros(len(history))
    for genre in range(len(history)):
        own = history[genre]
        if own > 0:
            entropy += own * np.log(own)
            now += own * np.log(_smoothed(listed[genre] / max(n_listed, 1), own))
            logs[genre] = own * np.log(_smoothed(listed[genre] / (n_listed + 1), own))
            shared += logs[genre]
    for candidate in range(len(gap)):
        row = limits.item_row[candidate]
        start, stop = limits.genre_indptr[row], limits.genre_indptr[row + 1]
        # An item of unknown genre leaves the list's genres as they are.
        value = shared if stop > start else now
        for genre in limits.genre[start:stop]:
            own = history[genre]
            if own > 0:
                share = (listed[genre] + 1 / (stop - start)) / (n_listed + 1)
                value += own * np.log(_smoothed(share, own)) - logs[genre]
        gap[candidate] = entropy - value


@numba.njit(cache=True, nogil=True)
def _smoothed(share: float, own: float) -> float:
    return (1 - SMOOTHING) * share + SMOOTHING * own


@numba.njit(cache=True, nogil=True)
def _count(limits: Limits, candidate: int, listed: Doubles) -> int:
    """Adds an item's genres to the list's; 1 if it has any, else 0."""
    row = limits.item_row[candidate]
    start, stop = limits.genre_indptr[row], limits.genre_indptr[row + 1]
    for genre in limits.genre[start:stop]:
        listed[genre] += 1 / (stop - start)
    return 1 if stop > start else 0
