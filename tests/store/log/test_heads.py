"""Heads in the database: one of each person, gone with them and with their time."""

from dataclasses import replace

import pytest
from sqlalchemy.exc import DBAPIError

from crossfade.errors import DataError
from crossfade.store.log import Log, NewEvent, StoredHead

NOW = 1_700_000_000_000_000
HEAD = StoredHead("v1", NOW, NOW + 100, '{"tilt": [0.5]}', user_id="ann")
VISIT = StoredHead("v1", NOW, NOW + 50, "x" * 5_000, session_id="s1")


def test_the_newest_head_of_somebody_takes_the_place_of_the_one_before(log: Log) -> None:
    assert log.heads.get(user_id="ann") is None
    newer = replace(HEAD, version="v2", created_us=NOW + 1, content="{}")
    assert log.heads.put(HEAD)
    assert log.heads.get(user_id="ann") == HEAD
    assert log.heads.put(newer)
    assert log.heads.put(VISIT)
    assert log.heads.get(user_id="ann") == newer
    assert log.heads.get(session_id="s1") == VISIT
    assert log.heads.get(session_id="ann") is None


def test_heads_are_there_after_a_restart(url: str) -> None:
    with Log.open(url) as log:
        log.heads.put(HEAD)
    with Log.open(url) as log:
        assert log.heads.get(user_id="ann") == HEAD


def test_expired_heads_are_dropped(log: Log) -> None:
    log.heads.put(HEAD)
    log.heads.put(VISIT)
    assert log.heads.drop_expired(NOW + 49) == 0
    assert log.heads.drop_expired(NOW + 50) == 1
    assert log.heads.get(session_id="s1") is None
    assert log.heads.get(user_id="ann") == HEAD


def test_a_head_goes_with_its_person_and_does_not_come_back(log: Log) -> None:
    log.append([NewEvent("t", NOW, None, "s1"), NewEvent("t", NOW, "ann", "s1")], NOW)
    for head in (HEAD, VISIT, replace(HEAD, user_id="ben")):
        log.heads.put(head)
    assert log.forget(user_id="ann", now_us=NOW + 1).heads == 2
    assert log.heads.get(user_id="ann") is None
    assert log.heads.get(session_id="s1") is None  # of what she did before she signed in
    assert log.heads.get(user_id="ben") is not None
    # One that was being learned meanwhile, from events that are gone.
    assert not log.heads.put(HEAD)
    assert not log.heads.put(VISIT)
    assert log.heads.get(user_id="ann") is None
    # Who comes back is learned from anew.
    assert log.heads.put(replace(HEAD, created_us=NOW + 2))


def test_a_restored_backup_is_cleaned_of_heads_too(log: Log) -> None:
    log.forget(user_id="ann", now_us=NOW + 1)
    stones = log.tombstones()
    later = replace(HEAD, created_us=NOW + 2)
    log.heads.put(later)
    assert log.clean(stones).heads == 0
    assert log.clean([replace(stone, time_us=NOW + 2) for stone in stones]).heads == 1


@pytest.mark.parametrize(
    "wrong", [{"user_id": None}, {"session_id": "s1"}, {"version": ""}, {"created_us": 2**63}]
)
def test_what_is_nobodys_or_cannot_be_kept_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(DataError):
        replace(HEAD, **wrong)  # type: ignore[arg-type]


def test_the_database_keeps_one_head_of_each(log: Log) -> None:
    from sqlalchemy import insert

    from crossfade.store.log.tables import heads

    log.heads.put(HEAD)
    with log._database._writing.connect() as connection, pytest.raises(DBAPIError):
        connection.execute(insert(heads), vars(HEAD))
