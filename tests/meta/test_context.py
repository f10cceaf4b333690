"""What a blend knows of requests and candidates: as of the log, the same in training and serving."""

import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.data import Dataset, Queries
from crossfade.data.dataset import to_datetime, to_us
from crossfade.data.splits import ProtocolConfig, ProtocolName, make_plan
from crossfade.data.world import WorldConfig, make_world
from crossfade.features import (
    SESSION_FEATURE_NAMES,
    TEMPORAL_FEATURE_NAMES,
    activity_features_at,
    fit_reference,
)
from crossfade.features.activity import NEVER_KNOWN
from crossfade.features.dynamics import DYNAMICS, item_dynamics
from crossfade.features.items import ItemSchema
from crossfade.features.pairs import PAIR_FEATURES, pair_features
from crossfade.meta.context import HISTORY, ContextReader
from crossfade.meta.facts import COMPLETENESS, ITEM_CONTENT
from crossfade.meta.track import TrackRecord
from crossfade.types import Floats, Rows

START = datetime(2024, 1, 1, tzinfo=UTC)
NAN = math.nan
N_ITEMS = 5

CATALOGUE: dict[str, list[Any]] = {
    "item_id": list("abcde"),
    "title": ["Blue", " ", None, "Red", ""],
    "creator": ["ella", "ella", "john", "john", None],
    "collection": ["x", None, None, None, None],
    "genres": [["jazz"], ["jazz", "rock"], ["rock"], [], [" "]],
    "moods": [["calm"], ["calm"], None, None, None],
    "duration_ms": [200_000, 300_000, 0, None, None],
    "release_date": [date(2023, 6, 1), None, date(2024, 1, 21), date(2024, 3, 1), None],
}

Log = list[tuple[str, str, float, str]]
"""Events as (user, item, day, kind)."""

LOG: Log = [
    ("u", "a", 0, "play"),
    ("u", "b", 3, "play"),
    ("u", "a", 4, "play"),
    ("u", "c", 5, "dislike"),
    ("v", "d", 6, "play"),
    ("v", "a", 9, "play"),
]


def dataset(
    log: Log, *, times: bool = True, without: tuple[str, ...] = (), **items: Any
) -> Dataset:
    columns: dict[str, list[Any]] = {
        "user_id": [x[0] for x in log],
        "item_id": [x[1] for x in log],
        "event": [x[3] for x in log],
    }
    if times:
        columns["timestamp"] = [START + timedelta(days=x[2]) for x in log]
    catalogue = pl.DataFrame({**CATALOGUE, **items}).drop(without)
    return Dataset.build(
        pl.DataFrame(columns), catalogue, pl.DataFrame({"user_id": ["u", "v", "w"]})
    )


def reader_of(data: Dataset, track: TrackRecord | None = None) -> ContextReader:
    track = track if track is not None else TrackRecord.empty(data.n_users, 2)
    return ContextReader(data, ("first", "second"), track)


def day_us(day: float) -> int:
    return to_us(START + timedelta(days=day))


def ask(data: Dataset, users: list[int], day: float | None) -> Queries:
    moments = None if day is None else np.full(len(users), day_us(day), dtype=np.int64)
    return data.queries(users, moments)


def everything(n: int) -> Rows:
    return np.tile(np.arange(N_ITEMS, dtype=np.int32), (n, 1))


def user_value(reader: ContextReader, queries: Queries, name: str) -> list[float]:
    values: list[float] = reader.user(queries)[:, reader.user_columns.index(name)].tolist()
    return values


def item_value(reader: ContextReader, queries: Queries, name: str) -> Floats:
    found = reader.item(queries, everything(len(queries)))
    return found[..., reader.item_columns.index(name)]


# -- columns ---------------------------------------------------------------------------


def test_columns_say_what_the_arrays_hold() -> None:
    data = dataset(LOG)
    reader = reader_of(data)
    queries = ask(data, [0, 1, 2], 10)
    assert reader.user_columns == (
        *SESSION_FEATURE_NAMES,
        *TEMPORAL_FEATURE_NAMES,
        *HISTORY,
        "track_first",
        "track_second",
        "log_track_items",
    )
    assert reader.item_columns == (*DYNAMICS, *ITEM_CONTENT, *PAIR_FEATURES)
    user, item = reader.user(queries), reader.item(queries, everything(3))
    assert user.shape == (3, len(reader.user_columns))
    assert item.shape == (3, N_ITEMS, len(reader.item_columns))
    assert user.dtype == item.dtype == np.float32


