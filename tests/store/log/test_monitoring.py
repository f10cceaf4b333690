"""What a monitor reads of a log and leaves there, on each database."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from crossfade.errors import ConflictError, DataError, StoreError
from crossfade.store.log import (
    Features,
    Impression,
    ImpressionItem,
    Log,
    NewEvent,
    Shadow,
    StoredReport,
)

NOW = 1_700_000_000_000_000
FEATURES = Features.of(
    ("n", "age"), ("fame",), np.array([1, np.nan], np.float32), np.ones((2, 1), np.float32)
)


def shown(request_id: str, time_us: int = NOW, version: str = "v1") -> Impression:
    items = [ImpressionItem("a", 1, 0.5), ImpressionItem("b", 2, 0.25)]
    shadow = Shadow(["b", "c"], adapted=True, chance=0.9)
    return Impression(
        request_id, time_us, version, "blend", items, "ann", features=FEATURES, shadow=shadow
    )


@given(
    arrays.arrays(np.float32, st.integers(0, 5)),
    arrays.arrays(np.float32, st.tuples(st.integers(0, 4), st.integers(1, 5))),
)
def test_features_come_back_to_the_last_bit(request_values: np.ndarray, items: np.ndarray) -> None:
    names = [[f"f{at}" for at in range(n)] for n in (len(request_values), items.shape[1])]
    told = Features.of(names[0], names[1], request_values, items)
    back = told.values()
    np.testing.assert_array_equal(back[0], request_values)
    np.testing.assert_array_equal(back[1], items)
    assert told == Features.of(names[0], names[1], request_values, items)


@pytest.mark.parametrize("chance", [0.0, -0.1, 1.1, float("nan")])
def test_a_shadow_has_a_chance(chance: float) -> None:
    with pytest.raises(DataError, match="chance must be"):
        Shadow([], adapted=False, chance=chance)


def test_values_of_other_names_are_refused() -> None:
    with pytest.raises(StoreError, match="4 features are not those of 5 names"):
        Features(("n",) * 5, ("fame",), FEATURES.packed).values()


def test_an_impression_keeps_what_the_blend_was_told(log: Log) -> None:
    bare = replace(shown("r2"), features=None, shadow=None)
    log.add_impressions([shown("r1"), bare])
    log.add_impressions([shown("r1")])  # the same again is no conflict
    assert log.impression("r1") == shown("r1")
    assert log.impression("r2") == bare
    assert sorted(one.request_id for one in log.impressions_of(user_id="ann")) == ["r1", "r2"]


def test_features_of_one_version_have_one_set_of_names(log: Log) -> None:
    log.add_impressions([shown("r1")])
    other = replace(FEATURES, request_names=("n", "weight"))
    with pytest.raises(ConflictError, match="features of version v1 have other names"):
        log.add_impressions([replace(shown("r2"), features=other)])
    log.add_impressions([replace(shown("r2", version="v2"), features=other)])
    found = log.impression("r2")
    assert found is not None
    assert found.features == other


def test_a_window_holds_its_beginning_and_not_its_end(log: Log) -> None:
    log.add_impressions([shown("r3", 1), shown("r1", 2), shown("r2", 3), shown("r4", 2, "v2")])
    log.append([NewEvent("a", time_us, "ann") for time_us in (3, 1, 2)], NOW)
    read = log.monitoring
    assert [one.request_id for one in read.impressions("v1", 1, 3, 10)] == ["r1", "r3"]
    assert [one.request_id for one in read.impressions("v1", 1, 4, 2)] == ["r1", "r2"]
    assert read.methods("v1", 1, 3) == {"blend": 2}
    assert [one.event.time_us for one in read.events(1, 3)] == [1, 2]


def test_reports_come_newest_first_and_one_moment_has_one(log: Log) -> None:
    for time_us, version, report in ((1, "v1", "{}"), (3, "v1", "[]"), (2, "v2", "{}")):
        log.monitoring.add_report(StoredReport(time_us, version, report))
    log.monitoring.add_report(StoredReport(3, "v1", "{}"))
    assert [one.time_us for one in log.monitoring.reports()] == [3, 2, 1]
    assert log.monitoring.reports("v1", 1) == [StoredReport(3, "v1", "{}")]


def test_features_go_with_the_person_they_are_of(log: Log) -> None:
    log.add_impressions([shown("r1")])
    log.forget(user_id="ann", now_us=NOW)
    assert log.impression("r1") is None
    assert log.monitoring.impressions("v1", 0, 2 * NOW, 10) == []
