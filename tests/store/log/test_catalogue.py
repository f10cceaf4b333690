"""Items and profiles between fits, on every database."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossfade.errors import DataError
from crossfade.store.log import Item, Log, NewEvent, User, migrations

NOW = 1_700_000_000_000_000
SONG = Item("s/1", {"title": "Blue", "genres": ["jazz", "soul"], "energy": 0.25, "live": True})


def test_what_was_put_is_kept_and_put_again_changes_nothing(log: Log) -> None:
    shelf = log.catalogue
    assert shelf.put_items([SONG, Item("b")], NOW) == [True, True]
    assert shelf.item("s/1") == SONG
    before = shelf.availability()
    assert shelf.put_items([SONG, Item("b", {"title": "B"})], NOW + 1) == [False, True]
    kept = shelf.item("s/1")
    assert kept is not None
    assert kept.changed_us == NOW
    after, changed = shelf.availability(before[0])
    assert changed == {"b": True}
    assert shelf.availability(after) == (after, {})
    assert shelf.put_items([Item("s/1", {"title": "Red"})], NOW) == [True]
    assert shelf.item("s/1") == Item("s/1", {"title": "Red"})  # of the old row nothing is left


def test_a_change_keeps_what_it_does_not_name_and_none_takes_away(log: Log) -> None:
    shelf = log.catalogue
    shelf.put_items([SONG], NOW)
    changed = shelf.change_item("s/1", {"title": None, "energy": 0.5}, NOW, available=False)
    assert changed == Item("s/1", {"genres": ["jazz", "soul"], "energy": 0.5, "live": True}, False)
    assert shelf.item("s/1") == changed
    assert shelf.change_item("s/1", {"title": "Red"}, NOW) == Item(
        "s/1", {**changed.columns, "title": "Red"}, False
    )
    assert shelf.change_item("other", {"title": "x"}, NOW) is None
    assert shelf.item("other") is None


def test_a_deleted_item_is_gone_but_readers_of_changes_hear_of_it(log: Log) -> None:
    shelf = log.catalogue
    shelf.put_items([SONG], NOW)
    seen, there = shelf.availability()
    assert there == {"s/1": True}
    assert shelf.delete_item("s/1", NOW)
    assert not shelf.delete_item("s/1", NOW)
    assert shelf.item("s/1") is None
    assert shelf.items() == []
    assert shelf.change_item("s/1", {"title": "x"}, NOW) is None
    assert not shelf.delete_item("only the version knows it", NOW)
    seen, changed = shelf.availability(seen)
    assert changed == {"s/1": False, "only the version knows it": False}
    shelf.put_items([SONG], NOW)  # back in the shop
    assert shelf.availability(seen)[1] == {"s/1": True}
    assert shelf.availability()[1] == {"s/1": True, "only the version knows it": False}


def test_pages_join_to_all_items_once_in_the_order_of_their_bytes(log: Log) -> None:
    ids = ["b", "B", "a/b", "é", "音", "🎧", "a", "Z", "_", "a b", "10", "9"]
    log.catalogue.put_items([Item(id_) for id_ in ids], NOW)
    log.catalogue.put_users([User(id_) for id_ in ids], NOW)
    wanted = sorted(ids, key=str.encode)
    found, also = [""], [""]
    while items := log.catalogue.items(found[-1], 5):
        found += [item.item_id for item in items]
    while users := log.catalogue.users(also[-1], 5):
        also += [user.user_id for user in users]
    assert found[1:] == also[1:] == wanted
    assert len(log.catalogue.items(limit=5)) == len(log.catalogue.users(limit=5)) == 5


def test_a_profile_is_put_changed_and_deleted(log: Log) -> None:
    shelf = log.catalogue
    ann = User("ann", {"country": "de", "age": 30})
    assert shelf.put_users([ann, User("bob")], NOW) == [True, True]
    assert shelf.put_users([ann], NOW + 1) == [False]
    assert shelf.user("ann") == ann
    assert shelf.change_user("ann", {"age": None}, NOW) == User("ann", {"country": "de"})
    assert shelf.change_user("cid", {}, NOW) is None
    assert shelf.delete_user("ann")
    assert not shelf.delete_user("ann")
    assert shelf.users() == [User("bob")]


def test_who_is_forgotten_has_no_profile_and_none_comes_back_from_a_backup(log: Log) -> None:
    shelf = log.catalogue
    shelf.put_users([User("ann", {"country": "de"}), User("bob")], NOW)
    gone = log.forget(user_id="ann", now_us=NOW + 10)
    assert (gone.events, gone.impressions, gone.profiles) == (0, 0, 1)
    assert shelf.users() == [User("bob")]
    shelf.put_users([User("ann", {"country": "de"})], NOW)  # as a backup from before has it
    assert log.clean(log.tombstones()).profiles == 1
    assert shelf.users() == [User("bob")]
    shelf.put_users([User("ann")], NOW + 20)  # came back by herself
    assert log.clean(log.tombstones()).profiles == 0
    assert shelf.user("ann") == User("ann")


VALUES = st.text() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
COLUMNS = st.dictionaries(
    st.text(min_size=1, max_size=5, alphabet="aé🎧"), VALUES | st.lists(st.text(), max_size=3)
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(COLUMNS)
def test_any_column_comes_back_as_it_was(log: Log, columns: dict[str, Any]) -> None:
    log.catalogue.put_items([Item("x", columns)], NOW)
    log.catalogue.put_users([User("x", columns)], NOW)
    item, user = log.catalogue.item("x"), log.catalogue.user("x")
    assert item is not None
    assert user is not None
    assert item.columns == user.columns == columns


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"x": float("nan")}, "finite numbers"),
        ({"x": object()}, "columns must hold texts"),
        ({"": "x"}, "the name of a column"),
        ({"x": "y" * 100_000}, "columns may have 100,000 characters together, got 100,009"),
    ],
)
def test_columns_that_no_database_keeps_are_refused(columns: dict[str, Any], said: str) -> None:
    for make in (Item, User):
        with pytest.raises(DataError, match=said):
            make("x", columns)


def test_a_log_from_before_there_was_a_catalogue_gets_one_and_keeps_its_events(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "STEPS", migrations.STEPS[:1])
        with Log.open(url) as old:
            old.append([NewEvent("t", NOW, "ann")], NOW)
    with Log.open(url) as log:
        assert log.catalogue.put_items([SONG], NOW) == [True]
        assert len(log.events_of(user_id="ann")) == 1
