"""A clock that jumps back: nothing is lost or known again, nobody is let in or kept out, and lists go on."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.service.conftest import Running, Start

from crossfade.service.people import Who

DAY_S = 86_400


@contextmanager
def back(days: int) -> Iterator[None]:
    """A clock of this machine that is so far behind."""
    with pytest.MonkeyPatch.context() as patch:
        s, ns = time.time, time.time_ns
        patch.setattr(time, "time", lambda: s() - days * DAY_S)
        patch.setattr(time, "time_ns", lambda: ns() - days * DAY_S * 10**9)
        yield


def listed(running: Running, **asked: Any) -> dict[str, Any]:
    answer = running.read.post("/v1/recommendations", json={"k": 5, **asked})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_no_event_and_no_impression_is_lost_and_lists_go_on(running: Running) -> None:
    items = running.model.dataset.item_ids.ids[:2].to_list()
    told = running.write.post("/v1/events", json={"user_id": "late", "item_id": items[0]}).json()
    with back(1):
        assert listed(running, user_id="late")["n_live"] == 0  # it waits for its time
        event = {"user_id": "late", "item_id": items[1]}
        again = running.write.post("/v1/events", json=event).json()
        assert again["sequence"] == told["sequence"] + 1
        assert listed(running, user_id="late")["n_live"] == 1
    assert listed(running, user_id="late")["n_live"] == 2
    running.service.people.clear()
    assert listed(running, user_id="late")["n_live"] == 2
    stored = running.service.log.events_of(user_id="late")
    assert [one.event.item_id for one in stored] == items  # in the order in which they came
    running.service.impressions.close()
    assert len(running.service.log.impressions_of(user_id="late")) == 4


def test_keys_are_good_and_rates_are_kept(start: Start) -> None:
    running = start(rate_per_s=0.001, burst=2)
    for days in (0, 1_000):
        with back(days):
            assert running.read.get("/v1/models").status_code == 200
    for days in (0, 2_000):
        with back(days):
            refused = running.read.get("/v1/models")
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) <= 1_001


def test_who_was_forgotten_stays_so(running: Running) -> None:
    user = running.model.dataset.user_ids.id(0)
    items = [line["item_id"] for line in listed(running)["items"]]
    assert listed(running, user_id=user)["n_history"] > 0
    with back(10_000):  # before the system learned from them
        assert running.admin.post("/v1/forget", json={"user_id": user}).status_code == 200
    told = listed(running, user_id=user)
    assert told["n_history"] == 0
    assert [line["item_id"] for line in told["items"]] == items


def test_experiments_go_on_and_new_ones_take_nobody_from_them(running: Running) -> None:
    def begin(name: str) -> None:
        arms = [{"name": f"{name}-a"}, {"name": f"{name}-b", "ranking": {"diversity": 0.5}}]
        asked = {"name": name, "arms": arms, "minimal_effect": 0.1, "planned": 1_000}
        assert running.admin.post("/v1/experiments", json=asked).status_code == 201

    begin("first")
    arm = listed(running, user_id="u1")["arm"]
    with back(400):
        begin("second")
        running.service.assigning.read()
        assert listed(running, user_id="u1")["arm"] == arm
        for name in ("first", "second"):
            assert running.read.get(f"/v1/experiments/{name}").status_code == 200
        assert running.admin.post("/v1/experiments/first/stop").status_code == 200
    running.service.assigning.read()
    assert listed(running, user_id="u1")["experiment"] == "second"
    assert running.read.get("/v1/experiments/first").status_code == 200


def test_who_adapts_goes_on_adapting(start: Start) -> None:
    running = start(adapt=True, heads={"min_events": 1, "deadline_ms": 1e9}, adapt_share=1.0)
    items = running.model.dataset.item_ids.ids[:4].to_list()
    for days in (0, 1, 2, 0):
        with back(days):
            for item in items:
                event = {"user_id": "late", "item_id": item, "event": "like"}
                assert running.write.post("/v1/events", json=event).status_code == 201
            assert running.service.heads.settled(30)
            running.service.heads.clear()  # so that it is read from the log
            listed(running, user_id="late")
            running.service.heads.of(Who(user_id="late"))
    assert 'outcome="failed"' not in running.read.get("/metrics").text
