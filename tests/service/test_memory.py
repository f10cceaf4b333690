"""What is kept of people in memory: all that a list may rest on, in little room that is bounded."""

import gc
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.service.conftest import Start

from crossfade.online import as_event
from crossfade.service.compact import Events
from crossfade.service.people import People, Who
from crossfade.store.log import Log, NewEvent, StoredEvent

IDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
EVENTS = st.builds(
    NewEvent,
    item_id=IDS,
    time_us=st.integers(0, 4 * 10**15),
    user_id=st.just("ann"),
    session_id=st.none() | IDS,
    event=st.sampled_from(["play", "like", "skip"]),
    value=st.none() | st.floats(-1e9, 1e9),
    played_ms=st.none() | st.integers(0, 2**63 - 1),
    skipped=st.none() | st.booleans(),
    context=st.dictionaries(IDS, IDS | st.floats(-1e9, 1e9), max_size=2),
)


@given(st.lists(EVENTS, max_size=8), st.integers(1, 5))
def test_the_newest_events_come_back_as_they_were(events: list[NewEvent], most: int) -> None:
    kept = Events(most)
    for event in events:
        kept.append(event)
    assert list(kept) == [as_event(event) for event in events[-most:]]
    assert len(kept) == len(list(kept))


@pytest.fixture
def people(tmp_path: Path) -> Iterator[People]:
    with Log.open(f"sqlite:///{tmp_path / 'log.db'}") as log:
        yield People(log, max_people=1_000, max_events=500, max_in_all=10**6)


def test_an_hour_of_somebody_takes_less_than_two_kibibytes_and_the_next_one_less_than_one(
    people: People,
) -> None:
    n_people, n_events = 200, 18
    users = [f"user{number}" for number in range(n_people)]

    def hour(first: int) -> float:
        for at in range(n_people * n_events):
            # Texts that are made anew for each event, as those that come in are.
            item, user = f"track-{at % 300}", f"user{at % n_people}"
            event = NewEvent(item, 1_700_000_000_000_000 + at, user, played_ms=100_000 + at)
            people.add([StoredEvent(first + at, 0, event)])
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / n_people

    people.recent(Who(user_id="first"))  # what a first question leaves elsewhere
    gc.collect()
    tracemalloc.start()
    try:
        for user in users:
            people.recent(Who(user_id=user))
        first = hour(1)
        second = hour(1 + n_people * n_events)
    finally:
        tracemalloc.stop()
    assert len(people.recent(Who(user_id="user7")).events) == 2 * n_events
    assert first < 2_048
    assert second - first < 1_024


def test_people_who_come_in_any_number_push_out_who_was_not_asked_about_for_longest(
    start: Start,
) -> None:
    running = start(max_people=5)
    item = running.model.dataset.item_ids.id(5)
    running.write.post("/v1/events", json={"user_id": "first", "item_id": item})
    for number in range(40):
        asked = {"user_id": f"stranger{number}", "k": 1}
        assert running.read.post("/v1/recommendations", json=asked).status_code == 200
        assert len(running.service.people) <= 5
    told = running.read.post("/v1/recommendations", json={"user_id": "first"}).json()
    assert told["n_live"] == 1  # read from the log again


def test_a_storm_of_events_of_one_person_leaves_the_newest_in_memory_and_all_in_the_log(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start(max_events=50, keys=False)
    read = list[int]()
    find = running.service.log.events_of

    def events_of(**asked: Any) -> list[StoredEvent]:
        found = find(**asked)
        read.append(len(found))
        return found

    monkeypatch.setattr(running.service.log, "events_of", events_of)
    who, items = {"user_id": "storm"}, running.model.dataset.item_ids.ids.to_list()
    running.read.post("/v1/recommendations", json=who)
    for _ in range(3):
        batch = {"events": [{**who, "item_id": items[at % 300]} for at in range(1_000)]}
        assert running.write.post("/v1/events/batch", json=batch).status_code == 201
    assert running.read.post("/v1/recommendations", json=who).json()["n_live"] == 50
    assert running.read.post("/v1/recommendations", json={"user_id": "calm"}).status_code == 200
    assert running.service.log.last_sequence() == 3_000
    running.service.people.clear()
    assert running.read.post("/v1/recommendations", json=who).json()["n_live"] == 50
    assert running.nobody.get("/dashboard/history", params=who).status_code == 200
    assert max(read) == 50  # others wait while it is read


@pytest.mark.slow
def test_lists_of_one_person_with_twenty_thousand_events_take_no_longer_than_with_five_hundred(
    start: Start,
) -> None:
    running = start(max_events=500, keep_features=0)
    items = running.model.dataset.item_ids.ids.to_list()

    def tell(user_id: str, n: int) -> None:
        events = [{"user_id": user_id, "item_id": items[at % 300]} for at in range(n)]
        done = running.write.post("/v1/events/batch", json={"events": events})
        assert done.status_code == 201

    def seconds(user_id: str) -> float:
        began = time.process_time()
        for _ in range(10):
            running.service.people.clear()  # read from the log as well
            told = running.read.post("/v1/recommendations", json={"user_id": user_id}).json()
            assert told["n_live"] == 500
        return time.process_time() - began

    tell("busy", 500)
    for _ in range(20):
        tell("storm", 1_000)
    seconds("busy")
    assert min(seconds("storm") for _ in range(3)) < 1.5 * min(seconds("busy") for _ in range(3))


@given(
    st.lists(  # who is asked about, or does so much
        st.tuples(st.sampled_from("abcd"), st.sampled_from((0, 0, 1, 3))), min_size=10, max_size=30
    ),
    st.integers(1, 8),
)
@settings(max_examples=40, deadline=None)
def test_all_together_stay_within_their_room_and_everybody_has_their_newest_events(
    done: list[tuple[str, int]], most: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, Log.open(f"sqlite:///{folder}/log.db") as log:
        people = People(log, max_people=3, max_events=5, max_in_all=most)
        truth: dict[str, list[Any]] = {name: [] for name in "abcd"}
        for at, (name, n) in enumerate(done):
            events = [NewEvent(f"i{at}-{number}", at, user_id=name) for number in range(n)]
            if n == 0:
                assert list(people.recent(Who(user_id=name)).events) == truth[name][-5:]
            else:
                told = log.append(events, at)
                stored = zip(told, events, strict=True)
                people.add([StoredEvent(one.sequence, at, event) for one, event in stored])
                truth[name] += [as_event(event) for event in events]
            kept = [len(one.events) for one in people._kept.values()]
            assert people._n_events == sum(kept)
            assert len(kept) <= 3
            assert sum(kept) <= most or len(kept) == 1
