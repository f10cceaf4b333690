"""What a log promises whatever it is kept in: every test runs on each database there is."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from crossfade.errors import ConflictError, DataError, StoreError
from crossfade.store.log import (
    Appended,
    Impression,
    ImpressionItem,
    Log,
    NewEvent,
    StoredEvent,
)

NOW = 1_700_000_000_000_000
PLAY = NewEvent(
    "t1",
    NOW - 5,
    "ann",
    "s1",
    "rating",
    value=4.1,
    played_ms=200_000,
    skipped=False,
    context={"device": "phone", "hour": 7, "noise": 0.1},
    request_id="r1",
    key="k1",
)


def plays(user_id: str | None, n: int, session_id: str | None = None) -> list[NewEvent]:
    return [NewEvent(f"t{i}", NOW + i, user_id, session_id) for i in range(n)]


def shown(request_id: str, user_id: str | None, time_us: int = NOW) -> Impression:
    items = [
        ImpressionItem("t9", 1, 0.25, 0.5, 1.0, {"ease": 0.75, "als": 0.25}),
        ImpressionItem("t8", 2, 0.1),
    ]
    return Impression(request_id, time_us, "v1", "blend", items, user_id, "s1", "x", "b")


# -- events --------------------------------------------------------------------------------


def test_an_event_comes_back_as_it_was_handed_in(log: Log) -> None:
    assert log.append([PLAY], NOW) == [Appended(1, duplicate=False)]
    assert log.events_of(user_id="ann") == [StoredEvent(1, NOW, PLAY)]


def test_what_is_not_given_comes_back_as_nothing(log: Log) -> None:
    least = NewEvent("t1", 0, session_id="s1")
    log.append([least], NOW)
    assert log.events_after(0, 10) == [StoredEvent(1, NOW, least)]
    assert least.skipped is None
    assert least.context == {}


def test_sequences_count_up_in_the_order_handed_in(log: Log) -> None:
    assert log.last_sequence() == 0
    assert [done.sequence for done in log.append(plays("ann", 3), NOW)] == [1, 2, 3]
    assert [done.sequence for done in log.append(plays("ben", 2), NOW - 9)] == [4, 5]
    assert log.last_sequence() == 5
    assert [stored.event.item_id for stored in log.events_after(1, 3)] == ["t1", "t2", "t0"]


def test_a_look_whether_it_can_be_written_leaves_everything_as_it_was(log: Log) -> None:
    log.append([PLAY], NOW)
    log.check()
    assert log.last_sequence() == 1
    assert log.append(plays("ann", 1), NOW)[0].sequence == 2


def test_nothing_is_kept_of_an_empty_batch(log: Log) -> None:
    assert log.append([], NOW) == []
    assert log.last_sequence() == 0


def test_events_are_found_by_user_by_session_and_by_both(log: Log) -> None:
    log.append([*plays("ann", 2, "s1"), *plays("ann", 1, "s2"), *plays(None, 1, "s1")], NOW)

    def found(**whose: str) -> list[int]:
        return [stored.sequence for stored in log.events_of(**whose)]  # type: ignore[arg-type]

    assert found(user_id="ann") == [1, 2, 3]
    assert found(session_id="s1") == [1, 2, 4]
    assert found(user_id="ann", session_id="s1") == [1, 2]
    assert found(user_id="nobody") == []
    later = log.events_of(user_id="ann", after=1, limit=1)
    assert [stored.sequence for stored in later] == [2]
    newest = log.events_of(user_id="ann", limit=2, newest=True)
    assert [stored.sequence for stored in newest] == [2, 3]


@pytest.mark.parametrize(
    "ask",
    [
        lambda log: log.events_of(),
        lambda log: log.events_of(user_id="a\0"),
        lambda log: log.events_of(user_id="ann", limit=-1),
        lambda log: log.events_after(2**63, 1),
        lambda log: log.forget(now_us=NOW),
        lambda log: log.impression(""),
        lambda log: log.append([PLAY], 2**63),
        lambda log: log.add_key("shop", "root", NOW),
    ],
)
def test_a_question_no_database_understands_is_refused(
    log: Log, ask: Callable[[Log], object]
) -> None:
    with pytest.raises(DataError):
        ask(log)


# -- keys of events ------------------------------------------------------------------------


def test_the_same_event_under_the_same_key_is_kept_once(log: Log) -> None:
    log.append([PLAY], NOW)
    again = log.append([replace(PLAY), *plays("ben", 1)], NOW + 1)
    assert again == [Appended(1, duplicate=True), Appended(2, duplicate=False)]
    assert log.events_after(0, 10)[0] == StoredEvent(1, NOW, PLAY)


def test_an_event_of_now_is_the_same_when_it_is_sent_again_later(log: Log) -> None:
    def at(time_us: int, received_us: int, item_id: str = "t1") -> Appended:
        return log.append([replace(PLAY, time_us=time_us, item_id=item_id)], received_us)[0]

    assert at(NOW, NOW) == Appended(1, duplicate=False)
    for later in (NOW + 9, NOW, NOW - 9):
        assert at(later, later) == Appended(1, duplicate=True)
    assert at(NOW, NOW + 9) == Appended(1, duplicate=True)
    for other in ((NOW + 1, NOW + 9), (NOW + 9, NOW + 9, "t2")):
        with pytest.raises(ConflictError):
            at(*other)
    assert log.events_after(0, 9) == [StoredEvent(1, NOW, replace(PLAY, time_us=NOW))]


def test_a_batch_may_hold_an_event_twice(log: Log) -> None:
    assert log.append([PLAY, PLAY], NOW) == [Appended(1, duplicate=False), Appended(1, duplicate=True)]  # fmt: skip
    assert log.last_sequence() == 1


def test_without_a_key_an_event_is_kept_each_time(log: Log) -> None:
    assert [done.sequence for done in log.append(plays("ann", 1) * 2, NOW)] == [1, 2]


CHANGES: dict[str, object] = {"item_id": "t2", "time_us": NOW, "user_id": None, "session_id": "s2", "event": "play",
    "value": None, "played_ms": 0, "skipped": None, "context": {}, "request_id": None}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_key_used_for_another_event_is_refused_with_its_whole_batch(log: Log, name: str) -> None:
    log.append([PLAY], NOW)
    other = replace(PLAY, **{name: CHANGES[name]})  # type: ignore[arg-type]
    with pytest.raises(ConflictError, match=r'key "k1" already stands .* \(sequence 1\); give'):
        log.append([*plays("ben", 2), other], NOW)
    assert log.events_after(0, 10) == [StoredEvent(1, NOW, PLAY)]
    assert log.last_sequence() == 1


def test_more_keys_than_a_statement_takes_are_all_looked_up(log: Log) -> None:
    events = [NewEvent("t", NOW, "ann", key=f"k{i}") for i in range(2500)]
    log.append(events[::2], NOW)
    again = log.append(events, NOW)
    assert [done.duplicate for done in again] == [True, False] * 1250
    assert log.last_sequence() == 2500


# -- impressions ---------------------------------------------------------------------------


def test_an_impression_comes_back_as_it_was_handed_in(log: Log) -> None:
    log.add_impressions([shown("r1", "ann")])
    assert log.impression("r1") == shown("r1", "ann")
    assert log.impression("r2") is None


def test_impressions_come_newest_first(log: Log) -> None:
    log.add_impressions([shown("r1", "ann", 5), shown("r2", "ann", 7), shown("r3", "ben", 6)])

    def found(limit: int | None = None, **whose: str) -> list[str]:
        return [one.request_id for one in log.impressions_of(limit=limit, **whose)]

    assert found(user_id="ann") == ["r2", "r1"]
    assert found(session_id="s1") == ["r2", "r3", "r1"]
    assert found(session_id="s1", user_id="ben") == ["r3"]
    assert found(user_id="ann", limit=1) == ["r2"]


def test_an_impression_is_kept_once_and_never_changed(log: Log) -> None:
    log.add_impressions([shown("r1", "ann"), shown("r1", "ann")])
    log.add_impressions([shown("r1", "ann")])
    with pytest.raises(ConflictError, match='request "r1" already has another impression'):
        log.add_impressions([shown("r2", "ann"), shown("r1", "ben")])
    assert [one.request_id for one in log.impressions_of(session_id="s1")] == ["r1"]


# -- API keys ------------------------------------------------------------------------------


def test_a_key_opens_until_it_expires(log: Log) -> None:
    presented = log.add_key("shop", "write", NOW, expires_us=NOW + 10)
    key = log.key(presented, NOW + 9)
    assert key is not None
    assert (key.name, key.role, key.created_us, key.expires_us) == ("shop", "write", NOW, NOW + 10)
    assert presented.startswith(f"cf_{key.id}_")
    assert log.key(presented, NOW + 10) is None


def test_a_revoked_key_opens_nothing_whatever_the_clock_says(log: Log) -> None:
    presented = log.add_key("shop", "admin", NOW)
    (key,) = log.keys()
    assert log.revoke_key(key.id, NOW + 5)
    assert not log.revoke_key(key.id, NOW + 6)
    assert not log.revoke_key("0" * 16, NOW)
    assert log.key(presented, NOW + 7) is None
    assert log.key(presented, NOW) is None
    assert log.keys() == [replace(key, revoked_us=NOW + 5)]


def test_a_wrong_key_opens_nothing(log: Log) -> None:
    presented, other = (log.add_key(name, "read", NOW) for name in ("shop", "till"))
    flipped = presented[:-1] + ("0" if presented[-1] != "0" else "1")
    mixed = presented[: len("cf_") + 16] + other[len("cf_") + 16 :]
    wrong = ["", "cf_", flipped, mixed, presented.upper(), presented + "\n", "\ud800", "x" * 10**6]
    assert [log.key(attempt, NOW) for attempt in wrong] == [None] * len(wrong)
    assert log.key(presented, NOW) is not None


# -- forgetting ----------------------------------------------------------------------------


def test_a_forgotten_user_is_in_no_table(log: Log, url: str) -> None:
    log.append([*plays("ann", 3, "s1"), *plays("ben", 2, "s2")], NOW)
    log.add_impressions([shown("r1", "ann"), shown("r2", "ben")])
    done = log.forget(user_id="ann", now_us=NOW)
    assert (done.events, done.impressions) == (3, 1)
    assert done.wiped == url.startswith("sqlite")
    assert log.events_of(user_id="ann") == []
    assert log.impressions_of(user_id="ann") == []
    assert log.impression("r1") is None
    assert [stored.sequence for stored in log.events_after(0, 10)] == [4, 5]
    assert log.impression("r2") is not None
    # What was given once is not given again.
    assert log.forget(user_id="ben", now_us=NOW).events == 2
    assert log.append(plays("eve", 1), NOW) == [Appended(6, duplicate=False)]


def test_what_a_user_did_before_signing_in_is_forgotten_too(log: Log) -> None:
    log.append([*plays(None, 2, "s1"), *plays("ann", 1, "s1"), *plays("ben", 1, "s1")], NOW)
    log.append(plays(None, 1, "s2"), NOW)
    assert log.forget(user_id="ann", now_us=NOW).events == 3
    left = [(stored.event.user_id, stored.event.session_id) for stored in log.events_after(0, 9)]
    assert left == [("ben", "s1"), (None, "s2")]


def test_a_forgotten_session_takes_all_its_rows(log: Log) -> None:
    log.append([*plays(None, 2, "s1"), *plays("ann", 1, "s1"), *plays("ann", 1, "s2")], NOW)
    assert log.forget(session_id="s1", now_us=NOW).events == 3
    assert [stored.sequence for stored in log.events_after(0, 9)] == [4]


def test_who_was_forgotten_is_known_to_whoever_asks_for_them_and_since_when(log: Log) -> None:
    assert log.forgotten(user_id="ann") is None
    log.forget(user_id="ann", now_us=NOW)
    log.forget(session_id="s1", now_us=NOW + 1)
    log.forget(user_id="ann", now_us=NOW + 2)
    assert log.forgotten(user_id="ann") == NOW + 2
    assert log.forgotten(session_id="s1") == NOW + 1
    assert log.forgotten(session_id="ann") is None  # a session of that name is somebody else
    assert log.forgotten(user_id="ben") is None


def test_after_forgetting_a_key_is_free_again(log: Log) -> None:
    log.append([PLAY], NOW)
    log.forget(user_id="ann", now_us=NOW)
    assert log.append([replace(PLAY, item_id="t2")], NOW) == [Appended(2, duplicate=False)]


def test_those_of_many_who_were_forgotten_are_found_at_once(log: Log) -> None:
    assert log.forgotten_among("user", ["ann", "ben"]) == {}
    log.forget(user_id="ann", session_id="s1", now_us=NOW)
    log.forget(user_id="ann", now_us=NOW + 2)
    assert log.forgotten_among("user", ["s1", "ben", "ann"]) == {"ann": NOW + 2}
    assert log.forgotten_among("session", ["s1", "ben", "ann"]) == {"s1": NOW}


def test_a_restored_backup_is_cleaned_of_whom_was_forgotten_since(log: Log) -> None:
    def fill() -> None:
        log.append([*plays("ann", 2), *plays(None, 1, "s1"), *plays("ben", 1, "s1")], NOW)
        log.append(plays("eve", 1, "s3"), NOW)

    fill()
    log.forget(user_id="ann", now_us=NOW + 1)
    log.forget(user_id="ben", now_us=NOW + 1)
    log.forget(session_id="s3", now_us=NOW + 1)
    stones = log.tombstones()
    assert len(stones) == 4
    assert all("ann" not in repr(stone) for stone in stones)
    assert log.events_after(0, 9) == []
    fill()  # as a backup would
    back_again = log.append(plays("ann", 1), NOW + 2)
    assert log.clean(stones).events == 5
    assert [stored.sequence for stored in log.events_after(0, 99)] == [back_again[0].sequence]
    assert log.tombstones() == stones


def test_who_is_forgotten_by_a_clock_that_went_back_is_in_no_restored_backup(log: Log) -> None:
    for _ in range(2):  # the second time as a backup would
        log.append([*plays("ann", 2, "s1"), *plays(None, 1, "s1")], NOW)
        log.add_impressions([shown("r1", "ann", NOW + 7)])
        log.append(plays("ben", 1, "s2"), NOW + 9)
        log.forget(user_id="ann", session_id="s2", now_us=NOW - 1_000)
        stones = log.tombstones()
        assert log.forgotten(user_id="ann") == NOW + 7
        assert log.forgotten(session_id="s2") == NOW + 9
    log.append([*plays("ann", 2, "s1"), *plays(None, 1, "s1")], NOW)
    log.add_impressions([shown("r1", "ann", NOW + 7)])
    log.append(plays("ben", 1, "s2"), NOW + 9)
    assert log.clean(stones).events == 4
    assert log.events_after(0, 9) == []
    assert log.impressions_of(user_id="ann") == []


# -- closing -------------------------------------------------------------------------------


def test_a_closed_log_says_so(log: Log) -> None:
    log.check()
    log.close()
    log.close()
    for ask in (log.check, log.last_sequence, lambda: log.append(plays("ann", 1), NOW)):
        with pytest.raises(StoreError, match="the event log is closed; open it again"):
            ask()


def test_a_reopened_log_goes_on(log: Log, url: str) -> None:
    log.append([PLAY], NOW)
    log.close()
    with Log.open(url) as again:
        assert again.append([PLAY], NOW + 1) == [Appended(1, duplicate=True)]
        assert again.append(plays("ann", 1), NOW) == [Appended(2, duplicate=False)]
