"""Experiments are kept, and found again with all that was shown and done in them."""

from dataclasses import replace
from typing import Any

import pytest

from crossfade.errors import ConflictError, DataError, UnknownIdError
from crossfade.experiments import Experiment
from crossfade.experiments.kept import analysed, begin, running, settings_of
from crossfade.store.log import Impression, ImpressionItem, Log, NewEvent

NOW = 1_700_000_000_000_000
HOUR = 3_600_000_000
DAY = 24 * HOUR


def experiment(name: str = "shelf", **changed: Any) -> Experiment:
    good = {"name": name, "arms": [{"name": "a"}, {"name": "b", "ranking": {"explore": 0}}],
            "minimal_effect": 0.1, "planned": 1000, "days": 1, "window_hours": 1}  # fmt: skip
    return Experiment(**{**good, **changed})


def shown(
    request: str,
    time_us: int,
    user: str | None,
    arm: str | None = None,
    session: str | None = None,
) -> Impression:
    items = [ImpressionItem(f"t{i}", i + 1, 0.5) for i in range(4)]
    name = "shelf" if arm else None
    return Impression(request, time_us, "v1", "blend", items, user, session, name, arm)


def test_an_experiment_comes_back_as_it_was_begun_and_grew_and_was_stopped(log: Log) -> None:
    begin(log, experiment(traffic=0.1), NOW)
    begin(log, experiment("colour"), NOW + 1)
    assert [one.traffic for one in running(log)] == [0.1, 1]
    log.experiments.grow("shelf", 0.5, NOW + 2)
    assert running(log)[0] == experiment(traffic=0.5)
    log.experiments.stop("shelf", NOW + 3)
    stored = log.experiments.get("shelf")
    assert settings_of(stored) == experiment(traffic=0.1)
    assert settings_of(stored).arms[1].changes == {"explore": 0}
    steps = [(step.time_us, step.traffic) for step in stored.steps]
    assert steps == [(NOW, 0.1), (NOW + 2, 0.5), (NOW + 3, 0)]
    assert (stored.started_us, stored.stopped_us) == (NOW, NOW + 3)
    assert log.experiments.get("colour").stopped_us is None
    assert [one.name for one in running(log)] == ["colour"]
    assert [one.name for one in log.experiments.every()] == ["shelf", "colour"]


def test_a_name_is_given_once_and_what_was_stopped_stays_so(log: Log) -> None:
    begin(log, experiment(traffic=0.5), NOW)
    for less in (0.5, 0.4):
        with pytest.raises(ConflictError, match="may only grow"):
            log.experiments.grow("shelf", less, NOW)
    log.experiments.stop("shelf", NOW)
    with pytest.raises(ConflictError, match="take another one"):
        begin(log, experiment(planned=7), NOW)
    with pytest.raises(ConflictError, match="was stopped for good"):
        log.experiments.stop("shelf", NOW)
    with pytest.raises(ConflictError, match="was stopped for good"):
        log.experiments.grow("shelf", 1.0, NOW)
    assert len(log.experiments.get("shelf").steps) == 2
    for wrong in (0.0, 1.1, float("nan")):
        with pytest.raises(DataError, match="traffic"):
            log.experiments.grow("shelf", wrong, NOW)
    for name in ("none", "x'; DROP TABLE experiments; --"):
        with pytest.raises(UnknownIdError, match="there is no experiment"):
            log.experiments.get(name)


def test_a_clock_that_goes_back_ends_nothing_before_it_began(log: Log) -> None:
    begin(log, experiment(), NOW)
    log.experiments.stop("shelf", NOW - DAY)
    assert log.experiments.get("shelf").stopped_us == NOW


def test_what_begins_while_the_clock_is_back_comes_after_those_there_are(log: Log) -> None:
    for number, name in enumerate(("shelf", "colour", "border")):
        begin(log, experiment(name), NOW - number * DAY)
    assert [one.name for one in log.experiments.every()] == ["shelf", "colour", "border"]
    assert log.experiments.get("border").started_us == NOW - 2 * DAY


def test_what_is_analysed_is_what_the_log_holds(log: Log) -> None:
    begin(log, experiment(), NOW)
    log.add_impressions(
        [
            shown("before", NOW - 2 * DAY, "ann"),
            shown("old", NOW - 20 * DAY, "ben"),  # longer ago than is looked at
            shown("late", NOW - HOUR // 2, "ben"),  # reactions to it may come after the start
            shown("r1", NOW, "ann", "a"),
            shown("r2", NOW + 1, "ann"),  # not of the experiment
            shown("r3", NOW, "ben", "b"),
            shown("r4", NOW, None, "b", "s1"),  # not of a user
        ]
    )
    plays = [("ann", 5), ("ben", 5), ("ben", 5), ("ann", HOUR + 1), ("ann", 5 - 2 * DAY)]
    log.append([NewEvent("t1", NOW + at, who) for who, at in plays], NOW)
    log.append([NewEvent("t1", NOW + 7, "eve", request_id="r3")], NOW)
    log.append([NewEvent("t2", NOW + 6, "ann", "s1"), NewEvent("t2", NOW + 6, None, "s1")], NOW)
    stored = log.experiments.get("shelf")
    then = NOW + DAY + HOUR + 1
    found = analysed(log, stored, then)
    told = [(arm.n_seen, arm.n, arm.n_lists, arm.mean) for arm in found.arms]
    assert told == [(1, 1, 1, 2), (1, 1, 1, 3)]
    assert found.comparisons[0].n_before == 1
    assert [arm.n for arm in analysed(log, stored, then - 1).arms] == [0, 0]
    assert [arm.n_seen for arm in analysed(log, stored, NOW).arms] == [0, 0]
    log.forget(user_id="ann", now_us=then)
    assert [(arm.n_seen, arm.n) for arm in analysed(log, stored, then).arms] == [(0, 0), (1, 1)]
    left = (
        log.experiments.lists("shelf", "user", then),
        log.experiments.lists_before("shelf", "user", 0, then),
        log.experiments.reactions("shelf", "user", 0, then),
    )
    assert "ann" not in repr(left)


def test_sessions_may_be_units_too(log: Log) -> None:
    begin(log, experiment(unit="session", days=0), NOW)
    log.add_impressions([shown("r1", NOW, None, "a", "s1"), shown("r2", NOW, "ann", "b")])
    log.append([NewEvent("t1", NOW + 5, "ann", "s1"), NewEvent("t1", NOW + 5, "ann")], NOW)
    found = analysed(log, log.experiments.get("shelf"), NOW + DAY)
    assert [(arm.n_seen, arm.n) for arm in found.arms] == [(1, 1), (0, 0)]
    assert found.arms[0].mean == 1


def test_whose_each_item_of_an_interleaved_list_is_comes_back(log: Log) -> None:
    begin(log, experiment(), NOW)
    items = [ImpressionItem("t1", 1, 0.5, arm="b"), ImpressionItem("t2", 2, 0.25, arm="a")]
    both = replace(shown("r1", NOW, "ann", "a"), arm=None, items=items)
    alone = shown("r2", NOW + 1, "ann", "a")
    log.add_impressions([both, alone])
    assert log.impression("r1") == both
    assert [row[-1] for row in log.experiments.lists("shelf", "user", NOW + 9)] == [
        ["b", "a"],
        [None] * len(alone.items),
    ]
