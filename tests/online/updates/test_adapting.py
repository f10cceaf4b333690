"""A service's log becomes the next version, if that is no worse."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.online import systems
from tests.online.updates.logs import (
    CONFIG,
    FAME,
    START_US,
    WEEK_US,
    as_new,
    fill,
    fit,
    of_fame,
    of_hits,
    since,
)

from crossfade.data import Dataset
from crossfade.data.dataset import to_datetime
from crossfade.errors import BundleError
from crossfade.files import claimed
from crossfade.hybrid import HybridModel
from crossfade.online import LiveSystem
from crossfade.online.updates import AdaptConfig, Adapted, Comparison, adapt, read_record
from crossfade.online.updates.adapting import _mode
from crossfade.online.updates.decision import objections
from crossfade.online.updates.judging import (
    answered,
    judge,
    live_events,
    newest_requests,
    replayed_requests,
)
from crossfade.rng import generator
from crossfade.store import Registry
from crossfade.store.log import Log, NewEvent

RULE = AdaptConfig(least_users=20, new_loss=0.25, old_loss=0.4, resamples=200, n_replayed=60)


@dataclass(frozen=True)
class Place:
    """A registry whose promoted version was fitted on the older part of a log."""

    registry: Registry
    log: Log
    whole: Dataset
    moment_us: int

    @property
    def now(self) -> datetime:
        """A day after the end of everything."""
        assert self.whole.time_us is not None
        return to_datetime(int(self.whole.time_us[-1])) + timedelta(days=1)

    def adapt(self, **asked: Any) -> Adapted:
        config = asked.pop("config", RULE)
        return adapt(
            self.log, self.registry, self.now, config, mode=asked.pop("mode", "weekly"), **asked
        )

    def versions(self) -> list[str]:
        return [version.version for version in self.registry.versions()]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dataset, int]:
    whole = of_hits()
    old, moment = systems.cut(whole, 2 / 3)
    directory = tmp_path_factory.mktemp("adapt") / "registry"
    registry = Registry(directory)
    version = registry.add(fit(old).save, to_datetime(moment))
    registry.promote(version, to_datetime(moment))
    return directory, whole, moment


@pytest.fixture
def place(fitted: tuple[Path, Dataset, int], tmp_path: Path) -> Iterator[Place]:
    directory, whole, moment = fitted
    shutil.copytree(directory, tmp_path / "registry")
    with Log.open(f"sqlite:///{tmp_path / 'log.db'}") as log:
        yield Place(Registry(tmp_path / "registry"), log, whole, moment)


def test_what_the_log_taught_is_promoted_and_says_what_was_judged(place: Place) -> None:
    before = place.registry.promoted()
    fill(place.log, since(place.whole, place.moment_us))
    done = place.adapt()
    assert done.decision is not None
    assert done.decision.accepted, done.decision
    assert place.registry.promoted() == done.version != before
    model = place.registry.read_promoted(HybridModel.load)
    assert (model.previous, model.mode) == (before, "weekly")
    assert model.dataset.n_events == place.whole.n_events  # also of what it was judged by
    # What it was judged by came after all that the judged candidate had learned.
    end = place.whole.time_us
    assert end is not None
    assert place.moment_us < done.decision.cut_us <= end[-1]
    assert end[-1] - done.decision.cut_us == pytest.approx(
        0.3 * (end[-1] - place.moment_us), rel=0.02
    )
    for said in (done.decision.newest, done.decision.known, done.decision.replayed):
        assert said.n_users >= 20
        assert said.low is not None
        assert said.low <= said.difference <= said.high  # type: ignore[operator]
    record = read_record(place.registry.path(str(done.version)))
    assert record is not None
    assert record["accepted"]
    assert record["newest"]["n_users"] == done.decision.newest.n_users
    assert record["settings"]["new_loss"] == 0.25
    # And what is left to learn after that is nothing.
    again = place.adapt()
    assert (again.decision, again.version) == (None, None)
    assert len(place.versions()) == 2


def test_a_poisoned_log_is_refused_and_the_candidate_waits(tmp_path: Path) -> None:
    whole = of_fame()
    old, moment = systems.cut(whole, 2 / 3)
    registry = Registry(tmp_path / "registry")
    registry.promote(registry.add(fit(old, FAME).save, to_datetime(moment)), to_datetime(moment))
    before = registry.promoted()
    with Log.open(f"sqlite:///{tmp_path / 'log.db'}") as log:
        place = Place(registry, log, whole, moment)
        fill(log, since(whole, moment))
        # A week of accounts that play what nobody else wants.
        fakes = [
            NewEvent(f"junk {junk}", moment + WEEK_US * junk // 10 + bot, f"bot {bot}")
            for bot in range(100)
            for junk in range(10)
        ]
        clean = place.adapt()
        assert clean.decision is not None
        assert clean.decision.accepted, clean.decision
        registry.promote(str(before), place.now)
        log.append(fakes, moment + WEEK_US)
        done = place.adapt()
    assert done.decision is not None
    assert not done.decision.accepted
    assert "may be worse" in " ".join(done.decision.why)
    assert place.registry.promoted() == before
    assert set(place.versions()) == {before, clean.version, done.version}
    record = read_record(place.registry.path(str(done.version)))
    assert record is not None
    assert not record["accepted"]
    place.registry.promote(str(done.version), place.now)  # by hand it may be


def test_too_few_people_are_no_proof(place: Place) -> None:
    fill(place.log, since(place.whole, place.moment_us))
    done = place.adapt(config=RULE.changed(least_users=1_000))
    assert done.decision is not None
    (why,) = done.decision.why
    assert why.endswith("1,000 are needed; wait for more events")
    judged = HybridModel.load(place.registry.path(str(done.version))).dataset
    assert judged.time_us is not None
    assert (
        place.moment_us < judged.time_us[-1] < done.decision.cut_us
    )  # it never saw what judged it


@pytest.mark.parametrize("mode", ["weekly", "full"])
def test_who_was_forgotten_is_nowhere_in_the_candidate(place: Place, mode: str) -> None:
    gone = str(place.whole.user_ids.ids[0])
    fill(place.log, since(place.whole, place.moment_us))
    place.log.forget(user_id=gone, now_us=int(place.now.timestamp() * 1e6))
    done = place.adapt(mode=mode)
    assert done.export.n_forgotten == 1
    bundle = place.registry.path(str(done.version))
    model = HybridModel.load(bundle)
    assert gone not in model.dataset.user_ids
    for file in bundle.rglob("*"):
        if file.suffix == ".parquet":
            for column in pl.read_parquet(file).iter_columns():
                assert column.dtype != pl.String or gone not in column
        elif file.is_file():
            assert gone.encode() not in file.read_bytes()
    assert model.mode == mode


def test_a_full_fit_that_is_asked_for_forgets_people_though_nothing_is_new(place: Place) -> None:
    gone = str(place.whole.user_ids.ids[0])
    place.log.forget(user_id=gone, now_us=0)
    assert place.adapt().decision is None
    done = place.adapt(mode="full")
    assert done.decision is not None
    assert done.decision.newest == Comparison()
    assert not done.decision.accepted  # nobody could judge it
    assert gone not in HybridModel.load(place.registry.path(str(done.version))).dataset.user_ids


def test_two_updates_at_once_are_refused(place: Place) -> None:
    versions = place.registry.path(str(place.registry.promoted())).parent
    with claimed(versions), pytest.raises(BundleError, match="another update is under way"):
        place.adapt()
    assert place.adapt().decision is None


def test_a_version_promoted_meanwhile_is_not_overtaken(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _ = systems.cut(place.whole, 0.5)
    other = place.registry.add(fit(old).save, place.now)
    fill(place.log, since(place.whole, place.moment_us))
    update = HybridModel.update.__func__  # type: ignore[attr-defined]

    def late(*asked: Any) -> HybridModel:
        place.registry.promote(other, place.now)
        return update(HybridModel, *asked)  # type: ignore[no-any-return]

    monkeypatch.setattr(HybridModel, "update", late)
    done = place.adapt()
    assert done.decision is not None
    assert not done.decision.accepted
    assert "meanwhile" in done.decision.why[0]
    assert place.registry.promoted() == other


@pytest.mark.parametrize("point", ["export", "save", "record", "promote"])
def test_whatever_stops_an_update_leaves_what_serves_and_once_more_completes_it(
    place: Place, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = place.registry.promoted()
    fill(place.log, since(place.whole, place.moment_us))
    where: dict[str, tuple[Any, str]] = {
        "export": (place.log, "forgotten_among"),
        "save": (HybridModel, "save"),
        "record": (Path, "replace"),
        "promote": (Registry, "promote"),
    }

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*where[point], stop)
        with pytest.raises(KeyboardInterrupt):
            place.adapt()
    assert place.registry.promoted() == before
    for version in place.versions():
        HybridModel.load(place.registry.path(version))
    assert len(place.versions()) == (2 if point == "promote" else 1)
    done = place.adapt()
    assert place.registry.promoted() == done.version != before


def test_auto_is_full_when_the_last_full_fit_is_old_or_unknown(place: Place) -> None:
    first = str(place.registry.promoted())
    added = to_datetime(place.moment_us)
    choose: Callable[[str, float], str] = lambda version, days: _mode(  # noqa: E731
        place.registry, version, RULE, added + timedelta(days=days)
    )
    assert choose(first, 29) == "weekly"
    assert choose(first, 31) == "full"
    fill(place.log, since(place.whole, place.moment_us))
    weekly = str(place.adapt().version)
    assert choose(weekly, 29) == "weekly"  # it counts from the full fit, not from the update
    assert choose(weekly, 31) == "full"
    shutil.rmtree(place.registry.path(first))
    assert choose(weekly, 0) == "full"


def test_kinds_of_events_that_the_log_never_had_do_not_keep_it_from_going_on(place: Place) -> None:
    rows = since(place.whole, place.moment_us)
    events = [as_new(row) for row in rows.iter_rows(named=True)]
    told = [
        NewEvent(e.item_id, e.time_us, e.user_id, event="like", value=3.0, context={"mars": 1.0})
        for e in events
    ]
    place.log.append(told, events[-1].time_us)
    done = place.adapt()
    assert done.version is not None
    assert done.export.dataset.n_events == place.whole.n_events


def test_the_version_that_serves_is_asked_with_what_came_in_since(place: Place) -> None:
    whole, rng = of_fame(), generator(1, "test")
    old, moment = systems.cut(whole, 2 / 3)
    system = LiveSystem(fit(old, FAME))
    cut_us = moment + WEEK_US
    trials = newest_requests(whole, cut_us, FAME.protocol, 1_000, rng)
    (trial,) = trials
    live = live_events(whole, old, trial.queries.user_row)
    of_user = live[whole.user_ids.id(0)]
    assert {event.time_us for event in of_user} == set(
        since(whole, moment).filter(user_id=whole.user_ids.id(0))["timestamp"].to_physical()
    )
    with_live, without = (answered(system, trial, whole, some, 10) for some in (live, {}))
    # Places for what somebody has played since are lost.
    assert with_live.mean() > without.mean()
    both = judge((system, system), trials, whole, 10).compared(RULE, rng)
    assert both.promoted == both.candidate == pytest.approx(with_live.mean())
    assert (both.difference, both.low, both.high) == (0, 0, 0)


def test_requests_are_made_again_only_where_they_were_possible() -> None:
    whole = of_hits()
    stop = int(START_US + 6 * WEEK_US)
    trials = replayed_requests(
        whole, stop, WEEK_US, CONFIG.protocol, n_most=50, rng=generator(1, "test")
    )
    assert len(trials) > 1
    for trial in trials:
        assert trial.queries.as_of_us is not None
        assert trial.candidates is not None
        (moment,) = set(trial.queries.as_of_us.tolist())
        assert moment + WEEK_US <= stop
        assert trial.train.time_us is not None
        assert trial.train.time_us[-1] < moment
        seen = set(trial.train.events["item_row"])
        assert set(np.flatnonzero(trial.candidates)) == seen
        assert len(trial.queries) == 10
    nothing = replayed_requests(
        whole, START_US, WEEK_US, CONFIG.protocol, n_most=50, rng=generator(1, "test")
    )
    assert nothing == []


def comparison(n: int, promoted: float, difference: float, low: float | None) -> Comparison:
    return Comparison(n, n, promoted, promoted + difference, difference, low, 1.0)


GOOD = comparison(20, 0.4, 0.1, 0.1)


@pytest.mark.parametrize(
    ("newest", "known", "replayed", "n_against"),
    [
        (GOOD, GOOD, GOOD, 0),
        (GOOD, Comparison(), Comparison(), 0),
        (comparison(20, 0.4, 0.0, -0.1), GOOD, GOOD, 0),  # just within a quarter of 0.4
        (comparison(20, 0.4, 0.0, -0.1001), GOOD, GOOD, 1),
        (comparison(20, 0.4, 0.0, float("nan")), GOOD, GOOD, 1),
        (GOOD, comparison(3, 0.4, 0.0, -0.1001), GOOD, 1),
        (comparison(19, 0.4, 0.1, 0.05), GOOD, GOOD, 1),
        (comparison(20, 0.0, 0.0, 0.0), GOOD, comparison(5, 0.4, -0.16, None), 0),
        (GOOD, GOOD, comparison(5, 0.4, -0.1601, None), 1),
        (GOOD, GOOD, comparison(5, 0.4, float("nan"), None), 1),
        (Comparison(), Comparison(), Comparison(), 1),
    ],
)
def test_the_rule_by_hand(
    newest: Comparison, known: Comparison, replayed: Comparison, n_against: int
) -> None:
    assert len(list(objections(newest, known, replayed, RULE))) == n_against
