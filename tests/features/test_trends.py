"""Rising and falling labels by hand and against a direct sum."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.features.logs import START, Event, dataset, events, heard, minute_us

from crossfade.data import Dataset
from crossfade.errors import ConfigError, DataError
from crossfade.features.items import ItemArrays, ItemSchema, ItemSchemaConfig
from crossfade.features.trends import LabelTrends, TrendConfig
from crossfade.types import MICROSECONDS_PER_DAY, Doubles

DAY = 24 * 60
CONFIG = TrendConfig(half_life_days=10, step_days=1, shrink_votes=1)


def arrays_of(data: Dataset) -> tuple[ItemArrays, ItemSchema]:
    schema = ItemSchema.fit(
        data.items, np.ones(data.n_items, dtype=np.bool_), ItemSchemaConfig(min_label_items=1)
    )
    return schema.transform(data.items), schema


def fitted(data: Dataset, config: TrendConfig = CONFIG) -> LabelTrends:
    trends = LabelTrends.fit(data, *arrays_of(data), config)
    assert trends is not None
    return trends


def genres_at(data: Dataset, *minutes: int, config: TrendConfig = CONFIG) -> Doubles:
    moments = np.array([minute_us(minute) for minute in minutes])
    return fitted(data, config).at(moments)[0].astype(np.float64)


def directly(data: Dataset, config: TrendConfig, minute: int) -> Doubles:
    """The documented formula, event by event."""
    arrays, schema = arrays_of(data)
    assert data.time_us is not None
    n, as_of_us = len(schema.genres), minute_us(minute)
    step_us = round(config.step_days * MICROSECONDS_PER_DAY)
    recent, total = np.zeros(n), np.zeros(n)
    columns = (data.time_us, data.events["item_row"], data.events["strength"])
    for time_us, item, strength in zip(*(list(x) for x in columns), strict=True):
        if strength > 0 and time_us < as_of_us // step_us * step_us:
            rows = arrays.genre_row[arrays.genre_indptr[item] : arrays.genre_indptr[item + 1]]
            age_days = (as_of_us - time_us) / MICROSECONDS_PER_DAY
            for row in rows.tolist():
                recent[row] += 2 ** (-age_days / config.half_life_days) / len(rows)
                total[row] += 1 / len(rows)
    due = total / max(total.sum(), 1e-30) * recent.sum()
    trend: Doubles = np.log((recent + config.shrink_votes) / (due + config.shrink_votes))
    return trend


def test_a_trend_is_the_share_of_late_over_the_share_of_always() -> None:
    # Items a and c are rock and folk. One rock song on day 0, one folk song on day 9, asked on
    # day 10: rock has faded to a half, folk to 2^-0.1. Labels: unseen, rock, jazz, folk.
    data = dataset(heard(("a", 0), ("c", 9 * DAY)))
    _, schema = arrays_of(data)
    assert schema.genres.names == ("jazz", "rock", "folk")
    rock, folk = 0.5, 2**-0.1
    due = (rock + folk) / 2  # half of all votes so far are rock, half are folk
    trend = genres_at(data, 10 * DAY)[0]
    np.testing.assert_allclose(
        np.exp(trend), [1, 1, (rock + 1) / (due + 1), (folk + 1) / (due + 1)], rtol=1e-6
    )
    assert trend[2] < 0 < trend[3]


def test_nothing_is_known_before_the_first_step_has_ended() -> None:
    data = dataset(heard(("a", 5), ("a", DAY + 5), ("c", 2 * DAY + 5)))
    trends = genres_at(data, 0, DAY - 1, 3 * DAY)
    assert not trends[:2].any()
    assert trends[2].any()


def test_a_rare_label_has_no_trend_to_speak_of() -> None:
    # Of 51 songs the first was folk, so 0.9 of the 46 votes of today are due to folk. None came.
    data = dataset(heard(("c", 0), *[("a", 500 * DAY + i) for i in range(50)]))
    _, schema = arrays_of(data)
    trend = genres_at(data, 501 * DAY, config=CONFIG.changed(shrink_votes=10))[0]
    assert -0.1 < trend[schema.genres.names.index("folk") + 1] < 0


def test_a_trend_dies_away_when_nothing_happens() -> None:
    trends = genres_at(dataset(heard(("a", 0), ("c", 9 * DAY))), 10 * DAY, 3_000 * DAY)
    assert np.abs(trends[0]).max() > 0.1
    np.testing.assert_allclose(trends[1], 0, atol=1e-12)


@given(events(), st.integers(0, 90_000), st.sampled_from([0.25, 1.0, 7.0]))
def test_running_sums_equal_the_direct_sum(log: list[Event], minute: int, step_days: float) -> None:
    config = CONFIG.changed(step_days=step_days)
    data = dataset(log)
    np.testing.assert_allclose(
        genres_at(data, minute, config=config)[0], directly(data, config, minute), atol=1e-5
    )


@given(events(), st.integers(0, 90_000))
def test_the_future_never_changes_a_trend(log: list[Event], minute: int) -> None:
    bystander = heard(("e", 0), user="w")  # so that some past is always there
    whole = dataset([*bystander, *log])
    past = whole.before(START + timedelta(minutes=max(minute, 1)))
    moment = np.array([minute_us(minute)])
    for one, other in zip(fitted(whole).at(moment), fitted(past).at(moment), strict=True):
        np.testing.assert_array_equal(one, other)


@given(events(), st.lists(st.integers(0, 90_000), min_size=1, max_size=6))
def test_many_moments_give_what_each_gives_and_saving_changes_nothing(
    log: list[Event], minutes: list[int]
) -> None:
    trends = fitted(dataset(log))
    again = LabelTrends.from_arrays(trends.to_arrays(), CONFIG)
    moments = np.array([minute_us(minute) for minute in minutes])
    for together, reloaded in zip(trends.at(moments), again.at(moments), strict=True):
        np.testing.assert_array_equal(together, reloaded)
    for place in range(len(moments)):
        alone = trends.at(moments[[place]])[0]
        np.testing.assert_array_equal(alone[0], trends.at(moments)[0][place])


def test_forty_years_neither_overflow_nor_take_a_row_per_day() -> None:
    start = datetime(1985, 1, 1, tzinfo=UTC)
    log = pl.DataFrame(
        {
            "user_id": ["u"] * 3,
            "item_id": ["a", "c", "a"],
            "timestamp": [start, start + timedelta(days=7_000), start + timedelta(days=14_600)],
        }
    )
    data = Dataset.build(log, dataset(heard(("a", 0))).items)
    trends = fitted(data, CONFIG.changed(half_life_days=0.5))
    assert len(trends.ends_us) == 3
    genres, _ = trends.at(trends.ends_us)
    assert np.isfinite(genres).all()


def test_events_nobody_wanted_do_not_vote() -> None:
    log: list[Any] = heard(("a", 0)) + heard(("c", 1), skipped=True)
    np.testing.assert_array_equal(
        genres_at(dataset(log), 2 * DAY), genres_at(dataset(heard(("a", 0))), 2 * DAY)
    )


def test_no_positive_event_is_no_trend() -> None:
    data = dataset(heard(("a", 0), skipped=True))
    genres, moods = fitted(data).at(np.array([minute_us(DAY)] * 2))
    assert genres.tolist() == [[0, 0, 0, 0]] * 2
    assert moods.tolist() == [[0]] * 2


def test_data_without_times_has_no_trends_and_another_catalogue_is_refused() -> None:
    data = dataset(heard(("a", 0)), times=False)
    arrays, schema = arrays_of(data)
    assert LabelTrends.fit(data, arrays, schema) is None
    with pytest.raises(DataError, match="item arrays for 2 items and a catalogue of 5"):
        LabelTrends.fit(data, arrays.take(np.array([0, 1])), schema)
    with pytest.raises(ConfigError, match="half_life_days"):
        TrendConfig(half_life_days=0)
