"""The 18 session features, each by hand."""

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.features.logs import (
    CONFIG,
    START,
    Event,
    dataset,
    features_of,
    heard,
    matrix,
    minute_us,
    reference_of,
)

from crossfade.data import Dataset
from crossfade.errors import DataError
from crossfade.features import (
    SESSION_FEATURE_NAMES,
    Play,
    SessionFeatureConfig,
    SessionReference,
    SessionState,
    fit_reference,
    session_features,
    session_features_at,
)

DAY = 24 * 60
nan = float("nan")


def test_sessions_end_after_thirty_idle_minutes() -> None:
    # 0 – 20 – 50 is one session (30 minutes are not yet too long), 81 opens another.
    features = features_of(heard(("a", 0), ("b", 20), ("c", 50), ("d", 81)), DAY)
    assert features["total_sessions"] == 2
    assert features["avg_session_length"] == (50 + 0) / 2
    assert features["session_density"] == 2  # one active day


def test_session_ids_decide_where_there_are_any() -> None:
    log = [
        Event("u", "a", 0, "morning", None, None),
        Event("u", "b", 10, "evening", None, None),
        Event("u", "c", 500, "morning", None, None),  # the same session comes back
        Event("u", "d", 600, None, None, None),  # belongs to none
    ]
    features = features_of(log, DAY, given_sessions=True)
    assert features["total_sessions"] == 2
    assert features["avg_session_length"] == (500 + 0) / 2


def test_a_session_is_as_long_as_what_was_heard_in_it_if_that_is_longer() -> None:
    four_minutes = 240_000
    features = features_of(heard(("a", 0), ("b", 3), played_ms=four_minutes), DAY)
    assert features["avg_session_length"] == 8  # 2 × 4 minutes heard, 3 minutes apart


def test_plays_before_as_of_count_and_a_play_at_as_of_does_not() -> None:
    log = heard(("a", 0), ("a", 10))
    assert features_of(log, 10)["repeat_rate"] == 0
    assert features_of(log, 11)["repeat_rate"] == 0.5


def test_discovery_is_per_week_with_a_play() -> None:
    # Three different items in weeks 1 and 3 (Monday 1 January 2024 opens week 1).
    log = heard(("a", 0), ("a", 6 * DAY), ("b", 14 * DAY), ("c", 14 * DAY + 1))
    assert features_of(log, 30 * DAY)["discovery_rate_per_active_week"] == 3 / 2


def test_exploration_looks_at_the_last_28_days() -> None:
    log = heard(("a", 0), ("b", DAY), ("a", 20 * DAY), ("c", 21 * DAY))
    assert features_of(log, 22 * DAY)["exploration_score"] == 3 / 4
    assert features_of(log, 28 * DAY)["exploration_score"] == 3 / 4  # day 0 is still in it
    assert features_of(log, 30 * DAY)["exploration_score"] == 1 / 2  # only the last two are
    assert np.isnan(features_of(log, 60 * DAY)["exploration_score"])


def test_novelty_is_the_share_of_items_in_the_long_tail() -> None:
    # 10 base plays: a 5, b 3, c 2. Head of 80 %: a and b. d was never seen, so it is tail.
    base = heard(*[("a", i) for i in range(5)], *[("b", 10 + i) for i in range(3)], user="v")
    base += heard(("c", 20), ("c", 21), user="v")
    reference = reference_of(base)
    log = heard(("a", 0), ("a", 1), ("c", 2), ("d", 3))
    assert features_of(log, 10, reference)["novelty_seeking"] == 2 / 3


def test_mainstream_is_the_mean_popularity_percentile_of_known_items() -> None:
    base = heard(("a", 0), ("a", 1), ("a", 2), ("b", 3), ("b", 4), ("c", 5), user="v")
    reference = reference_of(base)
    # Mid-ranks of three items: c 1/6, b 3/6, a 5/6; d is unknown and left out.
    features = features_of(heard(("a", 0), ("a", 1), ("c", 2), ("d", 3)), 10, reference)
    assert features["mainstream_score"] == pytest.approx((5 / 6 + 5 / 6 + 1 / 6) / 3)


