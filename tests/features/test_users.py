"""What a history says, by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.features.logs import dataset, events, heard, minute_us

from crossfade.data import Queries
from crossfade.data.query import Taste
from crossfade.features.dictionary import TEMPORAL_FEATURE_NAMES
from crossfade.features.items import ItemSchema, ItemSchemaConfig
from crossfade.features.users import history_weights, label_preferences, request_time_features
from crossfade.types import MICROSECONDS_PER_DAY, Csr

RECENCY = TEMPORAL_FEATURE_NAMES.index("recency")
CATALOGUE = pl.DataFrame(
    {
        "item_id": ["a", "b", "c", "d"],
        "genres": [["rock"], ["rock", "jazz"], ["ska"], []],
        "moods": [["calm"], ["calm"], ["dark"], None],
    }
)
# Known to the schema: a, b and d, so "ska" and "dark" are unseen.
SCHEMA = ItemSchema.fit(
    CATALOGUE,
    np.array([True, True, False, True]),
    ItemSchemaConfig(min_creator_items=1, min_label_items=1),
)
ARRAYS = SCHEMA.transform(CATALOGUE)
assert SCHEMA.genres.names == ("rock", "jazz")
DAY = MICROSECONDS_PER_DAY


def asked(
    *histories: list[tuple[int, float, float]],
    as_of: float | None = None,
    tastes: tuple[Taste, ...] | None = None,
) -> Queries:
    """Requests whose histories are (item row, day, strength)."""
    flat = [event for history in histories for event in history]
    n = len(histories)
    return Queries(
        user_row=np.full(n, -1, dtype=np.int32),
        as_of_us=None if as_of is None else np.full(n, int(as_of * DAY)),
        indptr=np.cumsum([0, *map(len, histories)]).astype(np.int64),
        item_row=np.array([x[0] for x in flat], dtype=np.int32),
        time_us=np.array([x[1] * DAY for x in flat], dtype=np.int64),
        strength=np.array([x[2] for x in flat], dtype=np.float32),
        session_row=np.zeros(len(flat), dtype=np.int32),
        n_items=4,
        tastes=tastes,
    )


def untimed(queries: Queries) -> Queries:
    return replace(queries, as_of_us=None, time_us=None)


def preferences(queries: Queries, half_life: float | None = 10, **kinds: Any) -> tuple[Any, Any]:
    genres, moods = label_preferences(queries, ARRAYS, SCHEMA, half_life, **kinds)
    return genres.toarray().tolist(), moods.toarray().tolist()


def test_an_event_halves_with_each_half_life_before_the_newest_positive_one() -> None:
    queries = asked([(0, 0, 1), (1, 10, 2), (2, 20, 1), (3, 40, 0)], [], [(0, 7, 1)], as_of=100)
    assert history_weights(queries, 10, None).tolist() == [0.25, 0.5, 1, 0, 1]
    assert history_weights(queries, None, None).tolist() == [1, 1, 1, 0, 1]
    assert history_weights(untimed(queries), 10, None).tolist() == [1, 1, 1, 0, 1]


def test_only_the_newest_positives_count() -> None:
    queries = asked([(0, 0, 1), (1, 0, 0), (2, 0, 1), (3, 0, 1), (3, 0, 0)], [(0, 0, 1)])
    assert history_weights(queries, None, 2).tolist() == [0, 0, 1, 1, 0, 1]
    assert history_weights(queries, 5, 1).tolist() == [0, 0, 0, 1, 0, 1]


def test_years_away_leave_a_history_all_the_same() -> None:
    queries = asked([(0, 0, 1), (1, 1, 1)], as_of=40 * 365)
    assert history_weights(queries, 1, None).tolist() == [0.5, 1]
    assert preferences(queries, 1)[0] == [[0, pytest.approx(2 / 3), pytest.approx(1 / 3)]]


@pytest.mark.parametrize("wrong", [{"half_life_days": 0.0}, {"max_events": 0}])
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match=r"half_life_days must be above 0, got 0\.0|max_events must"
    ):
        history_weights(asked([]), **{"half_life_days": None, "max_events": None, **wrong})


def test_labels_share_the_weight_of_their_item() -> None:
    # A rock song a half-life before one of rock and jazz: 0.5 + 0.5 rock, 0.5 jazz.
    genres, moods = preferences(asked([(0, 0, 1), (1, 10, 1)], [(3, 0, 1)], [(2, 0, 1), (0, 1, 0)]))
    assert genres == [[0, pytest.approx(2 / 3), pytest.approx(1 / 3)], [0, 0, 0], [1, 0, 0]]
    assert moods == [[0, 1], [0, 0], [1, 0]]


def test_a_limit_leaves_older_events_out() -> None:
    queries = asked([(0, 0, 1), (1, 0, 1), (2, 0, 0)], [(0, 0, 1)])
    assert preferences(queries, max_events=1)[0] == [[0, 0.5, 0.5], [0, 1, 0]]


def test_a_stated_taste_is_all_there_is_of_a_stranger() -> None:
    tastes = (Taste(genres=(" Jazz", "polka")), Taste(moods=("CALM",)), Taste(genres=("",)))
    genres, moods = preferences(asked([], [], [], tastes=tastes))
    assert genres == [[0.5, 0, 0.5], [0, 0, 0], [0, 0, 0]]
    assert moods == [[0, 0], [0, 1], [0, 0]]


def test_history_takes_over_from_what_was_said() -> None:
    said = (Taste(genres=("jazz",)),)
    played = [(0, 0.0, 1.0)]
    # One rock song of this moment against jazz that counts as three; then nine songs.
    assert preferences(asked(played, tastes=said))[0] == [[0, 0.25, 0.75]]
    assert preferences(asked(played * 9, tastes=said))[0] == [[0, 0.75, 0.25]]
    # The song of a half-life ago counts half: 0.5 against 3.
    old = preferences(asked(played, as_of=10, tastes=said))[0]
    assert old == [[0, pytest.approx(0.5 / 3.5), pytest.approx(3 / 3.5)]]


def test_the_documented_form_keeps_the_strongest_labels() -> None:
    queries = asked([(0, 0, 1), (1, 0, 1), (2, 0, 1)], [(1, 0, 1)], [(2, 0, 1)])
    genres, moods = preferences(queries, top=(1, 1))
    assert genres == [[0, 1, 0], [0, 1, 0], [1, 0, 0]]  # equal halves keep the more common label
    assert moods == [[0, 1], [0, 1], [1, 0]]
    tied = preferences(asked([(0, 0, 1), (2, 0, 1)]), top=(1, 1))[0]
    assert tied == [[0, 1, 0]]  # and a label the base block knows before one it does not
    two = preferences(asked([(1, 0, 1), (2, 0, 0.1)]), None, top=(2, 1))[0]
    assert two == [[pytest.approx(2 / 3), pytest.approx(1 / 3), 0]]


def test_recency_looks_past_events_that_share_the_moment_of_the_request() -> None:
    values, known = request_time_features(asked([(0, 2, 1), (1, 5, 1)], [(0, 5, 1)], as_of=5))
    assert values[0, RECENCY] == pytest.approx(np.log(4))
    assert known[:, RECENCY].tolist() == [True, False]
    assert values[1, RECENCY] == 0
    assert known[:, :RECENCY].all()
    # Day 5 after 1970-01-01, a Thursday, is a Tuesday: one day into the week.
    weekday = TEMPORAL_FEATURE_NAMES.index("weekday_sin")
    assert values[0, weekday] == pytest.approx(np.sin(2 * np.pi / 7), abs=1e-6)


def test_without_a_moment_all_of_it_is_masked() -> None:
    for queries in (asked([(0, 2, 1)]), Queries.of_items([1], 4)):
        values, known = request_time_features(queries)
        assert not known.any()
        assert not values.any()


def rows(matrix: Csr) -> Any:
    return matrix.toarray()


@given(events(), st.integers(0, 90_000), st.sampled_from([None, 0.5, 30.0]))
def test_a_batch_says_what_single_requests_say_and_rows_sum_to_one(
    log: list[Any], minute: int, half_life: float | None
) -> None:
    data = dataset(log)
    schema = ItemSchema.fit(data.items, np.ones(5, dtype=np.bool_))
    arrays = schema.transform(data.items)
    users = np.arange(3, dtype=np.int32)
    batch = data.queries(users, np.full(3, minute_us(minute)))
    batch = replace(batch, tastes=(Taste(), Taste(("rock", "x")), Taste(moods=("calm",))))
    together = [rows(x) for x in label_preferences(batch, arrays, schema, half_life)]
    for user in range(3):
        alone = label_preferences(batch.take([user]), arrays, schema, half_life)
        for one, many in zip(alone, together, strict=True):
            np.testing.assert_array_equal(rows(one)[0], many[user])
    for matrix in together:
        totals = matrix.sum(axis=1)
        np.testing.assert_allclose(totals[totals > 0], 1, rtol=1e-5)


def test_the_newest_play_is_never_lost_however_fast_tastes_fade() -> None:
    data = dataset(heard(("a", 0), ("c", 50_000)))
    schema = ItemSchema.fit(data.items, np.ones(5, dtype=np.bool_))
    queries = data.queries([0], np.array([minute_us(60_000)]))
    genres, _ = label_preferences(queries, schema.transform(data.items), schema, 0.01)
    # 50,000 minutes are 3,472 half-lives of 14 minutes: only the newest play is left.
    assert rows(genres)[0].tolist() == [1, 0, 0]  # "folk" is on one item only, so unseen
