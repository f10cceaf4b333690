"""How items have fared, against a slow reading of the log, and never from later than asked."""

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.data import Dataset
from crossfade.data.dataset import to_us
from crossfade.data.world import WorldConfig, make_world
from crossfade.errors import DataError
from crossfade.features.dynamics import DYNAMICS, WINDOWS_DAYS, item_dynamics
from crossfade.types import Doubles

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ITEM_IDS = ["a", "b", "c", "d"]
RELEASED = [date(2023, 12, 22), None, date(2024, 2, 1), date(2030, 1, 1)]


@dataclass(frozen=True)
class Event:
    """A user does something with an item some days after `START`."""

    user: str
    item: str
    day: float
    event: str = "play"


def dataset(
    log: list[Event], *, times: bool = True, released: bool = True, since: datetime = START
) -> Dataset:
    columns: dict[str, list[object]] = {
        "user_id": [x.user for x in log],
        "item_id": [x.item for x in log],
        "event": [x.event for x in log],
    }
    if times:
        columns["timestamp"] = [since + timedelta(days=x.day) for x in log]
    items = pl.DataFrame({"item_id": ITEM_IDS, "release_date": RELEASED})
    if not released:
        items = items.drop("release_date")
    return Dataset.build(pl.DataFrame(columns), items, pl.DataFrame({"user_id": ["u", "v", "w"]}))


def day_us(day: float, since: datetime = START) -> int:
    return to_us(since + timedelta(days=day))


def value(features: Doubles, item: str, name: str) -> float:
    return float(features[ITEM_IDS.index(item), DYNAMICS.index(name)])


# -- by hand ---------------------------------------------------------------------------

BY_HAND = [
    Event("u", "a", 0),
    Event("u", "a", 10),
    Event("v", "a", 95),
    Event("w", "b", 98),
    Event("w", "c", 50, "dislike"),
    Event("w", "a", 100),
]


def test_counts_and_ages_by_hand() -> None:
    found = item_dynamics(dataset(BY_HAND), day_us(100))
    assert found.shape == (4, len(DYNAMICS))
    expected = {
        "log_users": 2,
        "log_events": 3,
        "log_age_days": 100,
        "log_idle_days": 5,
        "log_events_7d": 1,
        "log_events_30d": 1,
        "log_events_90d": 2,
        "log_events_365d": 3,
        "log_release_age_days": 110,
    }
    for name, number in expected.items():
        assert value(found, "a", name) == pytest.approx(math.log1p(number)), name
    # One event in 30 days, where an even pace would have brought 3 · 30 / 100.
    assert value(found, "a", "momentum_30d") == pytest.approx(math.log(2 / 1.9))
    # All of a young item's events are recent: neither faster nor slower than its own pace.
    assert value(found, "b", "momentum_30d") == 0


def test_what_was_not_wanted_does_not_count() -> None:
    found = item_dynamics(dataset(BY_HAND), day_us(100))
    assert value(found, "c", "log_users") == value(found, "c", "log_events") == 0
    assert math.isnan(value(found, "c", "log_age_days"))


def test_an_item_without_an_event_has_counts_of_0_and_no_age_and_no_pace() -> None:
    found = item_dynamics(dataset(BY_HAND), day_us(100))
    for name in ("log_users", "log_events", *(f"log_events_{days}d" for days in WINDOWS_DAYS)):
        assert value(found, "d", name) == 0
    for name in ("log_age_days", "log_idle_days", "momentum_30d"):
        assert math.isnan(value(found, "d", name))


def test_a_release_date_that_is_not_past_is_no_release_date() -> None:
    # 2024-02-01 is day 31. Only what lies strictly before the moment is known at it.
    data = dataset(BY_HAND)
    for day, expected in ((30, math.nan), (31, math.nan), (32, math.log1p(1))):
        found = value(item_dynamics(data, day_us(day)), "c", "log_release_age_days")
        assert found == pytest.approx(expected, nan_ok=True)
    assert math.isnan(value(item_dynamics(data, day_us(100)), "b", "log_release_age_days"))


def test_without_a_moment_it_is_just_after_the_last_event_wanted_or_not() -> None:
    data = dataset([Event("u", "a", 0), Event("u", "b", 7, "dislike")])
    np.testing.assert_array_equal(item_dynamics(data, None), item_dynamics(data, day_us(7) + 1))