def test_skips_count_among_plays_that_know() -> None:
    log = [*heard(("a", 0), skipped=True), *heard(("b", 1), ("c", 2), skipped=False)]
    log += heard(("d", 3))
    assert features_of(log, 10)["skip_rate"] == 1 / 3


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (None, 1 / 3),  # a play of a log that tells skips by kind was not skipped
        ([None, None, None, None], 1.0),  # flags there are, but unknown: only the skip is known
        ([False, True, False, None], 2 / 3),
    ],
)
def test_events_of_kind_skip_are_skips(flags: list[bool | None] | None, expected: float) -> None:
    events: dict[str, Any] = {
        "user_id": ["u"] * 4,
        "item_id": ["a", "b", "c", "a"],
        "event": ["play", "play", "skip", "like"],
    }
    if flags is not None:
        events["skipped"] = flags
    data = Dataset.build(pl.DataFrame(events))
    found = session_features(data, None, fit_reference(data))
    assert found["skip_rate"].item() == pytest.approx(expected)


def test_a_log_without_skips_does_not_know_them() -> None:
    data = Dataset.build(pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "event": ["play"]}))
    assert "skipped" not in data.events.columns
    assert np.isnan(session_features(data, None, fit_reference(data))["skip_rate"].item())


def test_genre_diversity_is_entropy_in_bits() -> None:
    # a: rock, b: rock and jazz, c: folk, d: none → rock 2, jazz 1, folk 1 of 4 labels.
    log = heard(("a", 0), ("b", 1), ("c", 2), ("d", 3))
    assert features_of(log, 10)["genre_diversity"] == pytest.approx(1.5)
    assert features_of(heard(("a", 0), ("a", 1)), 10)["genre_diversity"] == 0


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        ([600, DAY + 600], 1.0),  # always at ten
        ([0, 12 * 60], 0.0),  # opposite sides of the clock
        ([0, 6 * 60], np.sqrt(0.5)),  # a quarter apart
        ([23 * 60, DAY + 60], np.cos(np.pi / 12)),  # an hour to either side of midnight
        ([600], nan),  # one play has no spread
    ],
)
def test_temporal_consistency_is_circular(minutes: list[int], expected: float) -> None:
    log = heard(*[("a", minute) for minute in minutes])
    value = features_of(log, 3 * DAY)["temporal_consistency"]
    assert value == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_early_plays_follow_the_birth_of_their_item() -> None:
    # Births: b and d by release (5 January, 1 March), e 1990. a and c have no release date;
    # a is first heard on day 0 and so of unknown age, c on day 40 and so new then.
    base = heard(("a", 0), ("c", 40 * DAY), user="v")
    reference = reference_of(base)
    on = {
        "a": 41 * DAY,  # unknown birth: left out
        "b": 33 * DAY,  # 29 days after its release: early
        "c": 71 * DAY,  # 31 days after its first play: late
        "d": 50 * DAY,  # before its release: left out
        "e": 51 * DAY,  # decades late
    }
    log = heard(*sorted(on.items(), key=lambda pair: pair[1]))
    assert features_of(log, 100 * DAY, reference)["early_adopter_score"] == 1 / 3


def test_the_last_early_moment_is_just_before_thirty_days() -> None:
    # b was released on 5 January, so day 34 at 00:00 is thirty days later to the minute.
    assert features_of(heard(("b", 34 * DAY - 1)), 40 * DAY)["early_adopter_score"] == 1
    assert features_of(heard(("b", 34 * DAY)), 40 * DAY)["early_adopter_score"] == 0


