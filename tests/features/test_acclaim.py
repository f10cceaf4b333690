"""The rating block as of a time, by hand and against counting."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.features.logs import START, minute_us

from crossfade.data import Dataset, Target
from crossfade.errors import DataError
from crossfade.features.acclaim import ACCLAIM_FEATURES, ItemAcclaim, ratings_before

POPULARITY, N_RATINGS, MEAN = (
    [x.name for x in ACCLAIM_FEATURES].index(name)
    for name in ("popularity", "n_ratings", "mean_rating")
)
Rating = tuple[str, int, float | None]
ITEMS = pl.DataFrame(
    {"item_id": ["a", "b", "c"], "aoty_score": [90, 10, None], "popularity": [1, 2, 3]}
)


def log(*ratings: Rating, times: bool = True, target: Target | None = None) -> Dataset:
    """Items with the minute and the rating; 3 and more is wanted."""
    columns = {
        "user_id": ["u"] * len(ratings),
        "item_id": [x[0] for x in ratings],
        "value": pl.Series([x[2] for x in ratings], dtype=pl.Float32),
    }
    if times:
        columns["timestamp"] = [START + timedelta(minutes=x[1]) for x in ratings]
    return Dataset.build(
        pl.DataFrame(columns), ITEMS, target=target if target is not None else Target(min_value=3)
    )


def at(data: Dataset, item: int, minute: int | None) -> list[float]:
    moment = None if minute is None else np.array([minute_us(minute)])
    block: list[float] = (
        ItemAcclaim.read(data).at(np.array([item], dtype=np.int32), moment)[0].tolist()
    )
    return block


def test_the_block_counts_what_came_before() -> None:
    data = log(("a", 0, 5), ("b", 1, 1), ("a", 2, 4), ("a", 3, 2), ("b", 4, 3))
    block = at(data, 0, 3)
    # Two ratings of a, 5 and 4, in a range of 1 to 5; both wanted, and nothing has more.
    assert block[MEAN] == pytest.approx((4.5 - 1) / 4)
    assert block[N_RATINGS] == pytest.approx(0.002)
    assert block[POPULARITY] == 1
    later = at(data, 1, 5)
    assert later[POPULARITY] == pytest.approx(np.log(2) / np.log(3))
    assert later[MEAN] == pytest.approx((2 - 1) / 4)


def test_what_sites_say_is_never_read() -> None:
    block = at(log(("a", 0, 5), ("b", 1, 1)), 0, 9)
    names = [x.name for x in ACCLAIM_FEATURES]
    assert [name for name, x in zip(names, block, strict=True) if np.isnan(x)] == [
        "acclaim",
        "critic_score",
    ]


def test_nothing_known_is_missing_and_a_count_of_none_is_0() -> None:
    data = log(("a", 5, 4), ("b", 6, 4), ("b", 7, 2))
    assert np.isnan(at(data, 0, 5)).all()
    alike = at(data, 0, 6)
    assert np.isnan(alike[MEAN])  # one rating spans no range
    assert alike[N_RATINGS] == pytest.approx(0.001)
    new = at(data, 2, 9)
    assert (new[POPULARITY], new[N_RATINGS]) == (0, 0)
    assert np.isnan(new[MEAN])


def test_more_than_a_thousand_ratings_are_no_more_than_full() -> None:
    data = log(*[("a", i, 1 + i % 5) for i in range(1_200)])
    assert at(data, 0, 10_000)[N_RATINGS] == 1
    assert at(data, 0, 500)[N_RATINGS] == pytest.approx(0.5)


def test_play_counts_are_no_ratings() -> None:
    counted = log(("a", 0, 50), ("b", 1, 3), target=Target(strength="log_value"))
    block = at(counted, 0, 9)
    assert np.isnan([block[N_RATINGS], block[MEAN]]).all()
    assert block[POPULARITY] == 1


def test_without_times_the_whole_log_counts() -> None:
    data = log(("a", 0, 5), ("b", 0, 1), times=False)
    assert at(data, 0, None)[MEAN] == 1
    with pytest.raises(DataError, match="leave as_of out"):
        at(data, 0, 3)
    with pytest.raises(DataError, match="say as of when"):
        at(log(("a", 0, 5)), 0, None)


RATINGS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 20), st.none() | st.integers(1, 5)),
    min_size=1,
    max_size=25,
).map(lambda rows: sorted(rows, key=lambda row: row[1]))


@given(RATINGS, st.integers(0, 21))
def test_the_future_never_changes_a_block_and_counts_are_right(
    rows: list[Rating], minute: int
) -> None:
    everything = np.arange(3, dtype=np.int32)
    moments = np.full(3, minute_us(minute))
    data = log(*rows)
    block = ItemAcclaim.read(data).at(everything, moments)
    past = data.before(START + timedelta(minutes=minute))
    np.testing.assert_array_equal(block, ItemAcclaim.read(past).at(everything, moments))

    known = [(item, value) for item, at_minute, value in rows if at_minute < minute]
    liked = {item: sum(i == item and (v is None or v >= 3) for i, v in known) for item in "abc"}
    rated = {item: [v for i, v in known if i == item and v is not None] for item in "abc"}
    values = [v for each in rated.values() for v in each]
    for row, item in enumerate("abc"):
        expected = [np.nan] * 5
        if max(liked.values()):
            expected[POPULARITY] = np.log1p(liked[item]) / np.log1p(max(liked.values()))
        if values:
            expected[N_RATINGS] = len(rated[item]) / 1_000
            if rated[item] and max(values) > min(values):
                mean = sum(rated[item]) / len(rated[item])
                expected[MEAN] = (mean - min(values)) / (max(values) - min(values))
        np.testing.assert_allclose(block[row], expected, atol=1e-6)


@given(RATINGS, st.none() | st.integers(0, 21))
def test_ratings_of_some_items_are_those_of_the_block(
    rows: list[Rating], minute: int | None
) -> None:
    asked, data = np.array([2, 0, 2], dtype=np.int32), log(*rows)
    moments = np.full(3, minute_us(99 if minute is None else minute))
    block = ItemAcclaim.read(data).at(asked, moments)
    mean, n = ratings_before(data, asked, None if minute is None else minute_us(minute))
    np.testing.assert_allclose(mean, block[:, MEAN], rtol=1e-6)
    np.testing.assert_allclose(n, np.nan_to_num(block[:, N_RATINGS]) * 1_000, atol=1e-3)


def test_all_ratings_are_counted_and_play_counts_are_none() -> None:
    item = np.array([0], dtype=np.int32)
    many = log(*[("a", i, 1 + i % 5) for i in range(1_200)])
    assert ratings_before(many, item, None)[1].tolist() == [1_200]
    assert ratings_before(many, item, minute_us(500))[1].tolist() == [500]
    plays = log(("a", 0, 50), ("b", 1, 3), target=Target(strength="log_value"))
    for data in (plays, Dataset.build(pl.DataFrame({"user_id": ["u"], "item_id": ["a"]}))):
        mean, n = ratings_before(data, item, None)
        assert np.isnan(mean).all()
        assert n.tolist() == [0]
