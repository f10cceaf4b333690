"""Session features from the history a request brings, against the log and the live state."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.features.logs import Event, dataset, events, heard, minute_us, play, reference_of

from crossfade.data import Queries
from crossfade.errors import DataError
from crossfade.features import SESSION_FEATURE_NAMES, SessionScaler, SessionState
from crossfade.features.activity import NEVER_KNOWN, activity_features, activity_features_at

EVERYBODY = np.arange(3, dtype=np.int32)


def value(features: np.ndarray, name: str) -> float:
    return float(features[SESSION_FEATURE_NAMES.index(name)])


@given(events(), st.lists(st.integers(0, 90_000), min_size=1, max_size=5), st.booleans())
def test_the_history_of_a_request_says_what_the_log_says(
    log: list[Event], minutes: list[int], given_sessions: bool
) -> None:
    data, reference = dataset(log, given_sessions=given_sessions), reference_of(log)
    users = np.repeat(EVERYBODY, len(minutes))
    as_of_us = np.array([minute_us(m) for m in minutes] * 3)
    queries = data.queries(users, as_of_us)
    together = activity_features(queries, reference)
    np.testing.assert_array_equal(together, activity_features_at(data, users, as_of_us, reference))
    for place in range(len(queries)):
        alone = activity_features(queries.take([place]), reference)
        np.testing.assert_array_equal(alone[0], together[place])


@given(events(), st.integers(0, 90_000))
def test_the_live_state_agrees_and_the_future_changes_nothing(
    log: list[Event], minute: int
) -> None:
    data, reference = dataset(log), reference_of(log)
    state = SessionState(reference)
    for event in log:
        if event.user == "u" and event.minute < minute:
            state.update(replace(play(event, data), played_ms=None, skipped=None))
    whole = data.queries([0])
    asked = replace(whole, as_of_us=np.array([minute_us(minute)]))  # brings its future along
    np.testing.assert_array_equal(
        activity_features(asked, reference)[0], state.features(minute_us(minute))
    )


def test_lengths_and_skips_are_never_known_and_sessions_are_spans() -> None:
    log = heard(("a", 0), ("b", 10), played_ms=3_600_000, skipped=True)
    features = activity_features(dataset(log).queries([0]), reference_of(log))[0]
    assert all(np.isnan(value(features, name)) for name in NEVER_KNOWN)
    assert value(features, "avg_session_length") == 10
    assert value(features, "total_sessions") == 1


def test_a_request_without_a_time_is_one_just_after_its_newest_event() -> None:
    log = heard(("a", 0), ("b", 2 * 24 * 60))
    features = activity_features(dataset(log).queries([0]), reference_of(log))[0]
    assert value(features, "plays_per_day") == pytest.approx(2 / 2)
    assert value(features, "exploration_score") == 1


def test_what_was_new_long_ago_is_not_new_of_late() -> None:
    log = heard(("a", 0), ("b", 40 * 24 * 60), ("a", 40 * 24 * 60 + 1))
    features = activity_features(dataset(log).queries([0]), reference_of(log))[0]
    assert value(features, "exploration_score") == pytest.approx(1 / 2)


def test_two_strangers_do_not_share_a_session() -> None:
    one = Queries.of_items([0, 1, 1], 5)
    both = Queries(
        user_row=np.array([-1, -1], dtype=np.int32),
        as_of_us=np.array([minute_us(0), minute_us(0)]),
        indptr=np.array([0, 3, 6]),
        item_row=np.tile(one.item_row, 2),
        time_us=None,
        strength=np.tile(one.strength, 2),
        session_row=np.tile(one.session_row, 2),
        n_items=5,
    )
    features = activity_features(both, reference_of(heard(("a", 0))))
    np.testing.assert_array_equal(features[0], features[1])
    assert value(features[1], "total_sessions") == 1
    assert value(features[1], "repeat_rate") == pytest.approx(1 / 3)
    assert np.isnan(value(features[1], "active_days"))


def test_nobody_and_nothing_are_masked_where_they_should_be() -> None:
    reference = reference_of(heard(("a", 0)))
    features = activity_features(Queries.of_items([], 5), reference)[0]
    assert value(features, "total_sessions") == 0
    assert np.isnan(value(features, "repeat_rate"))
    nobody = Queries.of_items([], 5).take([])
    assert activity_features(nobody, reference).shape == (0, 18)


def test_the_scaler_masks_what_a_history_cannot_say() -> None:
    log = heard(("a", 0), ("b", 10), skipped=False) + heard(("c", 11), user="v", skipped=True)
    data, reference = dataset(log), reference_of(log)
    base = activity_features_at(data, EVERYBODY, np.full(3, minute_us(99)), reference)
    values, known = SessionScaler.fit(base, 0).transform(base)
    for name in NEVER_KNOWN:
        assert not known[:, SESSION_FEATURE_NAMES.index(name)].any()
    assert np.isfinite(values).all()


def test_another_catalogue_is_refused() -> None:
    with pytest.raises(DataError, match="the reference knows 5 items, the requests come from 7"):
        activity_features(Queries.of_items([1], 7), reference_of(heard(("a", 0))))