@pytest.mark.parametrize("minutes_late", [-1, 0, 1])
def test_live_and_batch_agree_at_the_edge_of_the_recent_window(minutes_late: int) -> None:
    log = heard(("a", 0), ("a", DAY))
    data = dataset(log)
    reference = fit_reference(data, CONFIG)
    state = SessionState(reference)
    for event in log:
        state.update(Play(data.item_ids.row(event.item), minute_us(event.minute)))
    as_of_us = minute_us(28 * DAY + minutes_late)
    expected = session_features_at(data, [0], np.array([as_of_us]), reference)[0]
    np.testing.assert_array_equal(state.features(as_of_us), expected)


def test_plays_per_day_counts_from_the_first_play() -> None:
    log = heard(("a", 0), ("b", 60), ("c", 2 * DAY))
    assert features_of(log, 4 * DAY)["plays_per_day"] == 3 / 4
    assert features_of(log, 120)["plays_per_day"] == 2  # two plays, and a day at least


def test_active_days_and_streaks() -> None:
    # u is active on days 0, 1, 2, 5, 6: longest streak 3. v has 1, w 3.
    u = heard(*[("a", day * DAY) for day in (0, 1, 2, 5, 6)])
    v = heard(("a", 0), ("b", 9), user="v")
    w = heard(("a", 0), ("a", DAY), ("a", 2 * DAY), user="w")
    log = sorted(u + v + w, key=lambda event: event.minute)
    features = features_of(log, 10 * DAY)
    assert features["active_days"] == 5
    # Among 1, 3, 3: one below, two equal counted half.
    assert features["longest_streak_percentile"] == pytest.approx((1 + 2 / 2) / 3)
    assert features_of(log, DAY + 60, reference_of(log))[
        "longest_streak_percentile"
    ] == pytest.approx(1 / 3)


def test_intensity_is_minutes_per_active_day() -> None:
    # Two active days, three plays, known lengths of 2 and 4 minutes: 3 × 3 / 2.
    log = heard(("a", 0), played_ms=120_000) + heard(("b", 1), played_ms=240_000)
    log += heard(("c", DAY))
    assert features_of(log, 3 * DAY)["listening_intensity"] == pytest.approx(4.5)


def test_types_come_from_the_quantiles_of_the_base_block() -> None:
    # Base repeat rates: u 0, v 1/2, w 3/4. Quartiles 1/4 and 5/8.
    u = heard(("a", 0), ("b", 1), ("c", 2), ("d", 3))
    v = heard(("a", 0), ("a", 1), ("b", 2), ("b", 3), user="v")
    w = heard(*[("a", minute) for minute in range(4)], user="w")
    log = sorted(u + v + w, key=lambda event: event.minute)
    reference = reference_of(log)
    assert reference.repeat_quantiles == (0.25, 0.625)
    frame = session_features(dataset(log), START + timedelta(days=1), reference)
    assert frame["user_type_explorer"].to_list() == [1, 0, 0]
    assert frame["user_type_loyalist"].to_list() == [0, 0, 1]
    early = session_features(dataset(log), START + timedelta(minutes=2), reference)
    assert early["user_type_explorer"].is_nan().all()  # two plays say nothing yet


def test_without_plays_counts_are_zero_and_all_else_is_missing() -> None:
    features = features_of(heard(("a", 0)), 0)
    assert {name for name, value in features.items() if value == 0} == {
        "total_sessions",
        "active_days",
    }
    assert sum(np.isnan(list(features.values()))) == 16


def test_without_times_what_needs_none_is_still_there() -> None:
    log = heard(("a", 0), ("a", 1), ("c", 2), skipped=False)
    features = features_of(log, 0, times=False)
    assert {name for name, value in features.items() if not np.isnan(value)} == {
        "novelty_seeking",
        "repeat_rate",
        "skip_rate",
        "genre_diversity",
        "mainstream_score",
        "user_type_explorer",
        "user_type_loyalist",
    }
    assert features["repeat_rate"] == pytest.approx(1 / 3)


