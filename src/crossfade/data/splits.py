"""Honest questions: what to learn from, who asks when, and what happened next.

Every protocol cuts the log into four blocks (base, fuse, calibrate, test) and turns
a block into a `Trial`. The learned blend is tuned on the trial of the fuse block,
checked on the calibrate block and judged on the test block, each time with models that
saw only earlier blocks.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, Self

import numpy as np
import polars as pl
from pydantic import model_validator

from crossfade.config import Field, Settings
from crossfade.data.dataset import MAX_TIME_US, Dataset, to_datetime
from crossfade.data.query import Queries
from crossfade.errors import DataError
from crossfade.rng import generator
from crossfade.types import Bools, Csr, Ints, Rows, Times

BLOCKS = ("base", "fuse", "calibrate", "test")
BASE, FUSE, CALIBRATE, TEST = range(4)

ProtocolName = Literal["time", "user", "leave-last", "repeat", "cold-users", "cold-items"]


class ProtocolConfig(Settings):
    """How a log becomes questions."""

    name: ProtocolName = Field(
        "time",
        description="time: global cuts, new items only; user: each user's own order cut; leave-last: each user's "
        "last positive; repeat: global cuts, rest of each session, known items allowed; cold-users, cold-items: "
        "a share of users or items is kept out of training altogether.",
    )
    base: float = Field(0.6, gt=0, lt=1, description="Share of events in the base block.")
    fuse: float = Field(0.1, gt=0, lt=1, description="Share of events in the fuse block.")
    calibrate: float = Field(0.1, gt=0, lt=1, description="Share of events in the calibrate block.")
    test: float = Field(0.2, gt=0, lt=1, description="Share of events in the test block.")
    rolling_cuts: int = Field(
        1,
        ge=1,
        description="Windows the test block is cut into; models are fitted anew before each.",
    )
    cold_share: float = Field(
        0.1, gt=0, lt=1, description="Share of users or items kept out by cold-*."
    )
    cold_history: int = Field(
        3, ge=0, description="First events a cold user shows before being asked."
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.base + self.fuse + self.calibrate + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"base + fuse + calibrate + test must be 1, got {total:g}")
        return self

    @property
    def shares(self) -> tuple[float, float, float, float]:
        """The four shares in block order."""
        return (self.base, self.fuse, self.calibrate, self.test)


@dataclass(frozen=True)
class Trial:
    """Learn from ``train``, answer ``queries``, be judged by ``relevant``.

    Attributes:
        name: Block it stands for.
        train: The only events a model may learn from.
        queries: Requests with their histories; a user may ask more than once.
        relevant: 1 where the item was wanted after the request, shape ``(n, n_items)``.
        exclude_seen: Whether items in the history may not be recommended.
        candidates: Items that may be recommended, shape ``(n_items,)``; None means all.
    """

    name: str
    train: Dataset
    queries: Queries
    relevant: Csr
    exclude_seen: bool
    candidates: Bools | None = None


@dataclass(frozen=True)
class Plan:
    """All trials of one protocol on one data set.

    Attributes:
        protocol: The settings it was made with.
        fuse: For tuning the blend and hyperparameters.
        calibrate: For the do-no-harm test.
        tests: Reported once; one per rolling cut.
        flags: What a reader must know before trusting the numbers.
        cuts: First moment of the fuse, calibrate and test blocks (ISO 8601); empty when
            every user has cuts of their own.
        block_sizes: Events per block.
    """

    protocol: ProtocolConfig
    fuse: Trial
    calibrate: Trial
    tests: tuple[Trial, ...]
    flags: tuple[str, ...]
    cuts: tuple[str, ...]
    block_sizes: dict[str, int]


def make_plan(dataset: Dataset, protocol: ProtocolConfig, seed: int = 0) -> Plan:
    """Cut a data set by a protocol.

    Args:
        dataset: The whole log.
        protocol: Which questions to ask.
        seed: Used where the log has no order of its own and for cold shares.

    Raises:
        DataError: If the protocol needs times the data lacks, or a block asks nothing.
    """
    if protocol.name in {"user", "leave-last"}:
        return _per_user_plan(dataset, protocol, seed)
    if not dataset.has_times:
        if protocol.name in {"time", "repeat"}:
            raise DataError(
                f"{dataset.name}: events have no times, so protocol {protocol.name} is impossible; "
                "use --protocol user"
            )
        plan = _per_user_plan(dataset, protocol, seed)
    else:
        plan = _timed_plan(dataset, protocol)
    if protocol.name == "cold-users":
        return _cold_users(plan, protocol, seed)
    return _cold_items(plan, protocol, seed) if protocol.name == "cold-items" else plan


def _timed_plan(dataset: Dataset, protocol: ProtocolConfig) -> Plan:
    times = dataset.time_us
    assert times is not None  # make_plan has checked
    places = (np.cumsum(protocol.shares)[:-1] * len(times)).astype(np.int64)
    cuts = [int(times[min(place, len(times) - 1)]) for place in places]
    bounds = [int(times[0]), *cuts, int(times[-1]) + 1]
    # Events at a cut belong to the later block, so equal times are never torn apart.
    counts = np.diff(np.searchsorted(times, bounds, side="left"))
    repeat = protocol.name == "repeat"

    def trial(name: str, start: int, stop: int) -> Trial:
        return (
            _session_trial(dataset, name, start, stop)
            if repeat
            else _cut_trial(dataset, name, start, stop)
        )

    tests = [
        trial("test", start, stop)
        for start, stop in _windows(times, bounds[TEST], bounds[TEST + 1], protocol.rolling_cuts)
    ]
    flags = ["repeat listening: items in the history may be recommended"] if repeat else []
    return Plan(
        protocol=protocol,
        fuse=trial("fuse", bounds[FUSE], bounds[CALIBRATE]),
        calibrate=trial("calibrate", bounds[CALIBRATE], bounds[TEST]),
        tests=tuple(tests),
        flags=tuple(flags),
        cuts=tuple(to_datetime(cut).isoformat() for cut in cuts),
        block_sizes=dict(zip(BLOCKS, counts.tolist(), strict=True)),
    )


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
    return _new_items_trial(name, train, queries, wanted[asking])


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
    return _checked(Trial(name, train, queries, relevant, exclude_seen=False))


def _per_user_plan(dataset: Dataset, protocol: ProtocolConfig, seed: int) -> Plan:
    """Each user's own events in order (or shuffled, without times), cut by share or from the end."""
    flags = ["per-user blocks: training holds other users' later events"]
    place = np.arange(dataset.n_events)
    if not dataset.has_times:
        place = generator(seed, "splits.user").permutation(dataset.n_events)
        flags.append(f"no times: each user's order is random (seed {seed})")
    users = dataset.events["user_row"].to_numpy()
    order = np.lexsort((place, users))
    labels = np.empty(dataset.n_events, dtype=np.uint8)
    if protocol.name == "leave-last":
        flags.append("leave-last: secondary protocol, one item per user")
        positive = dataset.events["strength"].to_numpy() > 0
        labels[order] = _labels_from_end(users[order], positive[order])
    else:
        labels[order] = _labels_by_share(users[order], protocol.shares)
    trials = [_labelled_trial(dataset, labels, block) for block in (FUSE, CALIBRATE, TEST)]
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
    before = np.cumsum(positive) - positive
    start = np.searchsorted(users, users, side="left")
    total = np.bincount(users, weights=positive).astype(np.int64)[users]
    from_end = np.maximum(total - (before - before[start]), 1)
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
    return _new_items_trial(BLOCKS[block], train, queries, wanted[asking])


