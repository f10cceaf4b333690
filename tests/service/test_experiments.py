"""Experiments over HTTP: who is in one gets the list of their arm, and what comes of it is told."""

import asyncio
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.service.conftest import Running, Start

from crossfade.experiments import Experiment
from crossfade.experiments.analysis import Analysis
from crossfade.experiments.assignment import place
from crossfade.experiments.intervals import Interval
from crossfade.experiments.kept import analysed, begin
from crossfade.hybrid import HybridModel
from crossfade.service import experiments
from crossfade.service.assigning import IN_NONE, Assigning
from crossfade.service.beside import Beside
from crossfade.service.experiment_messages import Between
from crossfade.service.meters import Meters
from crossfade.service.people import Who
from crossfade.service.state import now_us
from crossfade.service.workers import System
from crossfade.store.log import Log
from crossfade.store.log.experiments import StoredExperiment

MIXED = {"diversity": 0.9, "max_per_creator": 1}


def settings(name: str = "shelf", **changed: Any) -> dict[str, Any]:
    good = {"name": name, "arms": [{"name": "as-is"}, {"name": "mixed", "ranking": MIXED}],
            "minimal_effect": 0.1, "planned": 1000}  # fmt: skip
    return {**good, **changed}


@pytest.fixture
def model(running: Running) -> HybridModel:
    return running.model


def asked(running: Running, **whom: Any) -> dict[str, Any]:
    answer = running.read.post("/v1/recommendations", json=whom)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def wait_until(there: Callable[[], bool]) -> None:
    for _ in range(600):
        if there():
            return
        time.sleep(0.01)
    pytest.fail("it did not come")


def test_who_is_in_an_arm_gets_its_list_and_that_is_written_down(
    running: Running, model: HybridModel
) -> None:
    begun = running.admin.post("/v1/experiments", json=settings())
    assert begun.status_code == 201, begun.text
    arms = set()
    for row in range(8):
        user = model.dataset.user_ids.id(row)
        told = asked(running, user_id=user, k=8)
        arms.add(told["arm"])
        where = place("shelf", user, 1.0, [1, 1])
        assert (told["experiment"], told["arm"]) == ("shelf", ["as-is", "mixed"][where or 0])
        ranking = model.config.ranking.changed(**(MIXED if where else {}))
        expected = model.recommend(user=user, k=8, ranking=ranking)
        assert [line["item_id"] for line in told["items"]] == [line.item_id for line in expected]
    assert arms == {"as-is", "mixed"}
    running.service.impressions.close()
    shown = running.service.log.impression(told["request_id"])
    assert shown is not None
    assert (shown.experiment, shown.arm) == (told["experiment"], told["arm"])
    seen = running.read.get("/v1/experiments/shelf").json()["analysis"]["arms"]
    assert sum(arm["n_seen"] for arm in seen) == 8


def test_nobody_else_takes_part(running: Running, model: HybridModel) -> None:
    user = model.dataset.user_ids.id(0)
    before = asked(running, user_id=user)
    assert (before["experiment"], before["arm"]) == (None, None)
    arms = [{"name": "a", "ranking": MIXED}, {"name": "b", "ranking": MIXED}]
    assert running.admin.post("/v1/experiments", json=settings(arms=arms)).status_code == 201
    there = asked(running, user_id=user)
    assert there["experiment"] == "shelf"
    assert there["items"] != before["items"]
    for others in ({}, {"session_id": "s1"}, {"user_id": user, "diversity": 0.0}):
        assert asked(running, **others)["experiment"] is None
    assert asked(running, user_id=user, diversity=0.0)["items"] == before["items"]
    assert running.admin.post("/v1/experiments/shelf/stop").status_code == 200
    after = asked(running, user_id=user)
    assert after["experiment"] is None
    assert after["items"] == before["items"]


def test_sessions_are_units_where_the_experiment_says_so(running: Running) -> None:
    running.admin.post("/v1/experiments", json=settings(unit="session"))
    assert asked(running, session_id="s1")["experiment"] == "shelf"
    assert asked(running, user_id="u1")["experiment"] is None


def test_an_arm_may_leave_places_to_chance(running: Running) -> None:
    arms = [{"name": "a", "ranking": {"explore": 0.5}}, {"name": "b", "ranking": {"explore": 0.5}}]
    assert running.admin.post("/v1/experiments", json=settings(arms=arms)).status_code == 201
    told = [asked(running, user_id="somebody new", k=10)["items"] for _ in range(4)]
    assert any(items != told[0] for items in told)
    assert any(item["propensity"] < 1 for item in told[0])


def test_an_experiment_is_begun_grown_stopped_and_never_gone(running: Running) -> None:
    admin = running.admin
    begun = admin.post("/v1/experiments", json=settings(traffic=0.1)).json()
    assert (begun["runs"], begun["traffic"]) == (True, 0.1)
    assert begun["settings"]["arms"][1]["ranking"] == MIXED
    assert begun["analysis"]["comparisons"][0]["verdict"] == "go on"
    assert begun["analysis"]["comparisons"][0]["always"] == {"low": None, "high": None}
    grown = admin.post("/v1/experiments/shelf/traffic", json={"traffic": 0.5}).json()
    assert [step["traffic"] for step in grown["steps"]] == [0.1, 0.5]
    assert running.service.assigning._running[0].traffic == 0.5
    assert admin.post("/v1/experiments/shelf/stop").json()["runs"] is False
    listed = running.read.get("/v1/experiments").json()["experiments"]
    assert [(one["name"], len(one["steps"])) for one in listed] == [("shelf", 3)]
    for again, body in (("stop", None), ("traffic", {"traffic": 0.9})):
        assert admin.post(f"/v1/experiments/shelf/{again}", json=body).status_code == 409
    assert admin.post("/v1/experiments", json=settings()).status_code == 409


