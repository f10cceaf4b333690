"""Global time cuts: everybody is asked at the same moment, or in each later session."""

from itertools import pairwise

import numpy as np
import polars as pl

from crossfade.data.dataset import Dataset, to_datetime
from crossfade.data.splits.cold import cold_users_flag
from crossfade.data.splits.newcomers import new_item_trial, new_items_flags, new_user_trial
from crossfade.data.splits.trial import (
    BLOCKS,
    CALIBRATE,
    FUSE,
    TEST,
    Plan,
    ProtocolConfig,
    Trial,
    among_known,
    checked,
    new_items_trial,
)
from crossfade.types import Csr, Times


def timed_plan(dataset: Dataset, protocol: ProtocolConfig, seed: int) -> Plan:
    """Blocks between global cut points."""
    times = dataset.time_us
    assert times is not None  # make_plan checks
    # 0.6 + 0.1 + 0.1 is a hair below 0.8: without the summand a cut can come one event early.
    places = (np.cumsum(protocol.shares)[:-1] * len(times) + 1e-6).astype(np.int64)
    cuts = [int(times[min(place, len(times) - 1)]) for place in places]
    bounds = [int(times[0]), *cuts, int(times[-1]) + 1]
    # Events at a cut belong to the later block, so equal times are never torn apart.
    counts = np.diff(np.searchsorted(times, bounds, side="left"))
    asks_new_items = protocol.name == "cold-items" and protocol.cold_items == "first_seen"

    def trial(name: str, start: int, stop: int) -> Trial:
        if protocol.name == "cold-users":
            return new_user_trial(dataset, name, (start, stop), protocol, seed)
        if asks_new_items:
            return new_item_trial(dataset, name, (start, stop), bounds[FUSE])
        return window_trial(dataset, name, (start, stop), protocol)

    tests = [
        trial("test", start, stop)
        for start, stop in _windows(times, bounds[TEST], bounds[TEST + 1], protocol.rolling_cuts)
    ]
    flags = []
    if protocol.name == "repeat":
        flags.append("repeat listening: items in the history may be recommended")
    elif protocol.name == "cold-users":
        flags.append(cold_users_flag(protocol))
    elif asks_new_items:
        flags += new_items_flags(tests, to_datetime(bounds[FUSE]))
    return Plan(
        protocol=protocol,
        fuse=trial("fuse", bounds[FUSE], bounds[CALIBRATE]),
        calibrate=trial("calibrate", bounds[CALIBRATE], bounds[TEST]),
        tests=tuple(tests),
        flags=tuple(flags),
        cuts=tuple(to_datetime(cut).isoformat() for cut in cuts),
        block_sizes=dict(zip(BLOCKS, counts.tolist(), strict=True)),
    )


def window_trial(
    dataset: Dataset, name: str, window: tuple[int, int], protocol: ProtocolConfig
) -> Trial:
    """What is asked from a moment on, and was wanted before another; both in microseconds.

    Whatever the protocol, its cold people and items are not kept out.

    Raises:
        DataError: If nobody asks, or there is nothing before the window.
    """
    make = _session_trial if protocol.name == "repeat" else _cut_trial
    return among_known(make(dataset, name, *window), protocol, window[0])


def _windows(times: Times, start: int, stop: int, n_windows: int) -> list[tuple[int, int]]:
    """Pieces of [start, stop) with about equally many events."""
    inside = times[(times >= start) & (times < stop)]
    inner = (
        [int(inside[len(inside) * i // n_windows]) for i in range(1, n_windows)]
        if len(inside)
        else []
    )
    edges = sorted({start, *inner, stop})
    return list(pairwise(edges))


def _cut_trial(dataset: Dataset, name: str, start: int, stop: int) -> Trial:
    """Everybody with a positive event in [start, stop) asks once, at ``start``."""
    train = dataset.before(to_datetime(start))
    later = dataset.between(to_datetime(start), to_datetime(stop))
    wanted = later.interactions()
    asking = np.flatnonzero(np.diff(wanted.indptr)).astype(np.int32)
    queries = train.queries(asking, np.full(len(asking), start, dtype=np.int64))
    return new_items_trial(name, train, queries, wanted[asking])


def _session_trial(dataset: Dataset, name: str, start: int, stop: int) -> Trial:
    """Every session in [start, stop) with two events or more asks once, half way through.

    The request comes at the time of the session's middle event; wanted is what
    the session positively plays from then on.
    """
    train = dataset.before(to_datetime(start))
    later = dataset.between(to_datetime(start), to_datetime(stop)).events
    later = later.select(
        "user_row", "item_row", "session_row", "strength", time_us=pl.col("timestamp").to_physical()
    )
    # Where only some events carry a session id, the others belong to no session.
    later = later.drop_nulls("session_row")
    middle = pl.col("time_us").sort().gather((pl.len() // 2).cast(pl.Int64)).first()
    later = later.filter(pl.len().over("session_row") >= 2).with_columns(
        as_of_us=middle.over("session_row")
    )
    wanted = later.filter((pl.col("time_us") >= pl.col("as_of_us")) & (pl.col("strength") > 0))
    wanted = wanted.unique(["session_row", "item_row"]).sort("as_of_us", "session_row", "item_row")
    asks = wanted.unique("session_row", keep="first", maintain_order=True)
    queries = dataset.queries(asks["user_row"].to_numpy(), asks["as_of_us"].to_numpy())
    place = wanted["session_row"].rle_id().to_numpy()
    relevant = Csr(
        (np.ones(len(wanted), dtype=np.float32), (place, wanted["item_row"].to_numpy())),
        shape=(len(asks), dataset.n_items),
    )
    return checked(Trial(name, train, queries, relevant, exclude_seen=False))
