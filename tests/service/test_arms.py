"""Arms that switch adaptation, or that another version answers."""

from pathlib import Path
from typing import Any

import pytest
from tests.service.conftest import Running, Start
from tests.service.reacting import EASY, USER, WHO, asked, counting, follow, ids, put, react

from crossfade.experiments.assignment import place

ADAPTED = {"heads": EASY, "adapt_share": 1.0}


@pytest.fixture
def bundle(learned_bundle: Path) -> Path:
    """That with a learned blend."""
    return learned_bundle


def begun(running: Running, arm: dict[str, Any]) -> str:
    """Begin an experiment that has ``USER`` in this arm; its name."""
    name = next(n for n in (f"try-{i}" for i in range(99)) if place(n, USER, 1.0, [1, 1]) == 1)
    settings = {"name": name, "arms": [{"name": "as-is"}, {"name": "other", **arm}],
                "minimal_effect": 0.1, "planned": 1000}  # fmt: skip
    done = running.admin.post("/v1/experiments", json=settings)
    assert done.status_code == 201, done.text
    assert done.json()["settings"]["arms"][1]["name"] == "other"
    return name


def in_control(name: str) -> str:
    return next(u for u in (f"u{i}" for i in range(99)) if place(name, u, 1.0, [1, 1]) == 0)


def stored(running: Running, user: str) -> object:
    return running.service.log.heads.get(user_id=user)


def test_an_arm_adapts_where_the_service_does_not_and_nobody_else_is_learned_from(
    start: Start,
) -> None:
    running = start(adapt=False, **ADAPTED)
    before = asked(running)
    name = begun(running, {"adapt": True})
    put(running, counting(running))
    told = asked(running)
    assert (told["arm"], told["adaptation_applied"]) == ("other", True)
    assert ids(told) != ids(before)
    pairs = {"user_id": USER, "item_ids": ids(before)}
    adapted = running.read.post("/v1/predictions", json=pairs).json()["items"]
    control = in_control(name)
    put(running, counting(running), user_id=control)
    assert not asked(running, user_id=control)["adaptation_applied"]
    head = stored(running, control)
    react(running, ids(told)[-1], user_id=control)
    assert stored(running, control) == head  # nothing was learned
    follow(running, 1)
    assert running.service.heads.of(WHO) is not None
    assert "crossfade_adaptation_seconds_count 2.0" in running.read.get("/metrics").text
    running.admin.post(f"/v1/experiments/{name}/stop")
    assert not asked(running)["adaptation_applied"]
    assert running.read.post("/v1/predictions", json=pairs).json()["items"] != adapted


def test_an_arm_without_adaptation_serves_what_a_service_without_it_would(start: Start) -> None:
    plain = ids(asked(start(adapt=False)))
    running = start(adapt=True, **ADAPTED)
    put(running, counting(running))
    assert ids(asked(running)) != plain
    name = begun(running, {"adapt": False})
    told = asked(running, explain=True)
    assert (told["arm"], told["adaptation_applied"], ids(told)) == ("other", False, plain)
    assert not any(note["type"] == "adapted" for line in told["items"] for note in line["notes"])
    head = stored(running, USER)
    react(running, ids(told)[0])
    assert stored(running, USER) == head
    control = in_control(name)
    react(running, ids(told)[0], user_id=control)
    assert running.service.heads.settled(10)
    assert stored(running, control) is not None
