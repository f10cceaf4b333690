"""One cut after another: who saw what, whose record is whose, and what the clock may tell."""

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from crossfade.config import Settings
from crossfade.data import Dataset, Queries
from crossfade.data.splits import Plan, ProtocolConfig, ProtocolName, make_plan
from crossfade.data.world import WorldConfig, make_world
from crossfade.fusion.base import LabelledSignals
from crossfade.meta.blending import BlendConfig, fit_bases
from crossfade.meta.chain import CLOCK, Material, earlier_trials, gather, without_clock
from crossfade.meta.track import TrackRecord
from crossfade.recommenders.base import Recommender
from crossfade.recommenders.registry import RECOMMENDERS
from crossfade.testing import checkerboard
from crossfade.types import Arrays, Floats

BASES: dict[str, dict[str, Any]] = {"popularity": {}, "item_knn": {}}
CONFIG = BlendConfig(n_candidates=5)


@pytest.fixture(scope="module")
def world() -> Dataset:
    config = WorldConfig(n_listeners=40, n_tracks=80, n_plays=2_500)
    return make_world(config, seed=3).dataset


@pytest.fixture(scope="module")
def plan(world: Dataset) -> Plan:
    return make_plan(world, ProtocolConfig(), seed=0)


@pytest.fixture(scope="module")
def material(plan: Plan) -> Material:
    return gather(plan, BASES, CONFIG, seed=0)


