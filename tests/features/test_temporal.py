"""Temporal context by hand."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from tests.features.logs import dataset, heard, minute_us

from crossfade.data.dataset import to_us
from crossfade.features import (
    NO_TIME,
    TEMPORAL_FEATURE_NAMES,
    last_event_us,
    temporal_context,
)

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


def context(moment: datetime | None, last: datetime | None = None) -> dict[str, float]:
    us = [NO_TIME if x is None else to_us(x) for x in (moment, last)]
    row = temporal_context(np.array(us[:1]), np.array(us[1:]))[0]
    return dict(zip(TEMPORAL_FEATURE_NAMES, row.tolist(), strict=True))


@pytest.mark.parametrize(
    ("moment", "name", "turn"),
    [
        (MONDAY, "hour", 0.0),
        (MONDAY + timedelta(hours=6), "hour", 0.25),
        (MONDAY + timedelta(hours=21), "hour", 0.875),
        (MONDAY, "weekday", 0.0),
        (MONDAY + timedelta(days=3, hours=12), "weekday", 0.5),
        (MONDAY + timedelta(days=7), "weekday", 0.0),
        (MONDAY, "season", 0.0),
        (MONDAY + timedelta(days=183), "season", 0.5),  # 2024 has 366 days
        (datetime(1965, 7, 2, 12, tzinfo=UTC), "season", 0.5),  # before 1970, 365 days
    ],
)
def test_clock_week_and_year_are_circles(moment: datetime, name: str, turn: float) -> None:
    values = context(moment)
    assert values[f"{name}_sin"] == pytest.approx(np.sin(2 * np.pi * turn), abs=1e-6)
    assert values[f"{name}_cos"] == pytest.approx(np.cos(2 * np.pi * turn), abs=1e-6)


def test_recency_is_the_log_of_days_since_the_last_event() -> None:
    assert context(MONDAY, MONDAY - timedelta(days=3))["recency"] == pytest.approx(np.log(4))
    assert np.isnan(context(MONDAY)["recency"])


def test_without_times_all_is_missing() -> None:
    assert np.isnan(list(context(None, MONDAY).values())).all()


def test_rows_do_not_touch_one_another() -> None:
    moments = np.array([to_us(MONDAY), NO_TIME, to_us(MONDAY + timedelta(days=1))])
    last = np.array([NO_TIME, NO_TIME, to_us(MONDAY)])
    together = temporal_context(moments, last)
    for row in range(3):
        alone = temporal_context(moments[[row]], last[[row]])[0]
        np.testing.assert_array_equal(together[row], alone)


def test_an_event_at_as_of_is_refused() -> None:
    with pytest.raises(ValueError, match="1 of 1 last events are not before"):
        context(MONDAY, MONDAY)


def test_last_events_come_from_the_history_of_a_request() -> None:
    data = dataset(heard(("a", 0), ("b", 5), ("c", 9)))
    queries = data.queries([0, 0, 1], np.array([minute_us(9), minute_us(0), minute_us(9)]))
    assert last_event_us(queries).tolist() == [minute_us(5), NO_TIME, NO_TIME]
    assert last_event_us(dataset(heard(("a", 0)), times=False).queries([0])).tolist() == [NO_TIME]
