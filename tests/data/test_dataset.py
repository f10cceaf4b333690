import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.data import Dataset, Target
from crossfade.data.dataset import to_datetime, to_us
from crossfade.errors import DataError

START = datetime(2024, 1, 1, tzinfo=UTC)

# (user, item, minute) with few values each, so that ties, repeats and empty histories occur.
PLAYS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from("vwxyz"), st.integers(0, 12)),
    min_size=1,
    max_size=25,
)


def log(plays: list[tuple[str, str, int]], **more: Any) -> Dataset:
    users, items, minutes = zip(*plays, strict=True)
    events = {
        "user_id": users,
        "item_id": items,
        "timestamp": [START + timedelta(minutes=minute) for minute in minutes],
        **more,
    }
    return Dataset.build(pl.DataFrame(events))


def minutes(dataset: Dataset) -> list[int]:
    return [(time - START) // timedelta(minutes=1) for time in dataset.events["timestamp"]]


# -- rows ------------------------------------------------------------------------------


@given(PLAYS, st.randoms(use_true_random=False))
def test_rows_are_sorted_ids_whatever_the_order_of_the_file(
    plays: list[tuple[str, str, int]], shuffler: Any
) -> None:
    shuffled = plays.copy()
    shuffler.shuffle(shuffled)
    first, second = log(plays), log(shuffled)
    assert first.user_ids.ids.to_list() == sorted({user for user, _, _ in plays})
    assert first.item_ids.ids.equals(second.item_ids.ids)
    pairs = ["timestamp", "user_row", "item_row"]
    assert first.events.select(pairs).sort(pairs).equals(second.events.select(pairs).sort(pairs))


def test_ids_are_text_and_sort_as_text() -> None:
    data = Dataset.build(pl.DataFrame({"user_id": [10, 9], "item_id": [1, 1]}))
    assert data.user_ids.ids.to_list() == ["10", "9"]


def test_the_catalogue_adds_items_and_users_without_events() -> None:
    data = Dataset.build(
        pl.DataFrame({"user_id": ["b"], "item_id": ["y"]}),
        items=pl.DataFrame({"item_id": ["z", "x"], "title": ["Zed", "Ex"]}),
        users=pl.DataFrame({"user_id": ["a"], "age": [31]}),
    )
    assert data.items.rows() == [("x", "Ex"), ("y", None), ("z", "Zed")]
    assert data.users.rows() == [("a", 31), ("b", None)]
    assert data.events.select("user_row", "item_row").rows() == [(1, 1)]
    assert (data.n_events, data.n_users, data.n_items) == (1, 2, 3)


def test_friends_and_taggings_speak_of_known_ids_only() -> None:
    data = Dataset.build(
        pl.DataFrame({"user_id": ["a", "b"], "item_id": ["x", "x"]}),
        friends=pl.DataFrame({"user_id": ["a", "a", "q"], "friend_id": ["b", "q", "b"]}),
        taggings=pl.DataFrame({"user_id": ["b", "a"], "item_id": ["x", "q"], "tag": ["mellow", "odd"]}),
    )  # fmt: skip
    assert data.friends is not None
    assert data.taggings is not None
    assert data.friends.rows() == [(0, 1)]
    assert data.taggings.rows() == [(1, 0, "mellow")]


# -- time ------------------------------------------------------------------------------


@given(PLAYS)
def test_events_are_sorted_by_time_and_keep_the_order_of_the_file_among_equals(
    plays: list[tuple[str, str, int]],
) -> None:
    data = log(plays, context_place=list(range(len(plays))))
    expected = sorted(range(len(plays)), key=lambda place: plays[place][2])
    assert data.events["context_place"].to_list() == expected


def test_before_is_strict() -> None:
    data = log([("a", "x", 0), ("a", "x", 5), ("a", "x", 6)])
    assert minutes(data.before(START + timedelta(minutes=5))) == [0]
    assert minutes(data.before(START + timedelta(minutes=5, microseconds=1))) == [0, 5]


def test_between_holds_its_start_and_not_its_stop() -> None:
    data = log([("a", "x", minute) for minute in range(6)])
    inside = data.between(START + timedelta(minutes=2), START + timedelta(minutes=4))
    assert minutes(inside) == [2, 3]


def test_a_cut_keeps_rows_catalogue_and_sessions() -> None:
    data = log([("a", "x", 0), ("a", "x", 60), ("b", "y", 61)])
    later = data.between(START + timedelta(minutes=1), START + timedelta(days=1))
    assert (later.n_users, later.n_items) == (2, 2)
    assert later.events["session_row"].to_list() == data.events["session_row"].to_list()[1:]
    assert later.user_ids.id(1) == "b"


def test_taggings_with_times_are_cut_strictly_and_unknown_times_are_left_out() -> None:
    times = [START, START + timedelta(minutes=5), None]
    taggings = pl.DataFrame(
        {"user_id": ["a"] * 3, "item_id": ["x"] * 3, "tag": list("pqr"), "timestamp": times}
    )
    events = pl.DataFrame({"user_id": ["a"], "item_id": ["x"], "timestamp": [START]})
    cut = Dataset.build(events, taggings=taggings).before(START + timedelta(minutes=5))
    assert cut.taggings is not None
    assert cut.taggings["tag"].to_list() == ["p"]


@pytest.mark.parametrize(
    "time",
    [
        datetime(2024, 1, 1, 12),
        datetime(2024, 1, 1, 12, tzinfo=UTC),
        datetime(2024, 1, 1, 14, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_times_without_a_zone_are_utc_and_others_are_converted(time: datetime) -> None:
    noon = datetime(2024, 1, 1, 12, tzinfo=UTC)
    frame = pl.DataFrame({"user_id": ["a"], "item_id": ["x"], "timestamp": [time]})
    if time.tzinfo is not None:
        frame = frame.with_columns(pl.col("timestamp").dt.convert_time_zone("Europe/Helsinki"))
    data = Dataset.build(frame)
    assert data.events["timestamp"].to_list() == [noon]
    assert to_us(time) == to_us(noon) == 1_704_110_400_000_000
    # The same three spellings mean the same cut.
    assert data.before(time).n_events == 0
    assert data.between(time, noon + timedelta(seconds=1)).n_events == 1


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_any_resolution_becomes_microseconds(unit: Any) -> None:
    time = datetime(2024, 1, 1, 12, 0, 0, 250_000)
    frame = pl.DataFrame({"user_id": ["a"], "item_id": ["x"], "timestamp": [time]})
    data = Dataset.build(frame.cast({"timestamp": pl.Datetime(unit)}))
    assert data.time_us is not None
    assert data.time_us.tolist() == [to_us(time)]


@given(st.integers(-(10**16), 10**17))
def test_microseconds_and_datetimes_are_two_spellings(time_us: int) -> None:
    assert to_us(to_datetime(time_us)) == time_us


def test_a_log_whose_times_are_all_unknown_has_no_times() -> None:
    frame = pl.DataFrame({"user_id": ["a"], "item_id": ["x"], "timestamp": [None]})
    data = Dataset.build(frame)
    assert not data.has_times
    assert data.time_us is None


def test_without_times_a_cut_is_refused_with_the_mend(untimed: Dataset) -> None:
    with pytest.raises(DataError, match="events have no times; use a per-user protocol"):
        untimed.before(START)
    with pytest.raises(DataError, match="no times, so as_of means nothing; leave it out"):
        untimed.queries([0], np.array([0]))


# -- what is refused -------------------------------------------------------------------

PAIR = {"user_id": ["a", "b"], "item_id": ["x", "y"]}


def build(**columns: list[Any]) -> Dataset:
    return Dataset.build(pl.DataFrame({**PAIR, **columns}, strict=False))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: build(timestamp=[START, None]), "1 of 2 events have no timestamp; fill in or drop"),
        (lambda: build(timestamp=[1_700_000_000, 1_700_000_001]), "timestamp holds numbers; turn them"),
        (lambda: build(timestamp=["2024-01-01", "2024-01-02"]), "events: a value does not fit its column"),
        (lambda: build(played_ms=["long", "short"]), "events: a value does not fit its column"),
        (lambda: build(rating=[1, 2]), "unknown column rating; map it to one of user_id, item_id"),
        (lambda: build(user_id=["a", None]), "user_id is empty in some rows; fill them in or drop"),
        (lambda: build(item_id=["x", ""]), "item_id is empty in some rows; fill them in or drop"),
        (lambda: Dataset.build(pl.DataFrame({"user_id": ["a"]})), "item_id is missing; the columns are user_id"),
        (lambda: Dataset.build(pl.DataFrame(PAIR).clear()), "no events; give at least one"),
        (
            lambda: Dataset.build(pl.DataFrame(PAIR), pl.DataFrame({"item_id": ["x", "q", "q"]})),
            r'items: 1 ids occur more than once \(first: "q"\); keep one row per item',
        ),
        (
            lambda: Dataset.build(pl.DataFrame(PAIR), users=pl.DataFrame({"user_id": ["b", "b"]})),
            r'users: 1 ids occur more than once \(first: "b"\); keep one row per user',
        ),
        (
            lambda: Dataset.build(pl.DataFrame(PAIR), friends=pl.DataFrame({"user_id": ["a"], "pal": ["b"]})),
            "friends: column friend_id is missing",
        ),
        (
            lambda: Dataset.build(pl.DataFrame({**PAIR, "value": [1.0, 1e39]})),
            "events: value is infinite in some rows, or too large",
        ),
        (
            lambda: Dataset.build(pl.DataFrame(PAIR), pl.DataFrame({"item_id": ["x"], "tempo": [math.inf]})),
            "items: tempo is infinite in some rows",
        ),
    ],
)  # fmt: skip
def test_wrong_tables_are_refused_with_the_mend(make: Callable[[], Dataset], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()


def test_context_columns_and_further_item_columns_are_kept() -> None:
    data = Dataset.build(
        pl.DataFrame({**PAIR, "context_device": ["phone", "car"]}),
        items=pl.DataFrame({"item_id": ["x"], "acclaim": [0.7]}),
    )
    assert data.events["context_device"].to_list() == ["phone", "car"]
    assert data.items["acclaim"].to_list() == [0.7, None]


# -- immutability ----------------------------------------------------------------------


def test_a_data_set_cannot_be_changed(timed: Dataset) -> None:
    with pytest.raises(FrozenInstanceError):
        timed.events = timed.events.head(1)  # type: ignore[misc]
    assert timed.time_us is not None
    with pytest.raises(ValueError, match="read-only"):
        timed.time_us[0] = 0


def test_cuts_leave_the_original_alone(timed: Dataset) -> None:
    before = timed.events.clone()
    timed.before(START + timedelta(hours=2))
    timed.without_users(np.array([0], dtype=np.int32))
    timed.without_items(np.array([0], dtype=np.int32))
    timed.with_target(Target(skips_count=True))
    assert timed.events.equals(before)


def test_a_query_shares_no_memory_with_its_caller(timed: Dataset) -> None:
    asking = np.array([0, 1], dtype=np.int32)
    queries = timed.queries(asking)
    asking[0] = 2
    assert queries.user_row.tolist() == [0, 1]


# -- what is derived -------------------------------------------------------------------


def test_interactions_by_hand() -> None:
    data = Dataset.build(
        pl.DataFrame(
            {
                "user_id": ["a", "a", "a", "b", "b", "c"],
                "item_id": ["x", "x", "y", "y", "x", "z"],
                "value": [2.0, 3.0, 1.0, 4.0, 0.0, 5.0],
                "event": ["play", "play", "play", "play", "play", "dislike"],
            }
        ),
        target=Target(strength="value"),
    )
    matrix = data.interactions()
    # Repeats add up; a value of 0 and a dislike are seen, not wanted.
    assert matrix.toarray().tolist() == [[5, 1, 0], [0, 4, 0], [0, 0, 0]]
    assert matrix.nnz == 3
    assert matrix.dtype == np.float32


@given(PLAYS)
def test_events_with_ids_are_what_a_data_set_is_built_from(
    plays: list[tuple[str, str, int]],
) -> None:
    data = log(plays, context_place=list(range(len(plays))), value=[1.0] * len(plays))
    events = data.with_ids()
    assert set(events.columns) == {"user_id", "item_id", "timestamp", "context_place", "value"}
    assert Dataset.build(events).events.equals(data.events)
    assert events.select("context_place", "user_id", "item_id").rows() == [
        (place, *plays[place][:2]) for place in events["context_place"]
    ]


@given(PLAYS)
def test_interactions_count_plays(plays: list[tuple[str, str, int]]) -> None:
    data = log(plays)
    matrix = data.interactions().toarray()
    for user in data.user_ids.ids:
        for item in data.item_ids.ids:
            n_plays = sum((u, i) == (user, item) for u, i, _ in plays)
            assert matrix[data.user_ids.row(user), data.item_ids.row(item)] == n_plays


def test_another_target_changes_strength_only(timed: Dataset) -> None:
    events = pl.DataFrame({**PAIR, "value": [2.0, 5.0]})
    strict = Dataset.build(events).with_target(Target(min_value=4))
    assert strict.events["strength"].to_list() == [0.0, 1.0]
    assert strict.target.min_value == 4
    assert timed.events.drop("strength").equals(
        timed.with_target(Target(skips_count=True)).events.drop("strength")
    )


def test_leaving_users_or_items_out_leaves_out_their_taggings(timed: Dataset) -> None:
    ann = timed.user_ids.row("ann")
    rest = timed.without_users(np.array([ann], dtype=np.int32))
    assert ann not in rest.events["user_row"]
    assert rest.taggings is not None
    assert rest.taggings["tag"].to_list() == ["night", "swamp", "swamp"]
    rest = timed.without_items(np.array([timed.item_ids.row("a")], dtype=np.int32))
    assert rest.events["item_row"].min() == timed.item_ids.row("b")
    assert rest.taggings is not None
    assert rest.taggings["tag"].to_list() == ["swamp", "swamp"]
    assert rest.n_items == timed.n_items


def test_leaving_users_out_leaves_out_their_friendships_in_both_directions() -> None:
    data = Dataset.build(
        pl.DataFrame({"user_id": ["a", "b", "c"], "item_id": ["x", "x", "x"]}),
        friends=pl.DataFrame({"user_id": ["a", "b", "b"], "friend_id": ["b", "a", "c"]}),
    )
    rest = data.without_users(np.array([0], dtype=np.int32))
    assert rest.friends is not None
    assert rest.friends.rows() == [(1, 2)]


# -- queries ---------------------------------------------------------------------------


@given(PLAYS, st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 14)), max_size=6))
def test_a_history_is_what_the_user_did_strictly_before(
    plays: list[tuple[str, str, int]], asks: list[tuple[int, int]]
) -> None:
    data = log(plays)
    rows = [user % data.n_users for user, _ in asks]
    moments = [START + timedelta(minutes=minute) for _, minute in asks]
    as_of_us = np.array([to_us(moment) for moment in moments], dtype=np.int64)
    queries = data.queries(rows, as_of_us)
    assert len(queries) == len(asks)
    in_time = sorted(plays, key=lambda play: play[2])
    for place, (row, (_, minute)) in enumerate(zip(rows, asks, strict=True)):
        user = data.user_ids.id(row)
        expected = [(item, at) for u, item, at in in_time if u == user and at < minute]
        one = queries.take([place])
        assert data.item_ids.decode(one.item_row) == [item for item, _ in expected]
        assert one.time_us is not None
        assert [to_datetime(time) for time in one.time_us.tolist()] == [
            START + timedelta(minutes=at) for _, at in expected
        ]
        assert one.as_of_us is not None
        assert one.as_of_us.tolist() == [to_us(START + timedelta(minutes=minute))]
        assert one.user_row.tolist() == [row]