def same(one: LabelledSignals, other: LabelledSignals) -> None:
    for name in ("score", "mask", "reciprocal_rank", "user", "item", "user_row"):
        np.testing.assert_array_equal(getattr(one.signals, name), getattr(other.signals, name))
    for name in ("item_row", "relevant", "n_relevant"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


# -- who saw what ----------------------------------------------------------------------


class Spy(Recommender[Settings]):
    """A base that remembers the newest event it learned from and what it was asked."""

    name = "spy"
    Config = Settings
    log: ClassVar[list[tuple[int, int, int]]]

    def _fit(self, dataset: Dataset, rng: np.random.Generator) -> None:
        assert dataset.time_us is not None
        self.until = int(dataset.time_us[-1])

    def _score(self, queries: Queries) -> Floats:
        assert queries.as_of_us is not None
        assert queries.time_us is not None
        as_of = queries.as_of_us[queries.owner]
        late = int((queries.time_us >= as_of).sum())
        self.log.append((self.until, int(queries.as_of_us.min()), late))
        return np.zeros((len(queries), queries.n_items), dtype=np.float32)

    def _state(self) -> Arrays:
        return {}

    def _restore(self, state: Arrays) -> None:
        pass


@pytest.mark.parametrize("protocol", ["time", "repeat"])
def test_no_base_saw_the_block_it_speaks_of(
    world: Dataset, protocol: ProtocolName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECOMMENDERS, "spy", Spy)
    monkeypatch.setattr(Spy, "log", [], raising=False)
    plan = make_plan(world, ProtocolConfig(name=protocol), seed=0)
    gather(plan, {"spy": {}, "popularity": {}}, CONFIG, seed=0)
    learned, asked, late = (np.array(column) for column in zip(*Spy.log, strict=True))
    assert (learned < asked).all()
    assert (late == 0).all()
    # Three earlier blocks, fuse, calibrate: five fits, each on more, each block asked twice but
    # the first, which only leaves a record.
    assert len(np.unique(learned)) == 5
    assert learned.tolist() == sorted(learned)
    assert np.bincount(np.unique(learned, return_inverse=True)[1]).tolist() == [1, 2, 2, 2, 2]
    # Nothing of the test block is even asked.
    test_cut = plan.tests[0].train.time_us
    assert test_cut is not None
    assert asked.max() <= int(test_cut[-1])


def test_what_happens_in_the_test_block_changes_nothing(world: Dataset, material: Material) -> None:
    assert world.time_us is not None
    cut = int(0.8 * world.n_events + 1e-6)
    late = np.arange(world.n_events) >= cut
    late &= world.time_us >= world.time_us[cut]
    again = gather(made_absurd(world, late), BASES, CONFIG, seed=0)
    same(again.train, material.train)
    same(again.calibrate, material.calibrate)
    np.testing.assert_array_equal(again.track.gain, material.track.gain)


def test_what_happens_in_the_calibrate_block_is_not_in_what_is_learned(
    world: Dataset, material: Material
) -> None:
    assert world.time_us is not None
    cut = int(0.7 * world.n_events + 1e-6)
    again = gather(made_absurd(world, world.time_us >= world.time_us[cut]), BASES, CONFIG, seed=0)
    same(again.train, material.train)
    assert not np.array_equal(again.calibrate.relevant, material.calibrate.relevant)


def made_absurd(world: Dataset, where: Any) -> Plan:
    """The plan of a world in which, at some events, everybody plays one of three items."""
    item = world.events["item_row"].to_numpy()
    events = world.events.with_columns(item_row=np.where(where, item % 3, item).astype(np.int32))
    return make_plan(replace(world, events=events), ProtocolConfig(), seed=0)


# -- blocks ----------------------------------------------------------------------------


def test_training_is_the_fuse_block_below_the_blocks_before_it(
    plan: Plan, material: Material
) -> None:
    blocks = [*list(earlier_trials(plan, 2, seed=0))[::-1], plan.fuse]
    assert len(material.train) == sum(len(block.queries) for block in blocks)
    assert material.is_fuse.tolist() == sorted(material.is_fuse.tolist())
    assert material.is_fuse.sum() == len(plan.fuse.queries)
    users = np.concatenate([block.queries.user_row for block in blocks])
    np.testing.assert_array_equal(material.train.signals.user_row, users)
    # What was wanted of the candidates is what the block says was wanted.
    start = 0
    for block in [*blocks, plan.calibrate]:
        part = (
            material.calibrate
            if block is plan.calibrate
            else material.train.take(np.arange(start, start + len(block.queries)))
        )
        wanted = np.take_along_axis(block.relevant.toarray() > 0, np.maximum(part.item_row, 0), 1)
        np.testing.assert_array_equal(part.relevant, wanted & (part.item_row >= 0))
        start += len(block.queries)


def test_blocks_come_one_before_the_other_and_ever_earlier(plan: Plan) -> None:
    ends = []
    for trial in [plan.calibrate, plan.fuse, *earlier_trials(plan, 3, seed=0)]:
        assert trial.train.time_us is not None
        assert trial.queries.as_of_us is not None
        assert int(trial.train.time_us[-1]) < int(trial.queries.as_of_us.min())
        ends.append(int(trial.train.time_us[-1]))
    assert len(ends) == 5
    assert ends == sorted(ends, reverse=True)
    assert len(set(ends)) == 5


@pytest.mark.parametrize("n", [0, 1])
def test_as_many_earlier_blocks_as_are_asked_for(plan: Plan, n: int) -> None:
    found = gather(plan, BASES, CONFIG.changed(n_earlier_blocks=n), seed=0)
    expected = [len(t.queries) for t in earlier_trials(plan, n, seed=0)]
    assert len(found.train) == len(plan.fuse.queries) + sum(expected)
    assert found.is_fuse.sum() == len(plan.fuse.queries)


def test_a_short_log_has_fewer_earlier_blocks() -> None:
    # Forty users, an evening each: asked again and again, nothing is left to learn from.
    plan = make_plan(checkerboard(40), ProtocolConfig(name="user"), seed=0)
    earlier = list(earlier_trials(plan, 50, seed=0))
    assert len(earlier) < 50
    found = gather(plan, BASES, CONFIG.changed(n_earlier_blocks=50), seed=0)
    # The first of them leaves its record, the others are learned from.
    expected = sum(len(trial.queries) for trial in earlier[:-1])
    assert len(found.train) == len(plan.fuse.queries) + expected


def test_where_nobody_is_asked_twice_only_the_fuse_block_teaches(world: Dataset) -> None:
    plan = make_plan(world, ProtocolConfig(name="cold-users"), seed=0)
    assert not list(earlier_trials(plan, 3, seed=0))
    found = gather(plan, BASES, CONFIG, seed=0)
    assert found.is_fuse.all()
    assert len(found.train) == len(plan.fuse.queries)
    assert np.isnan(records(found.train)).all()


# -- records ---------------------------------------------------------------------------


def records(part: LabelledSignals) -> Floats:
    names = [f"track_{label}" for label in BASES]
    assert part.signals.user is not None
    return part.signals.user[:, [part.signals.columns.user.index(name) for name in names]]


def test_records_come_from_the_block_before_by_the_bases_of_then(
    plan: Plan, material: Material
) -> None:
    chain = [*list(earlier_trials(plan, 3, seed=0))[::-1], plan.fuse, plan.calibrate]
    n = len(plan.fuse.queries)
    fuse = material.train.take(np.flatnonzero(material.is_fuse))
    first = material.train.take(np.arange(len(chain[1].queries)))
    for before, part in ((chain[0], first), (chain[2], fuse), (plan.fuse, material.calibrate)):
        fitted = fit_bases(BASES, before.train, 0)
        record = TrackRecord.of(before, list(fitted.values()))
        assert part.signals.user_row is not None
        expected = record.features(part.signals.user_row)[:, :-1]
        np.testing.assert_allclose(records(part), expected, rtol=1e-6)
    assert n == len(fuse)
    # And what comes next gets that of the calibrate block.
    last = TrackRecord.of(plan.calibrate, list(fit_bases(BASES, plan.calibrate.train, 0).values()))
    np.testing.assert_array_equal(material.track.gain, last.gain)
    np.testing.assert_array_equal(material.track.n, last.n)


# -- the clock -------------------------------------------------------------------------


def clock(part: LabelledSignals) -> Floats:
    assert part.signals.user is not None
    return part.signals.user[:, [part.signals.columns.user.index(name) for name in CLOCK]]


def test_a_clock_that_stood_still_is_not_learned(material: Material) -> None:
    # Everybody is asked at the start of a block: the hour would tell the block.
    assert not material.clock
    assert np.isnan(clock(material.train)).all()
    assert np.isnan(clock(material.calibrate)).all()


def test_a_clock_that_ran_is(world: Dataset) -> None:
    plan = make_plan(world, ProtocolConfig(name="repeat"), seed=0)
    found = gather(plan, BASES, CONFIG, seed=0)
    assert found.clock
    assert np.isfinite(clock(found.train)).all()


def test_without_a_clock_everything_else_stays(world: Dataset) -> None:
    plan = make_plan(world, ProtocolConfig(name="repeat"), seed=0)
    part = gather(plan, BASES, CONFIG.changed(n_earlier_blocks=0), seed=0).calibrate
    assert part.signals.user is not None
    before = part.signals.user.copy()
    told = without_clock(part)
    np.testing.assert_array_equal(part.signals.user, before)
    assert told.signals.user is not None
    others = [place for place, name in enumerate(told.signals.columns.user) if name not in CLOCK]
    np.testing.assert_array_equal(told.signals.user[:, others], before[:, others])
    assert np.isnan(clock(told)).all()
    assert told.signals.item is part.signals.item


def test_equal_seeds_give_equal_material(plan: Plan, material: Material) -> None:
    same(gather(plan, BASES, CONFIG, seed=0).train, material.train)
    few = gather(plan, BASES, CONFIG.changed(max_requests=3), seed=0)
    assert len(few.train) == 9
    assert len(few.calibrate) == 3
