"""A data set that goes on, and forgets."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.data import Dataset
from crossfade.data.continuing import continued
from crossfade.errors import DataError

START = datetime(2024, 1, 1, tzinfo=UTC)


def events(*rows: tuple[str, str, int], **columns: list[object]) -> pl.DataFrame:
    """User, item and minute of each."""
    users, items, minutes = zip(*rows, strict=True)
    times = [START + timedelta(minutes=minute) for minute in minutes]
    return pl.DataFrame({"user_id": users, "item_id": items, "timestamp": times, **columns})


def told(dataset: Dataset) -> list[tuple[object, ...]]:
    return dataset.with_ids().select("user_id", "item_id", "timestamp").rows()


@pytest.fixture
def old() -> Dataset:
    return Dataset.build(
        events(("ann", "a", 0), ("bob", "b", 5), ("ann", "b", 50)),
        pl.DataFrame({"item_id": ["a", "b", "x"], "title": ["A", "B", "X"]}),
        pl.DataFrame({"user_id": ["ann", "bob"], "country": ["DE", "FR"]}),
        taggings=pl.DataFrame(
            {"user_id": ["ann", "bob"], "item_id": ["a", "b"], "tag": ["t", "s"]}
        ),
        friends=pl.DataFrame({"user_id": ["ann", "bob"], "friend_id": ["bob", "ann"]}),
        session_gap_minutes=60,
    )


def test_new_events_people_and_items_join_in_the_order_of_time(old: Dataset) -> None:
    new = events(("ann", "c", 60), ("aaa", "a", 2), ("bob", "b", 5))
    both = continued(old, new)
    assert [(user, item) for user, item, _ in told(both)] == [
        ("ann", "a"),
        ("aaa", "a"),
        ("bob", "b"),  # which both held, once
        ("ann", "b"),
        ("ann", "c"),
    ]
    assert both.users.rows() == [("aaa", None), ("ann", "DE"), ("bob", "FR")]
    assert both.items["title"].to_list() == ["A", "B", None, "X"]
    assert both.taggings is not None
    assert both.friends is not None
    assert both.user_ids.decode(both.taggings["user_row"].to_numpy()) == ["ann", "bob"]
    assert both.user_ids.decode(both.friends["friend_row"].to_numpy()) == ["bob", "ann"]
    assert told(old) == told(continued(old, new.clear()))


def test_between_old_events_the_old_sessions_stand_and_a_pause_ends_others(old: Dataset) -> None:
    # Ann's two old events are 50 minutes apart and were one session, by a gap of 60.
    both = continued(old, events(("ann", "c", 75), ("ann", "c", 110)))
    sessions = both.events.filter(pl.col("user_row") == 0)["session_row"].to_list()
    assert len(sessions) == 4
    assert sessions[0] == sessions[1] == sessions[2] != sessions[3]


def test_session_ids_decide_where_the_log_has_them() -> None:
    old = Dataset.build(events(("ann", "a", 0), ("ann", "b", 1), session_id=["s", "t"]))
    both = continued(old, events(("ann", "c", 500), ("ann", "d", 2), session_id=["s", None]))
    # In the order of time: a, b, d, c.
    first, second, none, again = both.events["session_row"].to_list()
    assert none is None
    assert first == again != second


def test_nothing_stays_of_who_is_left_out_but_what_came_later(old: Dataset) -> None:
    both = continued(old, events(("ann", "c", 60)), without_users=["bob"])
    assert both.user_ids.ids.to_list() == ["ann"]
    assert both.taggings is not None
    assert both.friends is not None
    assert both.taggings["tag"].to_list() == ["t"]
    assert both.friends.is_empty()
    back = continued(old, events(("bob", "c", 60)), without_users=["bob"])
    assert [item for user, item, _ in told(back) if user == "bob"] == ["c"]
    assert back.users.rows() == [("ann", "DE"), ("bob", None)]
    assert back.taggings is not None
    assert back.friends is not None
    assert back.taggings.height == 1
    assert back.friends.is_empty()


def test_sessions_that_are_left_out_take_their_events_along() -> None:
    old = Dataset.build(events(("ann", "a", 0), ("ann", "b", 1), session_id=["s", None]))
    both = continued(old, events(("ann", "c", 2)), without_sessions=["s"])
    assert [item for _, item, _ in told(both)] == ["b", "c"]


def test_catalogue_rows_that_are_new_or_changed_come_as_frames(old: Dataset) -> None:
    items = pl.DataFrame({"item_id": ["b", "n"], "title": ["B2", "N"], "mystery": [1, 2]})
    users = pl.DataFrame({"user_id": ["eve"], "country": ["IT"]})
    both = continued(old, events(("ann", "n", 60)), items=items, users=users)
    assert both.items.rows() == [("a", "A"), ("b", "B2"), ("n", "N"), ("x", "X")]
    assert ("eve", "IT") in both.users.rows()


def test_a_log_without_times_cannot_go_on(untimed: Dataset, old: Dataset) -> None:
    with pytest.raises(DataError, match="no times"):
        continued(untimed, events(("ann", "a", 0)))
    with pytest.raises(DataError, match="no event is left"):
        continued(old, events(("ann", "a", 0)).clear(), without_users=["ann", "bob"])


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(0, 300)), min_size=1
    )
)
def test_a_log_cut_anywhere_and_continued_is_the_log(rows: list[tuple[str, str, int]]) -> None:
    whole = events(*dict.fromkeys(rows)).sort("timestamp", maintain_order=True)
    expected = Dataset.build(whole)
    for cut in {1, len(whole) // 2 or 1, len(whole)}:
        both = continued(Dataset.build(whole[:cut]), whole[cut // 2 :])
        assert told(both) == told(expected)
        pairs = zip(both.events["session_row"], expected.events["session_row"], strict=True)
        assert len(set(pairs)) == expected.events["session_row"].n_unique()
        assert both.events["session_row"].n_unique() == expected.events["session_row"].n_unique()
