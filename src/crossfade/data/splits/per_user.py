"""Cuts within each user's own order, for data without times and for leave-last."""

from dataclasses import replace

import numpy as np
import polars as pl

from crossfade.data.dataset import MAX_TIME_US, Dataset
from crossfade.data.splits.trial import (
    BASE,
    BLOCKS,
    CALIBRATE,
    FUSE,
    TEST,
    Plan,
    ProtocolConfig,
    Trial,
    among_known,
    new_items_trial,
)
from crossfade.rng import generator
from crossfade.types import Bools, Ints, Rows


def per_user_plan(dataset: Dataset, protocol: ProtocolConfig, seed: int) -> Plan:
    """Each user's own events in order (or shuffled, without times), cut by share or from the end."""
    flags = ["per-user blocks: training holds other users' later events"]
    place = np.arange(dataset.n_events)
    if not dataset.has_times:
        place = generator(seed, "splits.user").permutation(dataset.n_events)
        flags.append(f"no times: each user's order is random (seed {seed})")
    users = dataset.events["user_row"].to_numpy()
    order = np.lexsort((place, users))
    labels: Ints = np.empty(dataset.n_events, dtype=np.int64)
    if protocol.name == "leave-last":
        flags.append("leave-last: secondary protocol, one item per user")
        positive = dataset.events["strength"].to_numpy() > 0
        labels[order] = _labels_from_end(users[order], positive[order])
    else:
        labels[order] = _labels_by_share(users[order], protocol.shares)
    trials = [
        among_known(_labelled_trial(dataset, labels, block), protocol, None)
        for block in (FUSE, CALIBRATE, TEST)
    ]
    return Plan(
        protocol=protocol,
        fuse=trials[0],
        calibrate=trials[1],
        tests=(trials[2],),
        flags=tuple(flags),
        cuts=(),
        block_sizes=dict(zip(BLOCKS, np.bincount(labels, minlength=4).tolist(), strict=True)),
    )


def _labels_by_share(users: Rows, shares: tuple[float, ...]) -> Ints:
    """Block of each event; ``users`` is sorted, each user's events are in order."""
    start = np.searchsorted(users, users, side="left")
    size = np.searchsorted(users, users, side="right") - start
    middle = (np.arange(len(users)) - start + 0.5) / size
    return np.searchsorted(np.cumsum(shares)[:-1], middle, side="left")


def _labels_from_end(users: Rows, positive: Bools) -> Ints:
    """Test for each user's last positive event (and what follows), the two before it for tuning.

    At least one positive event stays in the base block, so users with a single one are
    never asked.
    """
    before: Ints = np.cumsum(positive) - positive
    start = np.searchsorted(users, users, side="left")
    total = np.bincount(users, weights=positive).astype(np.int64)[users]
    # What is no positive follows the one before it and shares its block.
    from_end = total - (before - before[start]) + ~positive
    held_out = from_end <= np.minimum(total - 1, TEST)
    return np.where(held_out, TEST + 1 - from_end, BASE)


def _labelled_trial(dataset: Dataset, labels: Ints, block: int) -> Trial:
    train = dataset.where(pl.Series(labels < block))
    later = dataset.where(pl.Series(labels == block))
    wanted = later.interactions()
    asking = np.flatnonzero(np.diff(wanted.indptr)).astype(np.int32)
    queries = train.queries(asking)
    if later.time_us is not None:
        # The history may share its last second with the request: the order within it is the file's.
        first = np.full(dataset.n_users, MAX_TIME_US, dtype=np.int64)
        np.minimum.at(first, later.events["user_row"].to_numpy(), later.time_us)
        queries = replace(queries, as_of_us=first[asking])
    return new_items_trial(BLOCKS[block], train, queries, wanted[asking])
