"""Situations by hand, against a plain loop and on real data."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.data import Dataset, Queries, load_dataset
from crossfade.data.dataset import to_us
from crossfade.data.importing import import_table
from crossfade.errors import ConfigError, DataError
from crossfade.features.environment import (
    EnvironmentConfig,
    EnvironmentFeatures,
    EnvironmentSchema,
)

ROOT = Path(__file__).parents[2]
SITUNES = ROOT / "../shared/data/situnes"
START = datetime(2024, 1, 1, tzinfo=UTC)
NAN = float("nan")

EVENTS = [  # user, day, weather, degrees
    ("ann", 0, "rain", 10.0),
    ("bob", 1, "sun", 20.0),
    ("ann", 2, None, 12.0),
    ("ann", 4, "sun", None),
    ("bob", 5, "rain", 21.0),
]


def log(
    events: list[tuple[str, int, Any, Any]] | None = None, *, times: bool = True, **more: Any
) -> Dataset:
    events = events if events is not None else EVENTS
    users, days, weather, degrees = zip(*events, strict=True)
    columns = {
        "user_id": users,
        "item_id": ["a"] * len(events),
        "timestamp": [START + timedelta(days=day) for day in days],
        "context_weather": pl.Series(weather),
        "context_degrees": pl.Series(degrees),
        **more,
    }
    frame = pl.DataFrame({name: column for name, column in columns.items() if column is not None})
    users_too = pl.DataFrame({"user_id": ["ann", "bob", "cid"]})
    return Dataset.build(frame if times else frame.drop("timestamp"), None, users_too)


def asked(data: Dataset, user: str, day: float | None) -> Queries:
    moment = None if day is None else np.array([to_us(START + timedelta(days=day))])
    return data.queries([data.user_ids.row(user)], moment)


def read(
    user: str, day: float | None, data: Dataset | None = None, **settings: Any
) -> dict[str, float]:
    data = data if data is not None else log()
    schema = EnvironmentSchema.fit(data, EnvironmentConfig(**settings))
    values = schema.features(data, asked(data, user, day))[0]
    short = [name.removeprefix("context_") for name in schema.names]
    return dict(zip(short, values.tolist(), strict=True))


def same(found: dict[str, float], **expected: float) -> None:
    wanted = {name.replace("weather_", "weather="): value for name, value in expected.items()}
    assert found == pytest.approx(wanted, nan_ok=True)


def test_numbers_stand_as_they_are_and_categories_are_one_hot() -> None:
    same(read("ann", 1), degrees=10.0, weather_rain=1.0, weather_sun=0.0)


def test_each_column_has_its_own_latest_value() -> None:
    # On day 2 the weather was not noted, on day 4 the degrees were not.
    same(read("ann", 3), degrees=12.0, weather_rain=1.0, weather_sun=0.0)
    same(read("ann", 9), degrees=12.0, weather_rain=0.0, weather_sun=1.0)


def test_an_event_at_the_moment_of_the_request_is_not_known_yet() -> None:
    same(read("bob", 5), degrees=20.0, weather_rain=0.0, weather_sun=1.0)
    same(read("bob", 1), degrees=NAN, weather_rain=NAN, weather_sun=NAN)


def test_somebody_without_events_is_unknown() -> None:
    same(read("cid", 9), degrees=NAN, weather_rain=NAN, weather_sun=NAN)


def test_a_stranger_is_unknown() -> None:
    data = log()
    found = EnvironmentSchema.fit(data).features(data, Queries.of_items([0], 1))
    assert found.shape == (1, 3)
    assert np.isnan(found).all()


@pytest.mark.parametrize("times", [True, False])
def test_without_a_moment_the_whole_log_is_looked_at(*, times: bool) -> None:
    found = read("ann", None, log(times=times))
    same(found, degrees=12.0, weather_rain=0.0, weather_sun=1.0)


def test_what_was_known_too_long_ago_is_unknown() -> None:
    same(read("ann", 5, max_age_days=2), degrees=NAN, weather_rain=0.0, weather_sun=1.0)
    same(read("ann", 5, max_age_days=3), degrees=12.0, weather_rain=0.0, weather_sun=1.0)


def test_a_moment_in_a_log_without_times_is_refused() -> None:
    schema, timed = EnvironmentSchema.fit(log()), log()
    with pytest.raises(DataError, match="as_of means nothing"):
        schema.features(log(times=False), asked(timed, "ann", 1))


def test_an_unmet_category_is_known_to_be_none_of_the_others() -> None:
    schema = EnvironmentSchema.fit(log())
    later = log([("ann", 0, "hail", 3.0)])
    assert schema.features(later, asked(later, "ann", 1)).tolist() == [[3.0, 0.0, 0.0]]


def test_rare_categories_have_no_column_and_the_others_stand_in_the_order_of_their_names() -> None:
    data = log([("ann", day, w, 1.0) for day, w in enumerate("bcacbadcc")])
    names = EnvironmentSchema.fit(data, EnvironmentConfig(max_values=2)).names
    # c four times; a and b twice each, equals by name; d once.
    assert names == ("context_degrees", "context_weather=a", "context_weather=c")


def test_extra_columns_are_passed_over_and_missing_ones_are_unknown() -> None:
    schema = EnvironmentSchema.fit(log())
    extra = log(context_smell=["roses"] * 5)
    np.testing.assert_array_equal(
        schema.features(extra, asked(extra, "ann", 3)),
        schema.features(log(), asked(log(), "ann", 3)),
    )
    missing = log(context_weather=None)
    found = schema.features(missing, asked(missing, "ann", 3))
    np.testing.assert_array_equal(found, np.array([[12.0, NAN, NAN]], dtype=np.float32))


def test_a_column_that_came_in_empty_is_unknown() -> None:
    schema = EnvironmentSchema.fit(log())
    empty = log([("ann", 0, None, None)])
    assert np.isnan(schema.features(empty, asked(empty, "ann", 1))).all()
    # A typed column without a value says no more than one without a type.
    typed = log(context_weather=pl.Series([None] * 5, dtype=pl.Int8))
    assert np.isnan(schema.features(typed, asked(typed, "ann", 3))[0, 1:]).all()


def test_what_training_never_knew_has_no_column() -> None:
    assert EnvironmentSchema.fit(log([("ann", 0, None, None)])).names == ()
    blank = log([("ann", 0, " ", NAN), ("ann", 1, "", float("inf"))])
    assert EnvironmentSchema.fit(blank).names == ()


def test_a_log_without_such_columns_gives_no_column() -> None:
    plain = log(context_weather=None, context_degrees=None)
    schema = EnvironmentSchema.fit(plain)
    assert schema.features(plain, asked(plain, "ann", 1)).shape == (1, 0)


@pytest.mark.parametrize("strange", [NAN, float("inf"), -float("inf")])
def test_numbers_that_are_none_are_missing(strange: float) -> None:
    data = log([("ann", 0, "sun", 7.0), ("ann", 1, "sun", strange)])
    same(read("ann", 2, data), degrees=7.0, weather_sun=1.0)


def test_codes_are_categories_where_the_settings_say_so() -> None:
    data = log([("ann", 0, 2, 1.0), ("ann", 1, 0, 1.0), ("ann", 2, 0, 1.0)])
    same(read("ann", 1, data), degrees=1.0, weather=2.0)
    found = read("ann", 1, data, categories=("context_weather",))
    assert found == {"degrees": 1.0, "weather=0": 0.0, "weather=2": 1.0}


def test_a_code_is_the_same_in_every_type_of_number() -> None:
    events = [("ann", 0, 10, 1.0), ("ann", 1, 20, 1.0)]
    schema = EnvironmentSchema.fit(log(events), EnvironmentConfig(categories=("context_weather",)))
    assert schema.names[1:] == ("context_weather=10", "context_weather=20")
    floats = log([(user, day, float(code), one) for user, day, code, one in events])
    assert schema.features(floats, asked(floats, "ann", 2)).tolist() == [[1.0, 0.0, 1.0]]


def test_booleans_are_numbers() -> None:
    data = log([("ann", 0, True, 1.0), ("ann", 1, False, 1.0)])
    assert read("ann", 1, data)["weather"] == 1.0
    assert read("ann", 2, data)["weather"] == 0.0


def test_another_kind_of_value_than_at_fit_is_refused() -> None:
    schema = EnvironmentSchema.fit(log())
    codes = log(context_weather=[1, 2, 3, 4, 5])
    with pytest.raises(DataError, match="context_weather held categories when it was fitted"):
        schema.features(codes, asked(codes, "ann", 3))
    words = log(context_degrees=["warm"] * 5)
    with pytest.raises(DataError, match="context_degrees held numbers when it was fitted"):
        schema.features(words, asked(words, "ann", 3))


def test_values_that_are_neither_number_nor_text_are_refused() -> None:
    with pytest.raises(DataError, match=r"context_weather is List.*turn it into numbers or texts"):
        EnvironmentSchema.fit(log(context_weather=[["rain", "wind"]] * 5))


def test_settings_about_a_column_that_is_not_there_are_refused() -> None:
    with pytest.raises(DataError, match="no column context_wheather; leave it out"):
        EnvironmentSchema.fit(log(), EnvironmentConfig(categories=("context_wheather",)))
    with pytest.raises(ConfigError, match="max_age_days"):
        EnvironmentConfig(max_age_days=0)


DRAWN = st.tuples(
    st.sampled_from(["ann", "bob"]),
    st.integers(0, 6),
    st.sampled_from(["rain", "sun", None]),
    st.none() | st.integers(0, 3).map(float),
)


@given(
    st.lists(DRAWN, min_size=1, max_size=12).map(lambda rows: sorted(rows, key=lambda row: row[1])),
    st.lists(st.tuples(st.sampled_from(["ann", "bob", "cid"]), st.integers(0, 8)), max_size=5),
)
def test_features_are_those_of_a_plain_loop_over_the_past(
    events: list[tuple[str, int, Any, Any]], requests: list[tuple[str, int]]
) -> None:
    typed: dict[str, Any] = {
        "context_weather": pl.Series([row[2] for row in events], dtype=pl.String),
        "context_degrees": pl.Series([row[3] for row in events], dtype=pl.Float64),
    }
    data = log(events, **typed)
    # Always the same columns, whatever is drawn.
    schema = EnvironmentSchema.fit(log())
    users = [data.user_ids.row(user) for user, _ in requests]
    moments = np.array([to_us(START + timedelta(days=day)) for _, day in requests], dtype=np.int64)
    queries = data.queries(users, moments)
    found = schema.features(data, queries)
    assert found.shape == (len(requests), 3)
    kept = schema.of(data).to_arrays()
    again = EnvironmentFeatures.from_arrays(kept, schema, data.name).features(queries)
    assert again.tobytes() == found.tobytes()
    for row, (user, day) in enumerate(requests):
        past = [event for event in events if event[0] == user and event[1] < day]
        weather = [event[2] for event in past if event[2] is not None]
        degrees = [event[3] for event in past if event[3] is not None]
        one_hot = [float(weather[-1] == w) for w in ("rain", "sun")] if weather else [NAN, NAN]
        expected = [degrees[-1] if degrees else NAN, *one_hot]
        np.testing.assert_array_equal(found[row], expected)


def test_in_a_long_log_the_latest_is_still_the_latest() -> None:
    data = log([("ann" if day % 3 else "bob", day, "sun", float(day)) for day in range(500)])
    assert read("ann", 400, data)["degrees"] == 398.0  # bob has every third day, 399 among them
    assert read("bob", 400, data)["degrees"] == 399.0
    assert read("bob", None, data)["degrees"] == 498.0


def test_the_future_changes_nothing() -> None:
    whole, past = log(), log().before(START + timedelta(days=3))
    schema = EnvironmentSchema.fit(past)
    for user in ("ann", "bob", "cid"):
        request = asked(whole, user, 3)
        np.testing.assert_array_equal(
            schema.features(whole, request), schema.features(past, request)
        )


def test_arrays_carry_everything() -> None:
    config = EnvironmentConfig(max_age_days=3.0)
    schema = EnvironmentSchema.fit(log(), config)
    assert EnvironmentSchema.from_arrays(schema.to_arrays(), config) == schema
    nothing = EnvironmentSchema.fit(log(context_weather=None, context_degrees=None))
    assert EnvironmentSchema.from_arrays(nothing.to_arrays(), nothing.config) == nothing


@pytest.mark.real
@pytest.mark.skipif(not SITUNES.is_dir(), reason="shared data set situnes is absent")
def test_on_real_data_weather_and_emotion_are_read(tmp_path: Path) -> None:
    now = datetime(2024, 1, 1, tzinfo=UTC)
    import_table(ROOT / "configs/situnes.toml", tmp_path / "data", now=now, root=SITUNES)
    data = load_dataset(tmp_path / "data")
    config = EnvironmentConfig(categories=("context_time_of_day", "context_weather"))
    schema = EnvironmentSchema.fit(data, config)
    assert {f"context_weather={code}" for code in (0, 1, 2)} <= set(schema.names)
    assert {"context_emotion_valence", "context_emotion_arousal"} <= set(schema.names)
    assert data.time_us is not None
    last = data.time_us[-1] + 1
    users = np.arange(data.n_users, dtype=np.int32)
    found = schema.features(data, data.queries(users, np.full(len(users), last)))
    assert np.isfinite(found).any(axis=1).mean() > 0.9
    weather = [place for place, name in enumerate(schema.names) if "weather" in name]
    known = np.isfinite(found[:, weather[0]])
    assert (found[known][:, weather].sum(axis=1) == 1).all()
