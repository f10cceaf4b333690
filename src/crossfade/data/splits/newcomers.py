"""Strictly cold users and items of a log with times: whoever and whatever came late.

Each request has a moment of its own, because newcomers have no history yet when a block
begins. Models still learn only from what lies before the block.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np

from crossfade.data.dataset import MAX_TIME_US, Dataset, to_datetime
from crossfade.data.query import Queries
from crossfade.data.splits.cold import chosen_share, filtered, n_shown
from crossfade.data.splits.trial import ProtocolConfig, Trial, checked
from crossfade.errors import DataError
from crossfade.types import Bools, Csr, Times


def new_user_trial(
    dataset: Dataset, name: str, block: tuple[int, int], protocol: ProtocolConfig, seed: int
) -> Trial:
    """Some users who want something in the block, kept out of training altogether.

    Each shows the first few events of their life and asks when the block starts, or right
    after the last event shown where that is later. Wanted is what they then want in the block. What
    they met before the block but do not show is neither wanted nor allowed in the lists.
    """
    start, stop = block
    past, users = dataset.before(to_datetime(stop)), np.arange(dataset.n_users, dtype=np.int32)
    whole = past.queries(users)
    times, place = _times(whole), np.arange(len(whole.item_row)) - whole.indptr[whole.owner]
    wants = (times >= start) & (whole.strength > 0)
    # Nobody shows all they want; who wants something early shows less than others.
    last = np.zeros(len(users), dtype=np.int64)
    np.maximum.at(last, whole.owner[wants], place[wants])
    shows = np.minimum(n_shown(protocol, len(users), seed), last)
    shown = place < shows[whole.owner]
    met = _pairs(whole, shown | (times < start))
    relevant = _without(_pairs(whole, wants & ~shown), met)
    asks = (np.diff(relevant.indptr) > 0) & (shows >= protocol.fewest_shown)
    chosen = np.sort(
        chosen_share(np.flatnonzero(asks), protocol.cold_share, seed, "splits.cold-users")
    )
    as_of = np.full(len(users), start, dtype=np.int64)
    np.maximum.at(as_of, whole.owner[shown], times[shown] + 1)
    train = dataset.before(to_datetime(start)).without_users(chosen.astype(np.int32))
    return checked(
        Trial(
            name,
            train,
            replace(
                filtered(whole, shown).take(chosen),
                user_row=np.full(len(chosen), -1, dtype=np.int32),
                as_of_us=as_of[chosen],
            ),
            Csr(relevant[chosen]),
            exclude_seen=True,
            candidates=None if protocol.candidates == "catalogue" else train.known_items(start),
            hidden=Csr(met[chosen]),
        )
    )


def new_item_trial(dataset: Dataset, name: str, block: tuple[int, int], since: int) -> Trial:
    """Items first seen from ``since`` to the end of the block, kept out of training and histories.

    Whoever first meets one of them in the block, wants it there, and has done anything else
    before, asks at that moment. What they meet and want from then on counts; all such items
    are candidates, whether they appeared before the block or in it.

    Raises:
        DataError: If nobody asks.
    """
    start, stop = block
    is_cold = _first_seen(dataset, since, stop)
    users = np.arange(dataset.n_users, dtype=np.int32)
    whole = dataset.before(to_datetime(stop)).queries(users)
    times, cold = _times(whole), is_cold[whole.item_row]
    met = _pairs(whole, cold & (times < start))
    relevant = _without(_pairs(whole, cold & (times >= start) & (whole.strength > 0)), met)
    as_of = np.full(len(users), MAX_TIME_US, dtype=np.int64)
    # Of a wanted item the first event counts, wanted or not: after it the item is not new.
    counts = cold & _stored(relevant, whole)
    np.minimum.at(as_of, whole.owner[counts], times[counts])
    queries = filtered(whole, ~cold & (times < as_of[whole.owner]))
    asks = np.flatnonzero((np.diff(relevant.indptr) > 0) & (np.diff(queries.indptr) > 0))
    if not len(asks):
        raise DataError(
            f"{dataset.name}: the {name} block asks nothing (nobody wants one of the {is_cold.sum():,} items first "
            'seen after the base block); set cold_items = "share" under [protocol], or use more data'
        )
    return checked(
        Trial(
            name,
            dataset.before(to_datetime(start)).without_items(
                np.flatnonzero(is_cold).astype(np.int32)
            ),
            replace(queries.take(asks), as_of_us=as_of[asks]),
            Csr(relevant[asks]),
            exclude_seen=True,
            candidates=is_cold,
            # Cold items met earlier are out of the history, yet they stay known to the user.
            hidden=Csr(_pairs(whole, cold & (times < as_of[whole.owner]))[asks]),
        )
    )


def new_items_flags(tests: Sequence[Trial], since: datetime) -> list[str]:
    """What a reader must know about items that came late."""
    # Later windows know all items of earlier ones.
    n_items = max(int(trial.candidates.sum()) for trial in tests if trial.candidates is not None)
    return [
        f"cold items: the {n_items:,} items first seen from {since:%Y-%m-%d} on (after the base block) are out of "
        "training and ranked among themselves",
        "bases that need events on an item, popularity among them, list nothing here and count as 0; "
        "the popularity to compare with is genre_popularity",
    ]


def _first_seen(dataset: Dataset, since: int, stop: int) -> Bools:
    """Items whose first event lies in [since, stop), shape ``(n_items,)``."""
    times = dataset.time_us
    assert times is not None  # timed plans only
    first = np.full(dataset.n_items, MAX_TIME_US, dtype=np.int64)
    np.minimum.at(first, dataset.events["item_row"].to_numpy(), times)
    return np.asarray((first >= since) & (first < stop))


def _times(queries: Queries) -> Times:
    assert queries.time_us is not None  # timed plans only
    return queries.time_us


def _pairs(queries: Queries, keep: Bools) -> Csr:
    """1 for each pair of request and item among the events marked."""
    shape = (len(queries), queries.n_items)
    where = (queries.owner[keep], queries.item_row[keep])
    matrix = Csr((np.ones(int(keep.sum()), dtype=np.float32), where), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def _stored(matrix: Csr, queries: Queries) -> Bools:
    """Which events are of a pair that the matrix holds, shape ``(n_events,)``."""
    pairs = matrix.tocoo()
    held = pairs.row.astype(np.int64) * queries.n_items + pairs.col
    return np.isin(queries.owner * queries.n_items + queries.item_row, held)


def _without(matrix: Csr, gone: Csr) -> Csr:
    """The entries that the other matrix lacks."""
    left = Csr(matrix - matrix.multiply(gone))
    left.eliminate_zeros()
    return left