def test_every_fault_of_an_experiment_is_named_at_once(running: Running) -> None:
    ranking = '{"diversity": 2}'
    arms = f'{{"name": "a", "weight": NaN}}, {{"name": "b b", "weight": -1, "ranking": {ranking}}}'
    body = f'{{"name": "x", "arms": [{arms}], "metric": "clicks", "planned": 1000, "colour": 1}}'
    json = {"Content-Type": "application/json"}
    refused = running.admin.post("/v1/experiments", content=body, headers=json)
    assert refused.status_code == 422, refused.text
    wrong = ("arms.0.weight", "arms.1.weight", "arms.1.name", "arms.1.ranking.diversity",
             "metric", "minimal_effect", "colour")  # fmt: skip
    told = {one["where"] for one in refused.json()["error"]["details"]}
    assert told == {f"body.{name}" for name in wrong}
    twice = running.admin.post(
        "/v1/experiments", json=settings(arms=[{"name": "a"}, {"name": "a"}])
    )
    assert "give each a name of its own" in twice.text
    for path in ("/v1/experiments/no-such", "/v1/experiments/no-such/stop"):
        method = "POST" if path.endswith("stop") else "GET"
        assert running.admin.request(method, path).status_code == 404
    assert running.read.get("/v1/experiments/a%00b").status_code == 422


def test_an_arm_that_the_system_cannot_answer_is_refused(running: Running) -> None:
    arms = [{"name": "a"}, {"name": "b", "ranking": {"rules": ["colour == 1"]}}]
    refused = running.admin.post("/v1/experiments", json=settings(arms=arms))
    assert refused.status_code == 422
    assert "colour" in refused.json()["error"]["message"]
    assert running.read.get("/v1/experiments").json()["experiments"] == []


def test_where_an_arm_cannot_be_answered_any_more_the_list_comes_without_it_and_is_counted(
    running: Running,
) -> None:
    arms = [{"name": name, "ranking": {"rules": ["colour == 1"]}} for name in ("a", "b")]
    begin(running.service.log, Experiment(**settings(arms=arms)), now_us())
    running.service.assigning.read()
    told = asked(running, user_id="u1")
    assert told["experiment"] is None
    assert len(told["items"]) == 10
    assert 'crossfade_arms_refused_total{arm="' in running.read.get("/metrics").text
    wrong = {"user_id": "u1", "filters": {"rules": ["((("]}}
    assert running.read.post("/v1/recommendations", json=wrong).status_code == 422


def test_what_another_process_begins_and_stops_is_followed_within_seconds(start: Start) -> None:
    running = start(reload_s=0.001)
    begin(running.service.log, Experiment(**settings()), now_us())
    wait_until(lambda: asked(running, user_id="u1")["experiment"] == "shelf")
    running.service.log.experiments.stop("shelf", now_us())
    wait_until(lambda: asked(running, user_id="u1")["experiment"] is None)


def test_what_experiments_say_is_worked_out_one_at_a_time(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.admin.post("/v1/experiments", json=settings())
    under_way, most = 0, 0

    def slow(log: Log, stored: StoredExperiment, now: int) -> Analysis:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        time.sleep(0.02)
        under_way -= 1
        return analysed(log, stored, now)

    async def ask_all() -> None:
        await asyncio.gather(*(experiments.experiment("shelf", running.service) for _ in range(4)))

    monkeypatch.setattr(experiments, "analysed", slow)
    asyncio.run(ask_all())
    assert most == 1


def test_what_is_not_known_goes_over_the_wire_as_null() -> None:
    told = Between.model_validate(Interval(math.nan, 1.0))
    assert (told.low, told.high) == (None, 1.0)


# -- without a service ---------------------------------------------------------------------


def no_version(version: str) -> System:
    raise AssertionError(version)


def test_the_oldest_experiment_that_has_a_place_takes_somebody(tmp_path: Path) -> None:
    with Log.open(f"sqlite:///{tmp_path / 'log.db'}") as log:
        for name, traffic in (("first", 0.3), ("second", 1.0)):
            begin(log, Experiment(**settings(name, traffic=traffic)), now_us())
        assigning = Assigning(log, Beside(no_version), Meters())
        for i in range(40):
            part = assigning.part(Who(user_id=f"u{i}"))
            is_first = place("first", f"u{i}", 0.3, [1, 1]) is not None
            assert part.experiment == ("first" if is_first else "second")
        log.experiments.stop("second", now_us())
        log.experiments.stop("first", now_us())
        assigning.read()
        assert assigning.part(Who(user_id="u1")) == IN_NONE


def test_where_the_log_cannot_be_read_those_known_go_on(tmp_path: Path) -> None:
    with Log.open(f"sqlite:///{tmp_path / 'log.db'}") as log:
        begin(log, Experiment(**settings()), now_us())
        assigning = Assigning(log, Beside(no_version), Meters())
    assigning.read()
    assert assigning.part(Who(user_id="u1")).experiment == "shelf"