def test_each_part_stands_where_its_name_says() -> None:
    data, day = dataset(LOG), 12
    reader = reader_of(data)
    queries = ask(data, [0, 2], day)
    user, item = reader.user(queries), reader.item(queries, everything(2))
    moments = np.full(2, day_us(day))
    rows = np.array([0, 2], dtype=np.int32)
    expected = activity_features_at(data, rows, moments, fit_reference(data))
    n = len(SESSION_FEATURE_NAMES)
    np.testing.assert_array_equal(user[:, :n], expected.astype(np.float32))
    # Ages count to the end of the log, where the bases stopped learning, not to the request.
    dynamics = item_dynamics(data, day_us(9) + 1).astype(np.float32)
    np.testing.assert_array_equal(item[1, :, : len(DYNAMICS)], dynamics)
    schema = ItemSchema.fit(data.items, data.known_items(day_us(9) + 1))
    arrays = schema.transform(data.items)
    pairs = pair_features(queries, everything(2), arrays, schema).astype(np.float32)
    np.testing.assert_array_equal(item[:, :, -len(PAIR_FEATURES) :], pairs)
    duration = arrays.numeric[:, 1]
    np.testing.assert_array_equal(item_value(reader, queries, "log_duration")[0], duration)


def test_audio_columns_are_there_where_the_catalogue_has_audio() -> None:
    data = dataset(LOG, energy=[0.1, 0.9, None, 0.5, None])
    reader = reader_of(data)
    queries = ask(data, [0], 10)
    np.testing.assert_allclose(item_value(reader, queries, "energy")[0], [0.1, 0.9, NAN, 0.5, NAN])
    assert item_value(reader, queries, "energy_confidence")[0].tolist() == [1, 1, 0, 1, 0]
    assert np.isnan(item_value(reader, queries, "tempo")).all()


def test_guesses_come_with_their_sigma_in_the_unit_of_the_columns() -> None:
    guessed: dict[str, Any] = {
        "tempo": [120.0, 90.0, 60.0, None, None],
        "tempo_sigma": [27.0, 0.0, None, None, None],
        "tempo_source": ["predicted", "actual", "predicted", "missing", "missing"],
    }
    told = reader_of(dataset(LOG, **guessed)).guesses(np.array([[0, 1, 2, -1]], dtype=np.int32))
    assert told is not None
    tempo = told.columns.index("tempo")
    # Tempo lies between 30 and 300: 27 beats are a tenth of that.
    np.testing.assert_allclose(told.sigma[0, :, tempo], [0.1, 0, NAN, NAN], rtol=1e-6)
    assert (told.low[tempo], told.high[tempo]) == (0, 1)


def test_a_catalogue_of_measured_values_holds_no_guess() -> None:
    measured: dict[str, Any] = {
        "tempo": [120.0, 90.0, None, None, None],
        "tempo_sigma": [0.0, 0.0, None, None, None],
        "tempo_source": ["actual", "actual", "missing", "missing", "missing"],
    }
    for catalogue in ({}, {"tempo": measured["tempo"]}, measured):
        reader = reader_of(dataset(LOG, **catalogue))
        assert reader.guesses(np.zeros((1, 1), dtype=np.int32)) is None


def test_a_request_without_a_time_has_no_hour_and_no_time_away() -> None:
    data = dataset(LOG)
    reader = reader_of(data)
    for name in TEMPORAL_FEATURE_NAMES:
        assert np.isnan(user_value(reader, ask(data, [0], None), name)).all()
        assert np.isfinite(user_value(reader, ask(data, [0], 10), name)).all()


def test_histories_by_hand() -> None:
    data = dataset(LOG)
    reader, queries = reader_of(data), ask(data, [0, 2], 10)
    assert user_value(reader, queries, "log_positives") == pytest.approx([math.log(4), 0])
    assert user_value(reader, queries, "log_items") == pytest.approx([math.log(4), 0])
    assert user_value(reader, queries, "positive_share") == pytest.approx([0.75, NAN], nan_ok=True)


def test_completeness_counts_what_says_something() -> None:
    data = dataset(LOG)
    found = item_value(reader_of(data), ask(data, [0], 10), "completeness")[0]
    # a has all seven; b lacks title, collection, date; c has creator and genres only, for its
    # date is yet to come; d a title and a creator; e nothing but blanks.
    np.testing.assert_allclose(found, np.array([7, 4, 2, 2, 0]) / len(COMPLETENESS), rtol=1e-6)


