"""Reactions over HTTP: kept, counted once, and heard by the very next list."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.service.conftest import Running, Start

from crossfade.service.people import Who
from crossfade.store.log import NewEvent, StoredEvent


def items_of(running: Running, **asked: object) -> list[str]:
    told = running.read.post("/v1/recommendations", json={"k": 10, **asked}).json()
    return [line["item_id"] for line in told["items"]]


def test_the_next_list_knows_of_an_event(running: Running) -> None:
    model = running.model
    user = model.dataset.user_ids.id(0)
    before = items_of(running, user_id=user)
    done = running.write.post("/v1/events", json={"user_id": user, "item_id": before[0]})
    assert done.status_code == 201
    assert done.json() == {"sequence": 1, "duplicate": False}
    told = running.read.post("/v1/recommendations", json={"user_id": user, "k": 10}).json()
    assert told["n_live"] == 1
    after = [line["item_id"] for line in told["items"]]
    assert after != before
    if model.blend.exclude_seen:
        assert before[0] not in after


def test_a_session_without_a_user_has_a_history_of_its_own(running: Running) -> None:
    model = running.model
    item = model.dataset.item_ids.id(5)
    nothing = items_of(running, session_id="s1")
    running.write.post("/v1/events", json={"session_id": "s1", "item_id": item})
    assert items_of(running, session_id="s1") != nothing
    assert items_of(running, session_id="s2") == nothing


def test_an_event_of_a_user_in_a_session_counts_for_both(running: Running) -> None:
    model = running.model
    event = {"user_id": "new", "session_id": "s", "item_id": model.dataset.item_ids.id(5)}
    # Asked about before and after, so that what is kept in memory is tried as well as the log.
    running.read.post("/v1/recommendations", json={"user_id": "new"})
    running.write.post("/v1/events", json=event)
    for who in ({"user_id": "new"}, {"session_id": "s"}):
        assert running.read.post("/v1/recommendations", json=who).json()["n_live"] == 1


def test_the_same_key_counts_once_and_with_other_content_is_a_conflict(running: Running) -> None:
    event = {"user_id": "u", "item_id": "i", "timestamp": "2024-05-01T10:00:00Z"}
    headers = {"Idempotency-Key": "k1"}
    first = running.write.post("/v1/events", json=event, headers=headers).json()
    again = running.write.post("/v1/events", json=event, headers=headers)
    assert again.json() == {"sequence": first["sequence"], "duplicate": True}
    other = running.write.post("/v1/events", json={**event, "item_id": "j"}, headers=headers)
    assert other.status_code == 409
    assert other.json()["error"]["code"] == "conflict"
    assert len(running.service.log.events_of(user_id="u")) == 1
    both = running.write.post("/v1/events", json={**event, "key": "k2"}, headers=headers)
    assert both.status_code == 422


def test_an_event_of_now_may_be_sent_again_too(running: Running) -> None:
    event = {"user_id": "u", "item_id": "i"}
    headers = {"Idempotency-Key": "k1"}
    first = running.write.post("/v1/events", json=event, headers=headers).json()
    again = running.write.post("/v1/events", json=event, headers=headers)
    assert (again.status_code, again.json()) == (201, {**first, "duplicate": True})
    batch = {"events": [{**event, "key": "k1"}]}
    assert running.write.post("/v1/events/batch", json=batch).json()["events"] == [again.json()]
    dated = {**event, "timestamp": "2024-05-01T10:00:00Z"}
    assert running.write.post("/v1/events", json=dated, headers=headers).status_code == 409
    assert len(running.service.log.events_of(user_id="u")) == 1


def test_of_a_batch_all_events_are_taken_or_none(running: Running) -> None:
    good = {"user_id": "u", "item_id": "i"}
    done = running.write.post("/v1/events/batch", json={"events": [good, good]})
    assert done.status_code == 201
    assert [one["sequence"] for one in done.json()["events"]] == [1, 2]
    wrong = running.write.post("/v1/events/batch", json={"events": [good, {"item_id": "i"}]})
    assert wrong.status_code == 422
    assert "events.1" in wrong.json()["error"]["details"][0]["where"]
    assert running.service.log.last_sequence() == 2


@pytest.mark.parametrize(
    "event",
    [
        {"item_id": "i"},
        {"user_id": "u"},
        {"user_id": "", "item_id": "i"},
        {"user_id": "u", "item_id": "i" * 600},
        {"user_id": "u", "item_id": "i\x00"},
        {"user_id": "u", "item_id": "i", "value": 1e300},
        {"user_id": "u", "item_id": "i", "played_ms": -1},
        {"user_id": "u", "item_id": "i", "played_ms": 10**20},
        {"user_id": "u", "item_id": "i", "timestamp": "9999-12-31T23:59:59-12:00"},
        {"user_id": "u", "item_id": "i", "timestamp": "1900-01-01"},
        {"user_id": "u", "item_id": "i", "event": "drop table"},
        {"user_id": "u", "item_id": "i", "context": {f"c{n}": 1 for n in range(100)}},
        {"user_id": "u", "item_id": "i", "colour": "red"},
    ],
)
def test_a_wrong_event_is_refused_and_nothing_is_kept(
    running: Running, event: dict[str, object]
) -> None:
    answer = running.write.post("/v1/events", json=event)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["details"]
    assert running.service.log.last_sequence() == 0


def test_what_is_forgotten_is_in_no_list_and_in_no_log(running: Running) -> None:
    model = running.model
    nothing = items_of(running, user_id="new")
    for row in range(3):
        item = model.dataset.item_ids.id(row)
        running.write.post("/v1/events", json={"user_id": "new", "item_id": item})
    assert items_of(running, user_id="new") != nothing
    gone = running.admin.post("/v1/forget", json={"user_id": "new"})
    assert gone.json()["events"] == 3
    assert items_of(running, user_id="new") == nothing
    assert running.service.log.events_of(user_id="new") == []
    assert running.admin.post("/v1/forget", json={}).status_code == 422


def test_a_system_that_learned_from_somebody_who_was_forgotten_knows_them_no_longer(
    running: Running,
) -> None:
    model = running.model
    user = model.dataset.user_ids.id(0)
    nothing = items_of(running)
    assert items_of(running, user_id=user) != nothing
    running.admin.post("/v1/forget", json={"user_id": user})
    assert items_of(running, user_id=user) == nothing
    pairs = {"user_id": user, "item_ids": nothing[:3]}
    assert (
        running.read.post("/v1/predictions", json=pairs).json()
        == running.read.post("/v1/predictions", json={**pairs, "user_id": "new"}).json()
    )
    # Who comes back is known by what they do from then on.
    event = {"user_id": user, "item_id": model.dataset.item_ids.id(5)}
    running.write.post("/v1/events", json=event)
    told = running.read.post("/v1/recommendations", json={"user_id": user}).json()
    assert (told["n_history"], told["n_live"]) == (1, 1)


def test_sessions_of_somebody_who_was_forgotten_are_forgotten_in_memory_too(
    running: Running,
) -> None:
    item = running.model.dataset.item_ids.id(5)
    running.write.post("/v1/events", json={"session_id": "s", "item_id": item})
    event = {"user_id": "new", "session_id": "s", "item_id": item}
    running.write.post("/v1/events", json=event)
    asked = {"session_id": "s"}
    assert running.read.post("/v1/recommendations", json=asked).json()["n_live"] == 2
    running.admin.post("/v1/forget", json={"user_id": "new"})
    assert running.read.post("/v1/recommendations", json=asked).json()["n_live"] == 0


def test_events_are_there_after_a_restart(start: Start) -> None:
    first = start()
    model = first.model
    event = {"user_id": "new", "item_id": model.dataset.item_ids.id(5)}
    first.write.post("/v1/events", json=event)
    listed = items_of(first, user_id="new")
    again = start()
    assert items_of(again, user_id="new") == listed


def test_events_of_tomorrow_wait_for_their_time(running: Running) -> None:
    """A clock that runs ahead somewhere must not make a list of what has not happened yet."""
    model = running.model
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    event = {"user_id": "new", "item_id": model.dataset.item_ids.id(5), "timestamp": later}
    assert running.write.post("/v1/events", json=event).status_code == 201
    assert running.read.post("/v1/recommendations", json={"user_id": "new"}).json()["n_live"] == 0


def test_an_event_that_was_read_before_it_was_added_counts_once(running: Running) -> None:
    """A thread may read the log between another one's commit and what that adds to memory."""
    log, people, who = running.service.log, running.service.people, Who(user_id="new")
    event = NewEvent(item_id="i", time_us=0, user_id="new")
    (first,) = log.append([event], 0)
    assert len(people.recent(who).events) == 1
    people.add([StoredEvent(first.sequence, 0, event)])
    assert len(people.recent(who).events) == 1
    (second,) = log.append([event], 0)
    people.add([StoredEvent(second.sequence, 0, event)])
    assert len(people.recent(who).events) == 2
