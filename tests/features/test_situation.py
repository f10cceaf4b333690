"""What somebody says of their situation: checked against what was learned, and put in its place."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.features.logs import START

from crossfade.data import Dataset, Queries
from crossfade.data.query import Situation
from crossfade.errors import ConfigError
from crossfade.features.environment import EnvironmentConfig, EnvironmentSchema
from crossfade.features.situation import EnvironmentColumn, noted, overlaid, stated

COLUMNS = (
    EnvironmentColumn("context_temperature", None),
    EnvironmentColumn("context_weather", ("1", "2", "rain")),
)


# -- what is accepted ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, {}),
        ({"temperature": 3}, {"context_temperature": 3.0}),
        ({"context_temperature": "-2.5"}, {"context_temperature": -2.5}),
        ({"temperature": np.float32(0.5)}, {"context_temperature": 0.5}),
        ({"weather": " rain "}, {"context_weather": "rain"}),
        ({"weather": 2}, {"context_weather": "2"}),
        (
            {"weather": 2.0, "temperature": True},
            {"context_weather": "2", "context_temperature": 1.0},
        ),
        ({"weather": "2"}, {"context_weather": "2"}),
    ],
)
def test_values_are_read_as_logs_are(said: dict[str, Any], expected: dict[str, Any]) -> None:
    assert stated(COLUMNS, said) == expected


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({"wether": "rain"}, 'the blend knows no "wether"; it learned with temperature, weather'),
        ({"temperature": "warm"}, "temperature must be a number, got 'warm'"),
        ({"temperature": float("nan")}, "temperature must be a number, got nan"),
        ({"temperature": None}, "temperature must be a number, got None"),
        ({"weather": "snow"}, "weather is one of 1, 2, rain, got 'snow'"),
        ({"weather": ["rain"]}, r"weather must be a text or a code, got \['rain'\]"),
    ],
)
def test_what_is_wrong_is_named_with_its_value(said: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=f"^context: {fault}.*leave it out"):
        stated(COLUMNS, said)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            {"temperature": "3", "context_weather": 2.0},
            {"context_temperature": 3.0, "context_weather": "2"},
        ),
        ({"weather": "snow"}, {"context_weather": "snow"}),  # none of those it has met
        ({"wether": "rain", "temperature": "warm", "weather": " "}, {}),
        ({"temperature": None, "weather": ["rain"]}, {}),
    ],
)
def test_an_event_may_say_anything_and_what_can_be_read_is(
    event: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert noted(COLUMNS, event) == expected


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        stated(COLUMNS, {"wether": 1, "temperature": "warm", "weather": "snow"})
    assert str(caught.value).count("leave it out") == 3


def test_anything_but_values_by_column_is_refused() -> None:
    wrong: Any
    for wrong in ("device=phone", [("device", "phone")]):
        with pytest.raises(ConfigError, match="context must be values by column"):
            stated(COLUMNS, wrong)
    with pytest.raises(ConfigError, match='knows no "7"'):
        stated(COLUMNS, {7: "rain"})  # type: ignore[dict-item]


def test_a_blend_that_knows_no_situation_hears_of_none() -> None:
    with pytest.raises(ConfigError, match='knows no "weather"; it learned without any situation'):
        stated((), {"weather": "rain"})
    assert stated((), {}) == {}


# -- where it goes ---------------------------------------------------------------------------


def log(*rows: tuple[str, int, float | None, str | None]) -> Dataset:
    """User, minute, temperature and weather of each event."""
    events = pl.DataFrame(
        {
            "user_id": [row[0] for row in rows],
            "item_id": ["a"] * len(rows),
            "timestamp": [START + timedelta(minutes=row[1]) for row in rows],
            "context_temperature": pl.Series([row[2] for row in rows], dtype=pl.Float64),
            "context_weather": pl.Series([row[3] for row in rows], dtype=pl.String),
        }
    )
    return Dataset.build(events)


PAST = log(
    ("u", 0, 20.0, "rain"), ("u", 1, 10.0, None), ("v", 2, None, "sun"), ("w", 3, None, None)
)
SCHEMA = EnvironmentSchema.fit(PAST, EnvironmentConfig())


def situated(query: Queries, *said: dict[str, Any]) -> Queries:
    return replace(query, situations=tuple(stated(SCHEMA.columns, one) for one in said))


def test_what_is_said_takes_the_place_of_what_was_known() -> None:
    assert SCHEMA.names == ("context_temperature", "context_weather=rain", "context_weather=sun")
    query = PAST.queries([0, 0, 0, 1])
    asked = situated(query, {}, {"weather": "sun"}, {"temperature": -5}, {"weather": "rain"})
    expected = [[10, 1, 0], [10, 0, 1], [-5, 1, 0], [np.nan, 1, 0]]
    np.testing.assert_array_equal(SCHEMA.features(PAST, asked), expected)
    np.testing.assert_array_equal(SCHEMA.features(PAST, query)[1], expected[0])  # nothing is kept


def test_every_column_is_written_in_its_own_place() -> None:
    columns = (*COLUMNS, EnvironmentColumn("context_wind", None))
    latest = np.full((2, 5), 9, dtype=np.float32)
    windy: Situation = {"context_wind": 3.0}
    wet: Situation = {"context_weather": "rain", "context_temperature": -1.0}
    asked = replace(PAST.queries([0, 1]), situations=(windy, wet))
    found = overlaid(latest, columns, asked)
    assert found.tolist() == [[9, 9, 9, 9, 3], [-1, 0, 0, 1, 9]]
    assert (latest == 9).all()


def test_a_stranger_may_say_it_too() -> None:
    stranger = Queries.of_items([], PAST.n_items)
    said = situated(stranger, {"weather": "sun"})
    np.testing.assert_array_equal(SCHEMA.features(PAST, said), [[np.nan, 0, 1]])


def test_requests_keep_their_situation_when_they_are_taken() -> None:
    asked = situated(PAST.queries([0, 1, 2]), {"temperature": 1}, {}, {"temperature": 3})
    taken = asked.take([2, 0])
    np.testing.assert_array_equal(SCHEMA.features(PAST, taken)[:, 0], [3, 1])
    for place, batch in asked.batches(2):
        np.testing.assert_array_equal(
            SCHEMA.features(PAST, batch), SCHEMA.features(PAST, asked)[place]
        )


@given(
    st.sampled_from("uvw"),
    st.none() | st.integers(-30, 40),
    st.none() | st.sampled_from(["rain", "sun"]),
)
def test_saying_it_is_as_if_an_event_had_just_said_it(
    user: str, temperature: int | None, weather: str | None
) -> None:
    said = {"temperature": temperature, "weather": weather}
    said = {name: value for name, value in said.items() if value is not None}
    row = PAST.user_ids.row(user)
    before = situated(PAST.queries([row]), said)
    rows = [
        ("u", 0, 20.0, "rain"),
        ("u", 1, 10.0, None),
        ("v", 2, None, "sun"),
        ("w", 3, None, None),
    ]
    degrees = None if temperature is None else float(temperature)
    after = log(*rows, (user, 9, degrees, weather))
    np.testing.assert_array_equal(
        SCHEMA.features(PAST, before), SCHEMA.features(after, after.queries([row]))
    )
