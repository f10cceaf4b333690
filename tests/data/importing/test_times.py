"""Every usual spelling of a time, and what is refused."""

from datetime import UTC, date, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.data.importing.times import TimeReader

NOW = datetime(2024, 1, 1, tzinfo=UTC)
MOMENT = datetime(2015, 1, 2, 10, 14, 5, tzinfo=UTC)


def read(*values: object, form: str | None = None) -> list[datetime | None]:
    times, _ = TimeReader("when", form, NOW).read(pl.Series(values, strict=False))
    return times.to_list()


@pytest.mark.parametrize(
    "text",
    [
        "2015-01-02T10:14:05Z",
        "2015-01-02 10:14:05Z",
        "2015-01-02T11:14:05+01:00",
        "2015-01-02T05:14:05-0500",
        "2015-01-02 10:14:05",
        "2015-01-02T10:14:05",
        "2015-01-02T10:14:05.000",
        "2015-01-02 10:14:05 UTC",
        "2015-01-02 10:14:05+00",
        "2015-01-02 12:14:05.000+02",
        " 2015-01-02 10:14:05 ",
        "1420193645",
        "1420193645.0",
        "1420193645000",
        "1420193645000000",
    ],
)
def test_one_moment_in_many_spellings(text: str) -> None:
    assert read(text) == [MOMENT]


def test_minutes_days_and_fractions() -> None:
    assert read("2015-01-02 10:14") == [MOMENT.replace(second=0)]
    assert read("2015-01-02") == [datetime(2015, 1, 2, tzinfo=UTC)]
    assert read("2015-01-02T10:14:05.25Z") == [MOMENT + timedelta(milliseconds=250)]


def test_a_format_of_ones_own() -> None:
    assert read("02 Jan 2015, 10:14", form="%d %b %Y, %H:%M") == [MOMENT.replace(second=0)]


def test_typed_columns_keep_their_moment() -> None:
    berlin = MOMENT.astimezone(timezone(timedelta(hours=1)))
    assert read(date(2015, 1, 2)) == [datetime(2015, 1, 2, tzinfo=UTC)]
    assert read(MOMENT.replace(tzinfo=None)) == [MOMENT]
    zoned = pl.Series([berlin]).dt.convert_time_zone("Europe/Berlin")
    assert TimeReader("when", None, NOW).read(zoned)[0].to_list() == [MOMENT]


def test_the_unit_is_decided_once_and_kept() -> None:
    reader = TimeReader("when", None, NOW)
    reader.read(pl.Series(["1420193645", "1420193646"]))
    assert reader.describe() == "Unix seconds"
    times, faults = reader.read(pl.Series(["1420193645000"]))
    assert times.to_list() == [None]  # as seconds that is the year 46974
    assert [fault.check for fault in faults if fault.bad.any()] == ["future_timestamp"]


def test_the_first_row_decides_about_zones() -> None:
    reader = TimeReader("when", None, NOW)
    _, faults = reader.read(pl.Series(["2015-01-02 10:14:05", "2015-01-02 10:14:05Z"]))
    (mixed,) = [fault for fault in faults if fault.bad.any()]
    assert (mixed.check, mixed.bad.to_list()) == ("mixed_time_zones", [False, True])


def test_nonsense_neither_decides_about_zones_nor_counts_as_mixed() -> None:
    reader = TimeReader("when", None, NOW)
    times, faults = reader.read(pl.Series(["soon", "2015-01-02 10:14:05Z", "later"]))
    assert times.to_list() == [None, MOMENT, None]
    (bad,) = [fault for fault in faults if fault.bad.any()]
    assert (bad.check, bad.bad.to_list()) == ("bad_timestamp", [True, False, True])


def test_different_zones_are_not_mixed() -> None:
    assert read("2015-01-02T10:14:05Z", "2015-01-02T11:14:05+01:00") == [MOMENT, MOMENT]


def test_the_very_moment_of_now_is_not_the_future() -> None:
    _, faults = TimeReader("when", None, NOW).read(pl.Series([NOW, NOW + timedelta(seconds=1)]))
    (future,) = [fault for fault in faults if fault.bad.any()]
    assert (future.check, future.bad.to_list()) == ("future_timestamp", [False, True])


@given(
    st.lists(st.datetimes(datetime(1971, 1, 1), datetime(2023, 12, 31)), min_size=1),
    st.sampled_from(
        ["%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S.%f+00:00"]
    ),
)
def test_iso_times_come_back_to_the_microsecond(moments: list[datetime], form: str) -> None:
    expected = [moment.replace(tzinfo=UTC) for moment in moments]
    assert read(*[moment.strftime(form) for moment in moments]) == expected