def _cold_users(plan: Plan, protocol: ProtocolConfig, seed: int) -> Plan:
    """Some users vanish from training; they show their first few events and are then asked."""

    def cold(trial: Trial) -> Trial:
        users = np.unique(trial.queries.user_row)
        chosen = _share(users, protocol.cold_share, seed, "splits.cold-users")
        train = trial.train.without_users(chosen)
        queries = _first_events(trial.queries, protocol.cold_history)
        keep = np.flatnonzero(np.isin(queries.user_row, chosen))
        stranger = replace(queries.take(keep), user_row=np.full(len(keep), -1, dtype=np.int32))
        return _checked(
            replace(
                trial,
                train=trial.train.where(~gone),
                queries=stranger,
                relevant=trial.relevant[keep],
            )
        )

    flag = (
        f"cold users: {protocol.cold_share:.0%} of asking users unseen in training, "
        f"{protocol.cold_history} events shown"
    )
    return _mapped(plan, cold, flag)


def _cold_items(plan: Plan, protocol: ProtocolConfig, seed: int) -> Plan:
    """Some items vanish from training and histories; only they are asked for."""

    def cold(trial: Trial) -> Trial:
        items = np.unique(trial.relevant.indices).astype(np.int32)
        chosen = _share(items, protocol.cold_share, seed, "splits.cold-items")
        is_cold = np.zeros(trial.queries.n_items, dtype=np.bool_)
        is_cold[chosen] = True
        gone = pl.Series(is_cold[trial.train.events["item_row"].to_numpy()])
        relevant = Csr(trial.relevant.multiply(is_cold[None, :]))
        relevant.eliminate_zeros()
        keep = np.flatnonzero(np.diff(relevant.indptr))
        queries = _without_items(trial.queries.take(keep), is_cold)
        return _checked(
            replace(
                trial,
                train=trial.train.where(~gone),
                queries=queries,
                relevant=relevant[keep],
                candidates=is_cold,
            )
        )

    flag = f"cold items: {protocol.cold_share:.0%} of wanted items unseen in training, ranked among themselves"
    return _mapped(plan, cold, flag)


