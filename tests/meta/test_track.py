"""The record of each base on each person's own last events, judged before it saw them."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.arrays import top_k
from crossfade.config import Settings
from crossfade.data import Dataset, Queries
from crossfade.data.splits import ProtocolConfig, ProtocolName, Trial, make_plan
from crossfade.data.world import WorldConfig, make_world
from crossfade.meta import track as module
from crossfade.meta.blending import fit_bases
from crossfade.meta.track import DEPTH, SHRINK, TrackRecord, preceding_trial
from crossfade.recommenders.base import Recommender
from crossfade.recommenders.registry import RECOMMENDERS
from crossfade.testing import checkerboard
from crossfade.types import Arrays, Csr, Floats

NAN = math.nan
N_ITEMS = 5
UP, DOWN = (1.0, 2.0, 3.0, 4.0, 5.0), (5.0, 4.0, 3.0, 2.0, 1.0)


class Fixed:
    """A base that gives everybody the same scores."""

    name = "fixed"

    def __init__(self, scores: Sequence[float]) -> None:
        self.scores = np.array(scores, dtype=np.float32)

    def score_batch(self, queries: Queries) -> Floats:
        return np.tile(self.scores, (len(queries), 1))


def make_trial(wanted: list[tuple[int, list[int]]], **more: Any) -> Trial:
    """Requests by users 0 … 2 or strangers (-1), in the given order; user 0 has met item 4."""
    train = Dataset.build(
        pl.DataFrame({"user_id": ["u0", "u9"], "item_id": ["i4", "i0"]}),
        pl.DataFrame({"item_id": [f"i{item}" for item in range(N_ITEMS)]}),
        pl.DataFrame({"user_id": ["u0", "u1", "u2"]}),
    )
    users = np.array([user for user, _ in wanted], dtype=np.int32)
    queries = replace(train.queries(np.maximum(users, 1)), user_row=users)
    relevant = np.zeros((len(wanted), N_ITEMS), dtype=np.float32)
    for row, (_, items) in enumerate(wanted):
        relevant[row, items] = 1
    return Trial("before", train, queries, Csr(relevant), **{"exclude_seen": True, **more})


def gain(place: int) -> float:
    return 1 / math.log2(place + 1)


# -- by hand ---------------------------------------------------------------------------


def test_gains_by_hand() -> None:
    trial = make_trial([(1, [4, 2]), (2, [0])])
    record = TrackRecord.of(trial, [Fixed(UP), Fixed(DOWN)])
    assert record.n.tolist() == [0, 2, 1, 0]
    expected = np.array(
        [[0, 0], [gain(1) + gain(3), gain(5) + gain(3)], [gain(5), gain(1)], [0, 0]]
    )
    np.testing.assert_allclose(record.gain, expected)
    everybody = expected.sum(axis=0) / 3
    np.testing.assert_allclose(record.mean, everybody)
    found = record.features(np.array([2, 0, -1, 1], dtype=np.int32))
    drawn = [
        (np.array([gain(5), gain(1)]) + SHRINK * everybody) / (1 + SHRINK),
        everybody,
        everybody,
        (expected[1] + SHRINK * everybody) / (2 + SHRINK),
    ]
    np.testing.assert_allclose(found[:, :2], drawn)
    np.testing.assert_allclose(found[:, 2], np.log1p([1, 0, 0, 2]))


def test_a_person_who_asks_twice_has_one_record() -> None:
    twice = TrackRecord.of(make_trial([(1, [4]), (2, [0]), (1, [2])]), [Fixed(UP)])
    once = TrackRecord.of(make_trial([(1, [2, 4]), (2, [0])]), [Fixed(UP)])
    np.testing.assert_array_equal(twice.n, once.n)
    np.testing.assert_allclose(twice.gain, once.gain)


def test_strangers_leave_no_record_and_get_everybodys() -> None:
    record = TrackRecord.of(make_trial([(-1, [4]), (1, [0])]), [Fixed(UP)])
    assert record.n.sum() == 1
    np.testing.assert_allclose(record.mean, [gain(5)])
    # Whoever has the last row is not mistaken for the stranger (-1).
    last = TrackRecord.of(make_trial([(3, [4]), (1, [3])]), [Fixed(UP)])
    found = last.features(np.array([-1], dtype=np.int32))
    np.testing.assert_allclose(found, [[(gain(1) + gain(2)) / 2, 0]])
    alone = TrackRecord.of(make_trial([(-1, [4])]), [Fixed(UP)])
    assert np.isnan(alone.mean).all()


def test_nothing_is_known_where_nobody_has_a_record() -> None:
    found = TrackRecord.empty(3, 2).features(np.array([0, -1], dtype=np.int32))
    np.testing.assert_array_equal(found, [[NAN, NAN, 0]] * 2)


def test_a_base_that_cannot_score_an_item_gains_nothing_by_it() -> None:
    deaf, mute = Fixed([1, 2, NAN, NAN, NAN]), Fixed([NAN] * N_ITEMS)
    record = TrackRecord.of(make_trial([(1, [1, 4])]), [deaf, mute])
    np.testing.assert_allclose(record.gain[1], [gain(1), 0])
    assert record.n[1] == 2


def test_what_may_not_be_listed_takes_no_place() -> None:
    trial = make_trial([(1, [0]), (2, [0])])
    allowed = np.array([True, True, False, True, True])
    hidden = Csr(np.array([[0, 0, 0, 0, 1], [0, 0, 0, 0, 0]], dtype=np.float32))
    record = TrackRecord.of(replace(trial, candidates=allowed, hidden=hidden), [Fixed(UP)])
    np.testing.assert_allclose(record.gain[[1, 2], 0], [gain(3), gain(4)])


def test_seen_items_take_no_place_unless_they_may_be_listed_again() -> None:
    trial = make_trial([(0, [3])])
    trial = replace(trial, queries=trial.train.queries([0]))
    assert TrackRecord.of(trial, [Fixed(UP)]).gain[0, 0] == gain(1)
    again = replace(trial, exclude_seen=False)
    assert TrackRecord.of(again, [Fixed(UP)]).gain[0, 0] == gain(2)


def test_what_stands_too_deep_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEPTH", 2)
    record = TrackRecord.of(make_trial([(1, [3]), (2, [2])]), [Fixed(UP)])
    assert record.gain[:, 0].tolist() == [0, gain(2), 0, 0]


def test_new_rows_and_arrays_keep_every_record() -> None:
    record = TrackRecord.of(make_trial([(1, [4, 2]), (2, [0])]), [Fixed(UP), Fixed(DOWN)])
    again = TrackRecord.from_arrays(record.to_arrays())
    np.testing.assert_array_equal(again.gain, record.gain)
    np.testing.assert_array_equal(again.n, record.n)
    moved = record.moved(np.array([2, -1, 1], dtype=np.int32))
    assert moved.n.tolist() == [1, 0, 2]
    np.testing.assert_array_equal(moved.gain, [record.gain[2], [0, 0], record.gain[1]])


# -- against a slow reading ------------------------------------------------------------


def slowly(trial: Trial, bases: Sequence[Fixed]) -> dict[int, list[float]]:
    """Gains of each user, list by list."""
    found: dict[int, list[float]] = {}
    for row, user in enumerate(trial.queries.user_row.tolist()):
        if user < 0:
            continue
        mine = found.setdefault(user, [0.0] * (len(bases) + 1))
        wanted = np.flatnonzero(trial.relevant[[row]].toarray()[0]).tolist()
        mine[-1] += len(wanted)
        for s, base in enumerate(bases):
            order = top_k(base.scores[None], DEPTH)[0].tolist()
            mine[s] += sum(gain(order.index(item) + 1) for item in wanted if item in order)
    return found


@given(
    st.lists(st.tuples(st.integers(-1, 2), st.sets(st.integers(0, 4), min_size=1)), min_size=1),
    st.lists(st.permutations([NAN, 1.0, 2.0, 2.0, 3.0]), min_size=1, max_size=3),
    st.integers(1, 40),
)
def test_lists_read_one_by_one_say_the_same(
    wanted: list[tuple[int, set[int]]], scores: list[list[float]], cells: int
) -> None:
    trial = make_trial([(user, sorted(items)) for user, items in wanted])
    bases = [Fixed(line) for line in scores]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_CELLS", cells)
        record = TrackRecord.of(trial, bases)
    expected = np.zeros((trial.train.n_users, len(bases) + 1))
    for user, gains in slowly(trial, bases).items():
        expected[user] = gains
    np.testing.assert_allclose(np.column_stack([record.gain, record.n]), expected)
    assert (record.gain <= record.n[:, None] + 1e-12).all()
    features = record.features(np.arange(-1, trial.train.n_users, dtype=np.int32))[:, :-1]
    if record.n.sum():
        assert ((features >= 0) & (features <= 1)).all()


# -- the block before ------------------------------------------------------------------


@pytest.fixture(scope="module")
def world() -> Dataset:
    return make_world(WorldConfig(n_listeners=60, n_tracks=200, n_plays=5_000), seed=4).dataset


def events_of(data: Dataset) -> set[tuple[int, int, Any]]:
    return set(data.events.select("user_row", "item_row", "timestamp").iter_rows())


@pytest.mark.parametrize("name", ["time", "repeat", "user", "leave-last"])
def test_the_block_before_lies_at_the_end_of_the_base_block(
    world: Dataset, name: ProtocolName
) -> None:
    plan = make_plan(world, ProtocolConfig(name=name), seed=0)
    base = plan.fuse.train
    trial = preceding_trial(base, plan.protocol, seed=0)
    assert trial is not None
    held_out = events_of(base) - events_of(trial.train)
    assert events_of(trial.train) < events_of(base)
    # Whatever was wanted is an event of the base block that its bases do not learn from.
    pairs = {(user, item) for user, item, _ in held_out}
    for row, user in enumerate(trial.queries.user_row.tolist()):
        wanted = trial.relevant[[row]].indices.tolist()
        assert wanted
        assert {(user, item) for item in wanted} <= pairs
    if name in {"time", "repeat"}:
        assert base.time_us is not None
        assert trial.train.time_us is not None
        assert trial.queries.as_of_us is not None
        assert plan.fuse.queries.as_of_us is not None
        assert trial.train.time_us[-1] < trial.queries.as_of_us.min()
        assert trial.queries.as_of_us.max() <= base.time_us[-1]
        assert base.time_us[-1] < plan.fuse.queries.as_of_us.min()


@pytest.mark.parametrize(
    "shares", [(0.6, 0.1, 0.1, 0.2), (0.2, 0.3, 0.2, 0.3), (0.05, 0.8, 0.05, 0.1)]
)
@pytest.mark.parametrize("name", ["time", "user"])
def test_it_is_to_the_base_block_what_the_fuse_block_is_to_both(
    world: Dataset, name: ProtocolName, shares: tuple[float, float, float, float]
) -> None:
    base, fuse, calibrate, test = shares
    protocol = ProtocolConfig(name=name, base=base, fuse=fuse, calibrate=calibrate, test=test)
    trial = preceding_trial(world, protocol, seed=0)
    assert trial is not None
    held_out = 1 - trial.train.n_events / world.n_events
    assert held_out == pytest.approx(fuse / (base + fuse), abs=0.03)


def test_without_times_each_persons_order_is_cut_at_random() -> None:
    pairs = pl.DataFrame(
        {
            "user_id": [f"u{i % 10}" for i in range(200)],
            "item_id": [f"i{i // 10}" for i in range(200)],
        }
    )
    data = Dataset.build(pairs)
    plan = make_plan(data, ProtocolConfig(name="time"), seed=0)
    first, again, other = (preceding_trial(plan.fuse.train, plan.protocol, s) for s in (0, 0, 1))
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.train.n_events < plan.fuse.train.n_events
    assert first.relevant.indices.tolist() == again.relevant.indices.tolist()
    assert first.relevant.indices.tolist() != other.relevant.indices.tolist()


@pytest.mark.parametrize("name", ["cold-users", "cold-items"])
def test_where_nobody_is_asked_twice_there_is_no_block_before(
    world: Dataset, name: ProtocolName
) -> None:
    assert preceding_trial(world, ProtocolConfig(name=name), seed=0) is None


class Spy(Recommender[Settings]):
    """A base that remembers the pairs it learned from."""

    name = "spy"
    Config = Settings
    learned: ClassVar[list[set[tuple[int, int, Any]]]] = []

    def _fit(self, dataset: Dataset, rng: np.random.Generator) -> None:
        self.learned.append(events_of(dataset))

    def _score(self, queries: Queries) -> Floats:
        return np.zeros((len(queries), queries.n_items), dtype=np.float32)

    def _state(self) -> Arrays:
        return {}

    def _restore(self, state: Arrays) -> None:
        pass


@pytest.mark.parametrize("name", ["time", "user", "leave-last", "repeat"])
def test_no_base_ever_saw_the_events_its_record_is_about(
    name: ProtocolName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECOMMENDERS, "spy", Spy)
    monkeypatch.setattr(Spy, "learned", [])
    plan = make_plan(checkerboard(60), ProtocolConfig(name=name), seed=0)
    trial = preceding_trial(plan.fuse.train, plan.protocol, seed=0)
    assert trial is not None
    record = TrackRecord.of(trial, list(fit_bases({"spy": {}}, trial.train, seed=0).values()))
    (log,) = Spy.learned
    seen = {(user, item) for user, item, _ in log}
    judged = {
        (user, item)
        for row, user in enumerate(trial.queries.user_row.tolist())
        for item in trial.relevant[[row]].indices.tolist()
    }
    assert record.n.sum() == trial.relevant.nnz > 0
    assert judged.isdisjoint(seen)


def test_the_record_tells_the_base_that_knows_from_the_one_that_does_not() -> None:
    plan = make_plan(checkerboard(60), ProtocolConfig(name="user"), seed=0)
    trial = preceding_trial(plan.fuse.train, plan.protocol, seed=0)
    assert trial is not None
    fitted = fit_bases({"popularity": {}, "item_knn": {}}, trial.train, seed=0)
    popularity, item_knn = TrackRecord.of(trial, list(fitted.values())).mean
    assert item_knn > popularity