def test_without_times_live_equals_batch() -> None:
    log = heard(("a", 0), ("a", 1), ("b", 2), skipped=False, played_ms=5)
    data = dataset(log, times=False)
    reference = fit_reference(data, CONFIG)
    state = SessionState(reference)
    for event in log:
        state.update(Play(data.item_ids.row(event.item), played_ms=5, skipped=False))
    expected = session_features_at(data, [0], None, reference)[0]
    np.testing.assert_array_equal(state.features(None), expected)


def test_a_catalogue_without_genres_has_no_diversity() -> None:
    events = pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "timestamp": [START]})
    data = Dataset.build(events)
    features = session_features(data, START + timedelta(days=1), fit_reference(data))
    assert features["genre_diversity"].is_nan().all()
    assert features["skip_rate"].is_nan().all()
    assert features["listening_intensity"].is_nan().all()
    assert features["repeat_rate"].to_list() == [0]


def test_the_frame_has_a_row_for_every_user() -> None:
    data = dataset(heard(("a", 0)))
    frame = session_features(data, START + timedelta(days=1), fit_reference(data, CONFIG))
    assert frame.columns == ["user_row", *SESSION_FEATURE_NAMES]
    assert frame["user_row"].to_list() == [0, 1, 2]


def test_a_stranger_has_no_past() -> None:
    data = dataset(heard(("a", 0)))
    reference = fit_reference(data, CONFIG)
    values = session_features_at(data, [-1], np.array([minute_us(DAY)]), reference)
    np.testing.assert_array_equal(values[0], SessionState(reference).features(minute_us(DAY)))


def test_nobody_asking_gives_no_rows() -> None:
    data = dataset(heard(("a", 0)))
    none = np.zeros(0, dtype=np.int64)
    assert session_features_at(data, [], none, reference_of(heard(("a", 0)))).shape == (0, 18)


def test_a_saved_reference_is_the_same_reference() -> None:
    log = heard(("a", 0), ("b", 31), ("c", 40 * DAY), ("a", 41 * DAY), skipped=True)
    reference = reference_of(log)
    again = SessionReference.from_arrays(reference.to_arrays(), reference.config)
    moment = START + timedelta(days=50)
    np.testing.assert_array_equal(
        matrix(session_features(dataset(log), moment, again)),
        matrix(session_features(dataset(log), moment, reference)),
    )
    assert again.fitted_until_us == minute_us(41 * DAY) + 1


def test_windows_are_settings() -> None:
    log = heard(("a", 0), ("b", 3 * DAY))
    reference = fit_reference(dataset(log), SessionFeatureConfig(recent_days=2))
    assert np.isnan(features_of(log, 6 * DAY, reference)["exploration_score"])


def test_a_reference_of_another_catalogue_is_refused() -> None:
    other = Dataset.build(pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "timestamp": [START]}))
    with pytest.raises(DataError, match="knows 1 items, dataset has 5"):
        session_features(dataset(heard(("a", 0))), START, fit_reference(other))


def test_a_moment_is_wanted_exactly_where_there_are_times() -> None:
    log = heard(("a", 0))
    reference = reference_of(log)
    with pytest.raises(DataError, match="say as of when"):
        session_features(dataset(log), None, reference)
    with pytest.raises(DataError, match="leave as_of out"):
        session_features(dataset(log, times=False), START, reference)


def test_a_live_state_refuses_what_it_cannot_know() -> None:
    reference = reference_of(heard(("a", 0)))
    state = SessionState(reference)
    state.update(Play(item_row=0, time_us=minute_us(10)))
    with pytest.raises(DataError, match="in order of time"):
        state.update(Play(item_row=0, time_us=minute_us(9)))
    with pytest.raises(DataError, match="give all of them one"):
        state.update(Play(item_row=0))
    with pytest.raises(DataError, match="outside the catalogue of 5"):
        state.update(Play(item_row=5, time_us=minute_us(11)))
    with pytest.raises(DataError, match="cannot look back"):
        state.features(minute_us(10))
    assert state.n_plays == 1
    assert state.last_us == minute_us(10)