def _mapped(plan: Plan, change: Callable[[Trial], Trial], flag: str) -> Plan:
    return replace(
        plan,
        fuse=change(plan.fuse),
        calibrate=change(plan.calibrate),
        tests=tuple(change(trial) for trial in plan.tests),
        flags=(*plan.flags, flag),
    )


def _share(rows: Rows, share: float, seed: int, purpose: str) -> Rows:
    n_chosen = max(1, round(len(rows) * share))
    return generator(seed, purpose).choice(rows, size=n_chosen, replace=False)


def _first_events(queries: Queries, n_events: int) -> Queries:
    place = np.arange(len(queries.item_row)) - queries.indptr[:-1][queries.owner]
    return _filtered(queries, place < n_events)


def _without_items(queries: Queries, gone: Bools) -> Queries:
    return _filtered(queries, ~gone[queries.item_row])


def _filtered(queries: Queries, keep: Bools) -> Queries:
    """The same requests with some history events taken out."""
    sizes = np.bincount(queries.owner[keep], minlength=len(queries))
    indptr: Ints = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return replace(
        queries,
        indptr=indptr,
        item_row=queries.item_row[keep],
        time_us=None if queries.time_us is None else queries.time_us[keep],
        strength=queries.strength[keep],
        session_row=queries.session_row[keep],
    )


def _new_items_trial(name: str, train: Dataset, queries: Queries, wanted: Csr) -> Trial:
    """Only items the asking user has not met count; whoever has none left is not asked."""
    relevant = Csr((wanted > 0).astype(np.float32))
    relevant = Csr(relevant - relevant.multiply(queries.seen > 0))
    relevant.eliminate_zeros()
    asking = np.flatnonzero(np.diff(relevant.indptr))
    trial = Trial(name, train, queries.take(asking), Csr(relevant[asking]), exclude_seen=True)
    return _checked(trial)


def _checked(trial: Trial) -> Trial:
    if len(trial.queries) == 0 or trial.train.n_events == 0:
        raise DataError(
            f"{trial.train.name}: the {trial.name} block asks nothing ({trial.train.n_events:,} training events, "
            f"{len(trial.queries):,} requests); use more data, other shares or another protocol"
        )
    return trial