def test_a_catalogue_of_ids_alone_has_no_content_but_features_all_the_same() -> None:
    data = dataset(LOG, without=tuple(name for name in CATALOGUE if name != "item_id"))
    reader, queries = reader_of(data), ask(data, [0], 10)
    assert item_value(reader, queries, "completeness").tolist() == [[0] * N_ITEMS]
    for name in ("genre_match", "mood_match", "log_creator_events", "release_year"):
        assert np.isnan(item_value(reader, queries, name)).all()
    assert np.isfinite(item_value(reader, queries, "log_met")).all()


def test_padding_is_nan_in_every_column() -> None:
    data = dataset(LOG)
    reader, queries = reader_of(data), ask(data, [0, 1], 10)
    rows = np.array([[3, -1, 0], [-1, -1, 4]], dtype=np.int32)
    found = reader.item(queries, rows)
    whole = reader.item(queries, everything(2))
    assert np.isnan(found[rows < 0]).all()
    np.testing.assert_array_equal(found[0, [0, 2]], whole[0, [3, 0]])
    np.testing.assert_array_equal(found[1, 2], whole[1, 4])


def test_a_record_of_other_bases_is_refused() -> None:
    with pytest.raises(ValueError, match="the track record is of 3 bases, not of 2"):
        reader_of(dataset(LOG), TrackRecord.empty(3, 3))


# -- who asks --------------------------------------------------------------------------


def test_a_stranger_with_the_same_history_differs_in_the_record_only() -> None:
    data = dataset(LOG)
    track = TrackRecord(np.array([[2.0, 0], [0, 1], [0, 0]]), np.array([4, 2, 0]))
    reader, queries = reader_of(data, track), ask(data, [0, 1], 10)
    strangers = replace(queries, user_row=np.array([-1, -1], dtype=np.int32))
    named, unnamed = reader.user(queries), reader.user(strangers)
    same = len(SESSION_FEATURE_NAMES) + len(TEMPORAL_FEATURE_NAMES) + len(HISTORY)
    np.testing.assert_array_equal(named[:, :same], unnamed[:, :same])
    np.testing.assert_allclose(unnamed[:, same:], [[2 / 6, 1 / 6, 0]] * 2, rtol=1e-6)
    np.testing.assert_array_equal(
        reader.item(queries, everything(2)), reader.item(strangers, everything(2))
    )


@pytest.mark.parametrize("times", [True, False])
def test_somebody_with_no_history_at_all_can_ask(times: bool) -> None:
    data = dataset(LOG, times=times)
    reader, nobody = reader_of(data), Queries.of_items([], N_ITEMS)
    assert user_value(reader, nobody, "total_sessions") == [0]
    assert user_value(reader, nobody, "log_positives") == [0]
    assert np.isfinite(item_value(reader, nobody, "log_users")).all()
    assert np.isnan(item_value(reader, nobody, "genre_match")).all()


def test_training_sees_what_serving_sees() -> None:
    # Training asks through the log cut at the block, serving through the whole log of today,
    # or with plays sent along: only the history counts, not where it lies.
    data = dataset([*LOG, ("u", "e", 30, "play"), ("w", "a", 31, "play")])
    train = data.before(to_datetime(day_us(10)))
    reader, users = reader_of(train), [0, 1, 2]
    trained, served = ask(train, users, 10), ask(data, users, 10)
    sent = replace(served, user_row=np.array([-1, -1, -1], dtype=np.int32))
    for queries in (served, sent):
        np.testing.assert_array_equal(reader.user(queries), reader.user(trained))
        np.testing.assert_array_equal(
            reader.item(queries, everything(3)), reader.item(trained, everything(3))
        )


def test_lengths_and_skips_of_plays_change_nothing() -> None:
    # A request brings neither, so training must not see them either.
    data = dataset(LOG)
    lengths = pl.Series([1_000 * place for place in range(data.n_events)], dtype=pl.Int64)
    known = replace(data, events=data.events.with_columns(played_ms=lengths, skipped=pl.lit(1) > 0))
    queries = ask(data, [0, 1, 2], 10)
    np.testing.assert_array_equal(
        reader_of(known).user(ask(known, [0, 1, 2], 10)), reader_of(data).user(queries)
    )


EVENTS = st.lists(
    st.tuples(
        st.sampled_from("uvw"),
        st.sampled_from("abcde"),
        st.floats(0, 60),
        st.sampled_from(["play", "play", "dislike"]),
    ),
    min_size=1,
    max_size=15,
)


