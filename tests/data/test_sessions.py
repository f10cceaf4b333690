from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from crossfade.data import Dataset
from crossfade.data.sessions import session_rows

START = datetime(2024, 1, 1, tzinfo=UTC)


def log(plays: list[tuple[str, float]], gap_minutes: float = 30.0, **more: list[Any]) -> Dataset:
    """Plays as (user, minute)."""
    events = pl.DataFrame(
        {
            "user_id": [user for user, _ in plays],
            "item_id": ["i"] * len(plays),
            "timestamp": [START + timedelta(minutes=minute) for _, minute in plays],
            **more,
        }
    )
    return Dataset.build(events, session_gap_minutes=gap_minutes)


def sessions(data: Dataset) -> list[int | None]:
    return data.events["session_row"].to_list()


def test_a_session_ends_after_more_than_thirty_idle_minutes() -> None:
    # 0 to 30 is exactly thirty: still one session. 30 to 60.01 is more.
    assert sessions(log([("a", 0), ("a", 30), ("a", 60.01), ("a", 61)])) == [0, 0, 1, 1]


def test_the_pause_counts_from_the_last_event_not_from_the_first() -> None:
    assert sessions(log([("a", minute) for minute in range(0, 121, 20)])) == [0] * 7


def test_each_user_has_sessions_of_their_own() -> None:
    # b plays in the middle of a's session and a second after its end.
    data = log([("a", 0), ("b", 5), ("a", 10), ("b", 11)])
    assert sessions(data) == [0, 1, 0, 1]


def test_the_gap_is_a_setting() -> None:
    plays = [("a", 0.0), ("a", 10.0), ("a", 19.0)]
    assert sessions(log(plays, gap_minutes=9.5)) == [0, 1, 1]
    assert sessions(log(plays, gap_minutes=0)) == [0, 1, 2]


def test_given_ids_decide_even_across_a_long_pause() -> None:
    data = log([("a", 0), ("a", 500), ("a", 501)], session_id=["s", "s", "t"])
    assert sessions(data) == [0, 0, 1]


def test_the_same_id_of_two_users_is_two_sessions() -> None:
    data = log([("a", 0), ("b", 1)], session_id=["s", "s"])
    assert len(set(sessions(data))) == 2


def test_where_only_some_events_have_an_id_the_others_have_no_session() -> None:
    data = log([("a", 0), ("a", 1), ("a", 2)], session_id=["s", None, "s"])
    found = sessions(data)
    assert found[1] is None
    assert found[0] == found[2] is not None


def test_an_empty_column_of_ids_is_no_column() -> None:
    plays = [("a", 0.0), ("a", 31.0)]
    assert sessions(log(plays, session_id=[None, None])) == sessions(log(plays)) == [0, 1]


def test_without_times_and_ids_there_are_no_sessions(untimed: Dataset) -> None:
    assert sessions(untimed) == [None] * 6


PLAYS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 200)), min_size=1, max_size=20)


@given(PLAYS, st.integers(0, 200))
def test_later_events_never_move_an_earlier_boundary(
    plays: list[tuple[str, int]], minute: int
) -> None:
    events = log([(user, float(at)) for user, at in plays]).events
    early = events.filter(pl.col("timestamp") < START + timedelta(minutes=minute))
    alone = session_rows(early.drop("session_row"))
    together = early["session_row"]
    # The numbers differ, the grouping does not.
    pairs = {(a, b) for a, b in zip(alone, together, strict=True)}
    assert len(pairs) == alone.n_unique() == together.n_unique()


@given(PLAYS)
def test_sessions_match_a_plain_loop(plays: list[tuple[str, int]]) -> None:
    events = log([(user, float(at)) for user, at in plays]).events
    last: dict[int, tuple[datetime, int]] = {}
    expected, n_sessions = [], 0
    for user, time in events.select("user_row", "timestamp").rows():
        if user not in last or time - last[user][0] > timedelta(minutes=30):
            n_sessions += 1
            last[user] = (time, n_sessions)
        last[user] = (time, last[user][1])
        expected.append(last[user][1])
    pairs = set(zip(expected, events["session_row"], strict=True))
    assert len(pairs) == n_sessions == events["session_row"].n_unique()
    assert sorted(set(events["session_row"])) == list(range(n_sessions))
