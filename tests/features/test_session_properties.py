"""Live equals batch, the future changes nothing, values stay in their ranges."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.features.logs import (
    START,
    Event,
    dataset,
    events,
    matrix,
    minute_us,
    play,
    reference_of,
)

from crossfade.features import (
    SESSION_FEATURES,
    SessionState,
    batch,
    session_features,
    session_features_at,
)
from crossfade.types import Doubles

few = settings(max_examples=80, deadline=None)


@few
@given(events(), st.booleans())
def test_live_updates_equal_the_batch_after_every_event(
    log: list[Event], given_sessions: bool
) -> None:
    reference = reference_of(log[: len(log) // 2 + 1])
    data = dataset(log, given_sessions=given_sessions)
    gap = None if given_sessions else 30.0
    states = {user: SessionState(reference, gap) for user in "uvw"}
    live: list[Doubles] = []
    moments: list[int] = []
    for event, after in zip(log, [*log[1:], None], strict=True):
        states[event.user].update(play(event, data, given_sessions=given_sessions))
        # A moment just after this event is a moment after all events of the same minute.
        if after is None or after.minute > event.minute:
            moments.append(minute_us(event.minute) + 1)
            live.extend(states[user].features(moments[-1]) for user in "uvw")
    users = np.tile(np.arange(3, dtype=np.int32), len(moments))
    expected = session_features_at(data, users, np.repeat(moments, 3), reference)
    np.testing.assert_array_equal(np.array(live), expected)


@few
@given(events(), st.integers(0, 200_000))
def test_time_passing_without_events_is_the_same_for_both(log: list[Event], later: int) -> None:
    reference = reference_of(log)
    data = dataset(log)
    as_of_us = minute_us(log[-1].minute + 1 + later)
    for row, user in enumerate("uvw"):
        state = SessionState(reference)
        for event in log:
            if event.user == user:
                state.update(play(event, data))
        expected = session_features_at(data, [row], np.array([as_of_us]), reference)[0]
        np.testing.assert_array_equal(state.features(as_of_us), expected)


@few
@given(events(), events(), st.integers(0, 40), st.booleans(), st.data())
def test_the_future_never_changes_a_feature(
    log: list[Event], other: list[Event], place: int, given_sessions: bool, data: st.DataObject
) -> None:
    """Canary: whatever happens at or after as_of may be added, changed or taken away."""
    as_of_minute = log[min(place, len(log) - 1)].minute
    past = [event for event in log if event.minute < as_of_minute]
    future = [event for event in log if event.minute >= as_of_minute]
    reference = reference_of(log)
    moment = START + timedelta(minutes=as_of_minute)

    changed = [
        replace(event, item=data.draw(st.sampled_from("abcde")), played_ms=1, skipped=True)
        for event in future
    ]
    added = [replace(event, minute=event.minute + as_of_minute) for event in other]
    removed = future[1:]
    expected = matrix(
        session_features(dataset(log, given_sessions=given_sessions), moment, reference)
    )
    for tomorrow in (changed, sorted(future + added, key=lambda event: event.minute), removed):
        if not past and not tomorrow:
            continue
        world = dataset(past + tomorrow, given_sessions=given_sessions)
        np.testing.assert_array_equal(matrix(session_features(world, moment, reference)), expected)


def test_the_canary_would_sing() -> None:
    """An event just before as_of does change features, so the test above can fail."""
    log = [Event("u", "a", 0, None, None, None), Event("u", "b", 10, None, None, True)]
    reference = reference_of(log)
    before, after = (
        matrix(session_features(dataset(log), START + timedelta(minutes=minute), reference))
        for minute in (10, 11)
    )
    assert not np.array_equal(before, after, equal_nan=True)


@few
@given(events())
def test_many_moments_at_once_equal_one_by_one(log: list[Event]) -> None:
    reference = reference_of(log)
    data = dataset(log)
    users = np.array([data.user_ids.row(event.user) for event in log] + [-1, 2], dtype=np.int32)
    moments = np.array([minute_us(event.minute) for event in log] + [minute_us(5), minute_us(0)])
    together = session_features_at(data, users, moments, reference)
    for row, (user, moment) in enumerate(zip(users, moments, strict=True)):
        alone = session_features_at(data, [user], np.array([moment]), reference)[0]
        np.testing.assert_array_equal(together[row], alone)


@few
@given(events())
def test_the_size_of_a_piece_changes_nothing(log: list[Event]) -> None:
    reference = reference_of(log)
    moment = START + timedelta(minutes=log[-1].minute + 1)
    whole = matrix(session_features(dataset(log), moment, reference))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "PLAYS_AT_ONCE", 1)
        np.testing.assert_array_equal(
            matrix(session_features(dataset(log), moment, reference)), whole
        )


@few
@given(events(), st.integers(0, 100_000), st.booleans())
def test_values_stay_in_the_range_of_the_dictionary(
    log: list[Event], as_of_minute: int, given_sessions: bool
) -> None:
    data = dataset(log, given_sessions=given_sessions)
    moment = START + timedelta(minutes=as_of_minute)
    values = matrix(session_features(data, moment, reference_of(log)))
    for column, feature in enumerate(SESSION_FEATURES):
        known = values[~np.isnan(values[:, column]), column]
        assert (known >= feature.low).all(), feature.name
        assert (known <= feature.high).all(), feature.name