@settings(max_examples=30)
@given(EVENTS, st.integers(0, 90))
def test_who_else_asks_changes_nothing(log: Log, day: int) -> None:
    data = dataset(log)
    reader, queries = reader_of(data), ask(data, [0, 1, 2], day)
    user, item = reader.user(queries), reader.item(queries, everything(3))
    for place in range(3):
        alone = queries.take([place])
        np.testing.assert_array_equal(reader.user(alone)[0], user[place])
        np.testing.assert_array_equal(reader.item(alone, everything(1))[0], item[place])


# -- the future ------------------------------------------------------------------------


def views(data: Dataset, cut: float) -> tuple[Floats, Floats]:
    """What a blend sees of the three users and of all items, learning and asking at the cut."""
    reader = reader_of(data.before(to_datetime(day_us(cut))))
    queries = ask(data, [0, 1, 2], cut)
    return reader.user(queries), reader.item(queries, everything(3))


@settings(max_examples=30)
@given(EVENTS, EVENTS, st.integers(0, 50))
def test_the_future_changes_nothing(log: Log, future: Log, cut: int) -> None:
    first: Log = [("u", "a", -1, "play")]  # there is always something to learn from
    later: Log = [(user, item, cut + day, kind) for user, item, day, kind in future]
    before = views(dataset(first + log), cut)
    after = views(dataset(first + log + later * 9), cut)
    for left, right in zip(before, after, strict=True):
        np.testing.assert_array_equal(left, right)


@settings(max_examples=30)
@given(st.lists(st.none() | st.dates(date(2024, 1, 9), date(2090, 1, 1)), min_size=4, max_size=4))
def test_when_items_will_come_out_changes_nothing(dates: list[date | None]) -> None:
    # The canary: a catalogue of today knows what came out, or out again, after the cut.
    past = date(2023, 6, 1)
    known = views(dataset(LOG, release_date=[past, None, None, None, None]), 8)
    told = views(dataset(LOG, release_date=[past, *dates]), 8)
    for left, right in zip(known, told, strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("protocol", ["time", "user", "leave-last"])
def test_what_a_trial_asks_for_is_nowhere_in_its_context(protocol: ProtocolName) -> None:
    # With and without times: no wanted item is in a history or was ever met.
    data = make_world(WorldConfig(n_listeners=30, n_tracks=60, n_plays=1_500), seed=1).dataset
    for whole in (data, replace(data, events=data.events.drop("timestamp"))):
        trial = make_plan(whole, ProtocolConfig(name=protocol), seed=0).fuse
        n_bases = 2
        track = TrackRecord.empty(whole.n_users, n_bases)
        reader = ContextReader(trial.train, ("first", "second"), track)
        rows = np.tile(np.arange(whole.n_items, dtype=np.int32), (len(trial.queries), 1))
        met = reader.item(trial.queries, rows)[..., reader.item_columns.index("log_met")]
        assert (met[trial.relevant.toarray() > 0] == 0).all()
        assert (met > 0).any()


# -- the synthetic world ---------------------------------------------------------------


def test_no_column_is_garbage_in_the_synthetic_world() -> None:
    data = make_world(WorldConfig(n_listeners=80, n_tracks=300, n_plays=8_000), seed=3).dataset
    assert data.time_us is not None
    rng = np.random.default_rng(0)
    track = TrackRecord(rng.random((80, 2)), rng.integers(1, 9, 80))
    cut = int(data.time_us[data.n_events * 2 // 3])
    train = data.before(to_datetime(cut))
    reader = reader_of(train, track)
    # Requests spread over a month; under global cuts everybody asks at one moment.
    moments = cut + rng.integers(0, 30 * 86_400_000_000, 80)
    queries = data.queries(range(80), moments)
    user = reader.user(queries)
    item = reader.item(queries, np.tile(np.arange(300, dtype=np.int32), (80, 1)))
    assert not np.isinf(user).any()
    assert not np.isinf(item).any()
    for name, values in zip(reader.user_columns, user.T, strict=True):
        n_values = len(np.unique(values[np.isfinite(values)]))
        assert n_values == 0 if name in NEVER_KNOWN else n_values > 1, name
    constant = {
        name
        for place, name in enumerate(reader.item_columns)
        if len(np.unique(item[..., place][np.isfinite(item[..., place])])) < 2
    }
    # The world knows every audio value it knows for sure, and writes its catalogue in full.
    assert {name for name in constant if not name.endswith("_confidence")} <= {"completeness"}
