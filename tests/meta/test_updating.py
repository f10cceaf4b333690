"""What tells one version's log from the next, and what is refused as no continuation."""

import polars as pl
import pytest

from crossfade.data import Dataset, Target
from crossfade.errors import DataError
from crossfade.meta.updating import change_since

EVENTS = pl.DataFrame(
    {
        "user_id": ["bob", "cid", "bob", "ann"],
        "item_id": ["m", "n", "n", "a"],
        "timestamp": ["2024-05-01", "2024-05-02", "2024-05-03", "2024-05-04"],
    }
).with_columns(pl.col("timestamp").str.to_datetime(time_zone="UTC"))


def log(events: pl.DataFrame = EVENTS, name: str = "log") -> Dataset:
    return Dataset.build(events, name=name)


OLD = log(EVENTS.head(3))
DAY_US = 86_400_000_000


def test_rows_point_back_and_new_ones_point_nowhere() -> None:
    # Sorted ids: items m, n then a, m, n; users bob, cid then ann, bob, cid.
    change = change_since(OLD, log(), "v1")
    assert change.item_rows.tolist() == [-1, 0, 1]
    assert change.user_rows.tolist() == [-1, 0, 1]
    assert OLD.time_us is not None
    assert OLD.time_us[-1] < change.since_us <= OLD.time_us[-1] + DAY_US


def test_the_same_log_has_nothing_to_update() -> None:
    with pytest.raises(DataError, match=r"no event after 2024-05-03 .* version v1 knows.*import"):
        change_since(OLD, OLD, "v1")


def test_an_older_log_has_nothing_to_update() -> None:
    with pytest.raises(DataError, match="nothing to update"):
        change_since(log(), OLD, "v1")


def test_every_sign_of_another_data_set_is_told_at_once() -> None:
    other = log(EVENTS.with_columns(item_id=pl.lit("x"), user_id=pl.lit("y")), name="films")
    other = other.with_target(Target(skips_count=True, name="plays"))
    with pytest.raises(DataError) as caught:
        change_since(OLD, other, "v1")
    message = str(caught.value)
    assert message.startswith("films is no continuation of what version v1 was fitted on: ")
    for part in (
        'that was called "log", this "films"',
        'the target was "engages"',
        "only 0 of its 2 items are here",
        "only 0 of its 2 users are here",
        "or fit in full",
    ):
        assert part in message


def test_a_log_without_times_is_refused() -> None:
    untimed = log(EVENTS.drop("timestamp"))
    with pytest.raises(DataError, match="events have no times"):
        change_since(OLD, untimed, "v1")


def test_an_item_taken_off_the_catalogue_is_no_fault() -> None:
    gone = log(EVENTS.filter(pl.col("item_id") != "m"))
    change = change_since(OLD, gone, "v1")
    assert change.item_rows.tolist() == [-1, 1]