@given(PLAYS, st.integers(0, 13))
def test_asking_as_of_equals_asking_the_cut_log(
    plays: list[tuple[str, str, int]], minute: int
) -> None:
    data, moment = log(plays), START + timedelta(minutes=minute)
    everybody = range(data.n_users)
    asked = data.queries(everybody, np.full(data.n_users, to_us(moment)))
    cut = data.before(moment).queries(everybody)
    for name in ("indptr", "item_row", "time_us", "strength", "session_row"):
        np.testing.assert_array_equal(getattr(asked, name), getattr(cut, name))


def test_histories_carry_strength_and_sessions(untimed: Dataset) -> None:
    events = pl.DataFrame({**PAIR, "skipped": [True, None]})
    assert Dataset.build(events).queries([0, 1]).strength.tolist() == [0.0, 1.0]
    assert untimed.queries([0]).session_row.tolist() == [-1, -1, -1]
    assert untimed.queries([0]).time_us is None


@pytest.mark.parametrize("row", [-1, 3])
def test_a_row_that_is_nobody_is_refused(timed: Dataset, row: int) -> None:
    with pytest.raises(ValueError, match=rf"user rows must lie in 0 … 2, got {row}"):
        timed.queries([0, row])


def test_a_target_about_columns_the_log_lacks_is_refused(untimed: Dataset) -> None:
    # It would let every event through without a word.
    target = Target(min_value=4, min_played_ms=30_000, strength="value")
    with pytest.raises(DataError) as refused:
        untimed.with_target(target)
    for rule in ("min_value needs value", 'strength = "value"', "min_played_ms needs played_ms"):
        assert rule in str(refused.value)
    assert untimed.with_target(Target(skips_count=True)).n_events == untimed.n_events
