"""Live histories are those of a log that holds the live events."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.online.systems import as_event

from crossfade.data import Dataset, Queries, Target
from crossfade.errors import DataError
from crossfade.online import Ask, Event
from crossfade.online.history import Histories, strengths
from crossfade.types import Rows

START = datetime(2024, 1, 1, tzinfo=UTC)
USERS, ITEMS = ["ann", "bob"], ["a", "b", "c"]
SCHEMA: dict[str, Any] = {
    "user_id": pl.String, "item_id": pl.String, "timestamp": pl.Datetime("us", "UTC"), "event": pl.String,
    "value": pl.Float32, "played_ms": pl.Int64, "skipped": pl.Boolean, "session_id": pl.String,
}  # fmt: skip

plays = st.fixed_dictionaries(
    {
        "user_id": st.sampled_from(USERS),
        "item_id": st.sampled_from(ITEMS),
        "timestamp": st.integers(0, 200).map(lambda n: START + timedelta(minutes=n)),
        "event": st.sampled_from(["play", "like", "skip", "dislike", "rating"]),
        "value": st.none() | st.floats(-2, 5, width=32),
        "played_ms": st.none() | st.integers(0, 100),
        "skipped": st.none() | st.booleans(),
        "session_id": st.none() | st.sampled_from(["s1", "s2"]),
    }
)
targets = st.builds(
    Target,
    min_value=st.none() | st.floats(0, 4),
    min_played_ms=st.none() | st.integers(0, 100),
    skips_count=st.booleans(),
    strength=st.sampled_from(["one", "value", "log_value"]),
)


def log(rows: list[dict[str, Any]], target: Target | None = None) -> Dataset:
    catalogue = (pl.DataFrame({"item_id": ITEMS}), pl.DataFrame({"user_id": USERS}))
    return Dataset.build(pl.DataFrame(rows, SCHEMA), *catalogue, target=target)


def partition(session: Rows) -> list[int]:
    """Sessions numbered in the order in which they come; -1 stays."""
    seen: dict[int, int] = {}
    return [-1 if s < 0 else seen.setdefault(int(s), len(seen)) for s in session]


def assert_same(found: Queries, wanted: Queries) -> None:
    for name in ("user_row", "as_of_us", "indptr", "item_row", "time_us", "strength"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), err_msg=name)
        assert getattr(found, name).dtype == getattr(wanted, name).dtype, name
    assert partition(found.session_row) == partition(wanted.session_row)
    assert found.session_row.dtype == wanted.session_row.dtype


@given(
    logged=st.lists(plays, min_size=1, max_size=8),
    live=st.lists(plays, max_size=8),
    minute=st.integers(0, 201),
    target=targets,
    ids=st.booleans(),
)
def test_a_live_history_is_that_of_the_longer_log(
    logged: list[dict[str, Any]], live: list[dict[str, Any]], minute: int, target: Target, ids: bool
) -> None:
    """Also for events that come late, at the same moment, or after the request."""
    held = {(row["user_id"], row["item_id"], row["timestamp"]) for row in logged}
    live = [row for row in live if (row["user_id"], row["item_id"], row["timestamp"]) not in held]
    if ids:
        logged[0]["session_id"] = "s1"
    else:
        logged, live = ([{**row, "session_id": None} for row in rows] for rows in (logged, live))
    now_us = int((START + timedelta(minutes=minute)).timestamp() * 1_000_000)
    whole = log(logged + live, target)
    asks = [
        # What the log holds is handed in again: it must not count twice.
        Ask(user, [as_event(row) for row in logged + live if row["user_id"] == user], now_us=now_us)
        for user in USERS
    ]
    for user, found in zip(USERS, Histories(log(logged, target)).of(asks), strict=True):
        wanted = whole.queries([whole.user_ids.row(user)], np.array([now_us]))
        assert_same(found.query, wanted)
        before = [row for row in live if row["user_id"] == user and as_event(row).time_us < now_us]
        assert len(found.events) == len(before)


@given(rows=st.lists(plays, min_size=1, max_size=10), target=targets)
def test_a_live_event_counts_as_the_target_says(rows: list[dict[str, Any]], target: Target) -> None:
    rows = sorted(rows, key=lambda row: row["timestamp"])
    wanted = log(rows, target).events["strength"].to_list()
    assert strengths([as_event(row) for row in rows], log(rows, target)).tolist() == wanted


def play(item: str, minute: int, **more: Any) -> Event:
    return Event(item, minute * 60_000_000, **more)


def minutes(*rows: tuple[str, str, int], **more: list[Any]) -> Dataset:
    user, item, minute = (list(part) for part in zip(*rows, strict=True))
    moments = pl.Series(np.array(minute) * 60_000_000).cast(pl.Datetime("us", "UTC"))
    return log(
        pl.DataFrame({"user_id": user, "item_id": item, "timestamp": moments, **more}).to_dicts()
    )


def test_a_session_goes_on_for_half_an_hour_and_its_number_is_nobody_elses() -> None:
    histories = Histories(minutes(("ann", "a", 0), ("bob", "b", 0), ("ann", "b", 100)))
    ann, bob, stranger = histories.of(
        [
            Ask("ann", [play("c", 130), play("a", 161)]),
            Ask("bob", [play("c", 31)]),
            Ask(None, [play("c", 0), play("c", 30)]),
        ]
    )
    # Logged: ann 0 and 1, bob 2. Of the live ones only that at 130 is within half an hour.
    assert ann.query.session_row.tolist() == [0, 1, 1, 3]
    assert bob.query.session_row.tolist()[0] == 2
    numbers = [set(one.query.session_row.tolist()) for one in (ann, bob, stranger)]
    assert len(numbers[2]) == 1
    assert sum(map(len, numbers)) == len(set.union(*numbers))


def test_sessions_of_a_log_that_was_cut_by_another_gap_stay_as_they_are() -> None:
    cut = minutes(("ann", "a", 0), ("ann", "b", 20))
    cut = Dataset.build(
        cut.with_ids().drop("session_id"), cut.items, cut.users, session_gap_minutes=10
    )
    (found,) = Histories(cut).of([Ask("ann", [play("c", 40)])])
    assert found.query.session_row.tolist() == [0, 1, 1]


def test_what_is_unknown_is_left_out_and_named() -> None:
    (found,) = Histories(minutes(("ann", "a", 0))).of(
        [Ask("zoe", [play("x", 5), play("b", 6), play("x", 7)])]
    )
    assert found.query.user_row.tolist() == [-1]
    assert found.query.item_row.tolist() == [1]
    assert (found.unknown, len(found.events)) == (("x",), 1)


def test_without_times_live_events_follow_the_log_in_their_own_order(untimed: Dataset) -> None:
    ask = Ask("bob", [play("d", 3), play("a", 1), play("c", 9)], now_us=9 * 60_000_000)
    (found,) = Histories(untimed).of([ask])
    assert untimed.item_ids.decode(found.query.item_row) == ["b", "c", "a", "d"]
    assert found.query.time_us is None
    assert found.query.as_of_us is None
    assert found.query.session_row.tolist() == [-1] * 4


@pytest.mark.parametrize(
    "wrong",
    [{"time_us": 10**18}, {"time_us": 0, "value": 1e39}, {"time_us": 0, "played_ms": 2**63}],
)
def test_a_number_that_no_log_could_keep_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="must"):
        Event("a", **wrong)
    with pytest.raises(DataError, match="now_us must lie in the years"):
        Ask(now_us=10**18)
