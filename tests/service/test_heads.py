"""A list reacts to what its person did, beyond the history: heads over HTTP."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.service.conftest import Running, Start
from tests.service.reacting import EASY, USER, WHO, asked, counting, follow, ids, put, react

from crossfade.online import Ask, Head, LiveSystem
from crossfade.service.config import ServiceConfig
from crossfade.service.people import Who
from crossfade.service.state import now_us
from crossfade.store.log import Shadow, StoredHead


@pytest.fixture
def bundle(learned_bundle: Path) -> Path:
    """That with a learned blend."""
    return learned_bundle


@pytest.fixture
def start(start: Start) -> Start:
    """With adaptation, unless a test says otherwise."""
    return partial(start, adapt=True, adapt_held_back=0)


def test_a_list_adapts_within_a_session_and_says_when(start: Start) -> None:
    running = start(heads=EASY, adapt_share=1.0)
    first = asked(running)
    assert (first["adaptation_applied"], first["adaptation"]) == (False, None)
    follow(running)
    head = running.service.heads.of(WHO)
    assert head is not None
    assert head.n_reactions >= 8
    told = asked(running)
    assert told["adaptation_applied"] == head.wins
    # The shadow: the same request to the same system, without the head.
    live = running.service.versions.current()
    events = running.service.people.recent(WHO).events
    for with_head in (head, replace(head, wins=True)):
        ask = Ask(USER, events, now_us=now_us(), head=with_head)
        (shadow, answer) = live.answer([replace(ask, head=None), ask])
        assert not shadow.adaptation_applied  # type: ignore[union-attr]
        assert answer.adaptation_applied == with_head.wins  # type: ignore[union-attr]
    assert [r.item_id for r in answer.recommendations] != [  # type: ignore[union-attr]
        r.item_id
        for r in shadow.recommendations  # type: ignore[union-attr]
    ]
    text = running.read.get("/metrics").text
    assert "crossfade_adaptation_seconds_count" in text
    assert "crossfade_adaptations_total{outcome=" in text


def test_a_head_that_counts_changes_list_prediction_and_explanation(running: Running) -> None:
    before = asked(running)
    pairs = {"user_id": USER, "item_ids": ids(before)}
    plain = running.read.post("/v1/predictions", json=pairs).json()["items"]
    running.service.heads.clear()
    head = counting(running)
    put(running, head)
    told = asked(running, explain=True)
    assert told["adaptation_applied"]
    assert told["adaptation"] == dict(zip(head.bases, head.tilt.tolist(), strict=True))
    assert ids(told) != ids(before)
    assert any(note["type"] == "adapted" for line in told["items"] for note in line["notes"])
    assert running.read.post("/v1/predictions", json=pairs).json()["items"] != plain
    best = told["items"][0]
    one = {"user_id": USER, "item_id": best["item_id"]}
    explained = running.read.post("/v1/explanations", json=one).json()["item"]
    assert explained["score"] == best["score"]
    # Nobody else has it.
    assert not asked(running, user_id="other")["adaptation_applied"]
    assert "crossfade_adapted_lists_total 1.0" in running.read.get("/metrics").text


def test_what_was_not_shown_is_written_down_and_goes_with_its_person(running: Running) -> None:
    plain = ids(asked(running))
    running.service.heads.clear()
    put(running, counting(running))
    told = asked(running)
    running.service.impressions.close()
    shown = running.service.log.impression(told["request_id"])
    assert shown is not None
    assert shown.shadow == Shadow(plain, adapted=True, chance=1.0)
    running.admin.post("/v1/forget", json={"user_id": USER})
    assert running.service.log.impression(told["request_id"]) is None


def test_some_days_of_everybody_go_without_their_head(start: Start) -> None:
    running = start(adapt_held_back=0.3)
    heads, day_us = running.service.heads, 86_400_000_000
    people = [Who(user_id=f"u{at}") for at in range(40)] + [Who(session_id="u1")]
    days = np.array([[heads.withheld(who, day * day_us) for day in range(100)] for who in people])
    assert days.mean() == pytest.approx(0.3, abs=0.03)
    assert (days.mean(axis=1) < 0.6).all()  # nobody is always without
    assert (days[1] != days[-1]).any()  # a session is nobody's namesake
    assert heads.withheld(people[0], day_us) == heads.withheld(people[0], 2 * day_us - 1)
    none = start(adapt_held_back=0).service.heads
    assert not any(none.withheld(who, 0) for who in people)


def test_on_a_day_without_its_head_a_list_is_the_plain_one(start: Start) -> None:
    running = start(adapt_held_back=0.999)
    assert running.service.heads.withheld(WHO, now_us())
    before = asked(running)
    running.service.heads.clear()
    put(running, counting(running))
    told = asked(running)
    assert not told["adaptation_applied"]
    assert told["items"] == before["items"]
    running.service.impressions.close()
    shown = running.service.log.impression(told["request_id"])
    assert shown is not None
    assert shown.shadow is not None
    assert (shown.shadow.adapted, shown.shadow.chance) == (False, 0.999)
    assert list(shown.shadow.items) != ids(before)


@pytest.mark.parametrize("change", [{"version": "gone"}, {"expires_us": 1}, {"wins": False}])
def test_a_head_that_may_not_count_is_not_applied(running: Running, change: dict[str, Any]) -> None:
    before = asked(running)
    running.service.heads.clear()
    put(running, replace(counting(running), **change))
    told = asked(running)
    assert not told["adaptation_applied"]
    assert told["items"] == before["items"]


def test_a_damaged_row_is_left_aside(running: Running) -> None:
    expires_us = now_us() + 10**12
    running.service.log.heads.put(StoredHead("v", now_us(), expires_us, "{", user_id=USER))
    assert not asked(running)["adaptation_applied"]


def test_heads_outlive_the_process_and_go_with_their_person(start: Start) -> None:
    first = start(heads=EASY, adapt_share=1.0)
    follow(first, 3)
    head = first.service.heads.of(WHO)
    assert head is not None
    again = start(heads=EASY, adapt_share=1.0)
    restored = again.service.heads.of(WHO)
    assert restored is not None
    assert restored.to_json() == head.to_json()
    gone = again.admin.post("/v1/forget", json={"user_id": USER}).json()
    assert gone["heads"] == 1
    assert again.service.heads.of(WHO) is None
    assert again.service.log.heads.get(user_id=USER) is None


def test_what_was_being_learned_while_somebody_was_forgotten_is_not_kept(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapt = LiveSystem.adapt

    def forgetting(self: LiveSystem, *arguments: Any) -> Any:
        found = adapt(self, *arguments)
        running.admin.post("/v1/forget", json={"user_id": USER})
        return found

    item = ids(asked(running))[0]
    monkeypatch.setattr(LiveSystem, "adapt", forgetting)
    react(running, item)
    assert running.service.heads.of(WHO) is None
    assert running.service.log.heads.get(user_id=USER) is None


def test_what_was_read_before_everybody_was_cleared_does_not_come_back_to_memory(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads, head = running.service.heads, counting(running)

    def late(_: Who) -> Head:
        heads.clear()
        return head

    with monkeypatch.context() as slow:
        slow.setattr(heads, "_read", late)
        heads.of(WHO)
    assert heads.of(WHO) is None


def test_who_was_forgotten_is_adapted_to_as_a_stranger(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapt, seen = LiveSystem.adapt, []

    def watching(self: LiveSystem, ask: Ask, *arguments: Any) -> Any:
        seen.append(ask.user_id)
        return adapt(self, ask, *arguments)

    item = ids(asked(running))[0]
    monkeypatch.setattr(LiveSystem, "adapt", watching)
    react(running, item)
    running.admin.post("/v1/forget", json={"user_id": USER})
    react(running, item)
    assert seen == [USER, None]


def test_only_so_many_heads_stay_in_memory_and_the_others_are_read_again(start: Start) -> None:
    running = start(max_people=2)
    head = counting(running)
    for name in ("a", "b", "c"):
        put(running, head, user_id=name)
    heads = running.service.heads
    for name in ("a", "b", "a", "c", "a", "b"):
        assert heads.of(Who(user_id=name)) is not None
    assert list(heads._kept) == [Who(user_id="a"), Who(user_id="b")]


def test_who_has_no_room_to_wait_is_passed_over_and_nobody_waits_twice(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start(max_adapting=2)
    heads = running.service.heads
    with monkeypatch.context() as held:
        held.setattr(heads, "_next", lambda: None)  # the thread ends at its next turn
        heads.close()
    people = [Who(user_id=name) for name in ("a", "b", "a", "c", "b")]
    heads.note(people)
    assert list(heads._waiting) == [Who(user_id="a"), Who(user_id="b")]
    assert 'outcome="passed_over"} 1.0' in running.read.get("/metrics").text


def test_without_adaptation_nothing_is_learned_and_nothing_is_applied(start: Start) -> None:
    assert not ServiceConfig().adapt
    running = start(adapt=False)
    put(running, counting(running))
    told = asked(running)
    assert not told["adaptation_applied"]
    react(running, ids(told)[0])
    assert "crossfade_adaptation_seconds_count 0.0" in running.read.get("/metrics").text


def test_a_log_that_fails_stops_no_later_adaptation(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crossfade.errors import StoreError
    from crossfade.store.log.heads import Heads

    def broken(*_: object) -> bool:
        raise StoreError("the disk is full")

    listed = ids(asked(running))
    with monkeypatch.context() as failing:
        failing.setattr(Heads, "put", broken)
        react(running, listed[0])
    assert 'outcome="failed"} 1.0' in running.read.get("/metrics").text
    assert running.service.heads.of(WHO) is None
    react(running, listed[1])
    found = running.service.heads.of(WHO)
    assert found is not None
    assert found.n_reactions == 2