def test_without_times_there_are_two_counts_and_nothing_else() -> None:
    found = item_dynamics(dataset(BY_HAND, times=False), None)
    assert value(found, "a", "log_users") == pytest.approx(math.log1p(3))
    assert value(found, "a", "log_events") == pytest.approx(math.log1p(4))
    assert np.isnan(found[:, 2:]).all()


def test_a_moment_means_nothing_without_times() -> None:
    with pytest.raises(DataError, match="events have no times"):
        item_dynamics(dataset(BY_HAND, times=False), day_us(100))


def test_a_catalogue_without_release_dates_has_no_release_age() -> None:
    found = item_dynamics(dataset(BY_HAND, released=False), day_us(100))
    assert np.isnan(found[:, DYNAMICS.index("log_release_age_days")]).all()
    whole = item_dynamics(dataset(BY_HAND), day_us(100))
    np.testing.assert_array_equal(found[:, :-1], whole[:, :-1])


def test_a_log_that_ends_before_1970_is_read_like_any_other() -> None:
    since = datetime(1960, 1, 1, tzinfo=UTC)
    old = dataset(BY_HAND, released=False, since=since)
    new = dataset(BY_HAND, released=False)
    for moment in (None, 100):
        np.testing.assert_array_equal(
            item_dynamics(old, None if moment is None else day_us(moment, since)),
            item_dynamics(new, None if moment is None else day_us(moment)),
        )


def test_a_log_without_events_has_counts_of_0() -> None:
    nothing = dataset(BY_HAND).before(START)
    found = item_dynamics(nothing, None)
    assert not found[:, :2].any()
    assert np.isnan(found[:, DYNAMICS.index("log_release_age_days")]).all()


# -- against a slow reading ------------------------------------------------------------

EVENTS = st.lists(
    st.builds(
        Event,
        st.sampled_from("uvw"),
        st.sampled_from(ITEM_IDS),
        st.integers(0, 500) | st.floats(0, 500),
        st.sampled_from(["play", "play", "dislike"]),
    ),
    min_size=1,
    max_size=30,
)


def slowly(data: Dataset, now_us: int) -> Doubles:
    day_length = 86_400_000_000
    rows = []
    for item in range(data.n_items):
        events = [
            (row["user_row"], to_us(row["timestamp"]))
            for row in data.events.iter_rows(named=True)
            if row["item_row"] == item and row["strength"] > 0 and to_us(row["timestamp"]) < now_us
        ]
        ages = [(now_us - time) / day_length for _, time in events]
        n, n_30 = len(events), sum(age <= 30 for age in ages)
        pace = n * min(1.0, 30 / max(ages)) if n else math.nan
        born = data.items["release_date"][item]
        since = now_us - to_us(datetime(born.year, born.month, born.day)) if born else -1
        rows.append(
            [
                math.log1p(len({user for user, _ in events})),
                math.log1p(n),
                math.log1p(max(ages)) if n else math.nan,
                math.log1p(min(ages)) if n else math.nan,
                *(math.log1p(sum(age <= days for age in ages)) for days in WINDOWS_DAYS),
                math.log((n_30 + 1) / (pace + 1)),
                math.log1p(since / day_length) if since > 0 else math.nan,
            ]
        )
    return np.array(rows)


@given(EVENTS, st.integers(-10, 520))
def test_the_log_read_slowly_says_the_same(log: list[Event], day: int) -> None:
    data = dataset(log)
    found = item_dynamics(data, day_us(day))
    np.testing.assert_allclose(found, slowly(data, day_us(day)), rtol=1e-9, atol=1e-9)


@given(EVENTS, EVENTS, st.integers(0, 500))
def test_the_future_changes_nothing(log: list[Event], future: list[Event], day: int) -> None:
    now = item_dynamics(dataset(log), day_us(day))
    # The future begins at the moment itself, and is absurd: everybody wants everything.
    later = [Event(x.user, x.item, day + x.day) for x in future for _ in range(9)]
    np.testing.assert_array_equal(item_dynamics(dataset(log + later), day_us(day)), now)


def test_every_column_varies_in_the_synthetic_world() -> None:
    world = make_world(WorldConfig(n_listeners=80, n_tracks=300, n_plays=8_000), seed=3)
    times = world.dataset.time_us
    assert times is not None
    found = item_dynamics(world.dataset, int(times[len(times) // 2]))
    assert not np.isinf(found).any()
    for name, column in zip(DYNAMICS, found.T, strict=True):
        assert len(np.unique(column[np.isfinite(column)])) > 3, name
