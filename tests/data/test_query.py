from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.data import Dataset, Queries, Target, Taste

FIELDS = ("user_row", "indptr", "item_row", "strength", "session_row")


def make(histories: list[list[tuple[int, float]]], n_items: int = 5) -> Queries:
    """Requests with given (item, strength) histories."""
    sizes = [len(history) for history in histories]
    flat = [event for history in histories for event in history]
    return Queries(
        user_row=np.arange(len(histories), dtype=np.int32),
        as_of_us=np.arange(len(histories), dtype=np.int64),
        indptr=np.cumsum([0, *sizes]).astype(np.int64),
        item_row=np.array([item for item, _ in flat], dtype=np.int32),
        time_us=np.arange(len(flat), dtype=np.int64),
        strength=np.array([strength for _, strength in flat], dtype=np.float32),
        session_row=np.zeros(len(flat), dtype=np.int32),
        n_items=n_items,
    )


HISTORIES = st.lists(
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0.0, 1.0, 2.5])), max_size=5), max_size=6
)


@given(HISTORIES, st.data())
def test_taking_gives_the_asked_requests_in_the_asked_order(
    histories: list[list[tuple[int, float]]], data: st.DataObject
) -> None:
    places = data.draw(
        st.lists(st.integers(0, len(histories) - 1), max_size=8) if histories else st.just([])
    )
    taken = make(histories).take(places)
    assert taken.user_row.tolist() == places
    assert taken.as_of_us is not None
    assert taken.as_of_us.tolist() == places
    for place, original in enumerate(places):
        begin, stop = taken.indptr[place : place + 2]
        events = zip(taken.item_row[begin:stop], taken.strength[begin:stop], strict=True)
        assert list(events) == histories[original]


@given(HISTORIES, st.integers(1, 7))
def test_batches_are_the_whole_in_order(
    histories: list[list[tuple[int, float]]], size: int
) -> None:
    queries = make(histories)
    places: list[int] = []
    for place, batch in queries.batches(size):
        assert 1 <= len(batch) <= size
        expected = queries.take(range(len(queries))[place])
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(batch, name), getattr(expected, name))
        places += range(place.start, place.stop)
    assert places == list(range(len(queries)))


@given(HISTORIES)
def test_matrices_match_a_plain_count(histories: list[list[tuple[int, float]]]) -> None:
    queries = make(histories)
    positives, seen = np.zeros((len(histories), 5)), np.zeros((len(histories), 5))
    for row, history in enumerate(histories):
        for item, strength in history:
            positives[row, item] += strength
            seen[row, item] += 1
    np.testing.assert_array_equal(queries.positives.toarray(), positives)
    np.testing.assert_array_equal(queries.seen.toarray(), seen)
    assert queries.positives.nnz == np.count_nonzero(positives)
    owners = [row for row, history in enumerate(histories) for _ in history]
    assert queries.owner.tolist() == owners


def test_a_stranger_likes_each_item_once() -> None:
    query = Queries.of_items([3, 1], n_items=5)
    assert query.user_row.tolist() == [-1]
    assert query.as_of_us is None
    assert query.time_us is None
    assert query.positives.toarray().tolist() == [[0, 1, 0, 1, 0]]


def test_a_stranger_without_history_is_one_request() -> None:
    query = Queries.of_items([], n_items=5)
    assert len(query) == 1
    assert query.positives.shape == (1, 5)
    assert query.positives.nnz == 0


def test_seen_is_not_wanted() -> None:
    events = pl.DataFrame({"user_id": ["a"], "item_id": ["x"], "value": [1.0]})
    query = Dataset.build(events, target=Target(min_value=4)).queries([0])
    assert query.seen.nnz == 1
    assert query.positives.nnz == 0


@pytest.mark.parametrize("size", [1, 7])
def test_one_request_and_seven_keep_their_shapes(size: int) -> None:
    queries = make([[(0, 1.0), (1, 0.0)]] * size)
    assert queries.positives.shape == queries.seen.shape == (size, 5)
    assert queries.take([0]).positives.shape == (1, 5)


@pytest.mark.parametrize("row", [-1, 5])
def test_a_stranger_cannot_like_what_is_no_item(row: int) -> None:
    with pytest.raises(ValueError, match=f"item rows must lie in 0 … 4, got {row}"):
        Queries.of_items([2, row], 5)


def test_liked_items_are_the_newest_of_the_history() -> None:
    query = make([[(1, 0.0), (2, 2.5)]]).liking([4, 0], now_us=7)
    assert query.indptr.tolist() == [0, 4]
    assert query.item_row.tolist() == [1, 2, 4, 0]
    assert query.strength.tolist() == [0, 2.5, 1, 1]
    assert query.session_row.tolist() == [0, 0, -1, -1]
    assert query.time_us is not None
    assert query.time_us.tolist() == [0, 1, 7, 7]


def test_without_a_moment_liking_happens_with_the_newest_event() -> None:
    liked = make([[(1, 1.0), (2, 1.0)]]).liking([4]).time_us
    assert liked is not None
    assert liked.tolist() == [0, 1, 1]
    first = make([[]]).liking([4]).time_us
    assert first is not None
    assert first.tolist() == [0]
    assert Queries.of_items([1], 5).liking([2]).time_us is None


def test_liking_is_for_one_request_and_known_items() -> None:
    with pytest.raises(ValueError, match="one request can be given liked items at a time, got 2"):
        make([[], []]).liking([1])
    with pytest.raises(ValueError, match="item rows must lie in 0 … 4, got -1"):
        make([[]]).liking([-1])


def test_tastes_travel_with_their_requests() -> None:
    tastes = (Taste(("jazz",)), Taste(), Taste(moods=("calm",)))
    queries = replace(make([[], [], []]), tastes=tastes)
    assert queries.take([2, 0]).tastes == (tastes[2], tastes[0])
    assert [bool(taste) for taste in tastes] == [True, False, True]
    assert [batch.tastes for _, batch in queries.batches(2)] == [tastes[:2], tastes[2:]]


@given(HISTORIES.filter(bool), st.integers(1, 7))
def test_pieces_joined_are_the_whole(histories: list[list[tuple[int, float]]], size: int) -> None:
    queries = make(histories)
    joined = Queries.joined([batch for _, batch in queries.batches(size)])
    for name in (*FIELDS, "as_of_us", "time_us"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(queries, name))
        assert getattr(joined, name).dtype == getattr(queries, name).dtype
    assert (joined.tastes, joined.situations, joined.n_items) == (None, None, 5)


def test_whoever_says_nothing_is_joined_with_those_who_do() -> None:
    says = replace(make([[]]), tastes=(Taste(("jazz",)),), situations=({"context_noise": 2.0},))
    joined = Queries.joined([make([[]]), says])
    assert joined.tastes == (Taste(), Taste(("jazz",)))
    assert joined.situations == ({}, {"context_noise": 2.0})


@pytest.mark.parametrize("other", [{"as_of_us": None}, {"time_us": None}, {"n_items": 6}])
def test_requests_of_different_kinds_are_not_joined(other: dict[str, int | None]) -> None:
    with pytest.raises(ValueError, match="stay apart"):
        Queries.joined([make([[]]), replace(make([[]]), **other)])  # type: ignore[arg-type]
