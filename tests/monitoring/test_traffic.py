"""Times and errors of requests, from how many there were up to each bound."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.monitoring.alerts import RULES, broken
from crossfade.monitoring.traffic import quantile, traffic
from crossfade.store.log import SECONDS, Answered, Outcome
from crossfade.store.log.rows import MOST

LISTS = "POST /v1/recommendations"


def counted(n: int, at_most_us: int, outcome: Outcome = "done", route: str = LISTS) -> Answered:
    return Answered(0, route, outcome, at_most_us, n)


def bound(seconds: float) -> int:
    return next((round(one * 1e6) for one in SECONDS if seconds <= one), MOST)


@given(st.lists(st.floats(0, 9.9), min_size=1, max_size=50), st.floats(0, 1))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(times: list[float], share: float) -> None:
    counts = dict(zip(*np.unique([bound(one) for one in times], return_counts=True), strict=True))
    found = quantile({int(k): int(n) for k, n in counts.items()}, share)
    true = float(np.quantile(times, share, method="inverted_cdf"))
    top = bound(true) / 1e6
    below = max([0.0, *(one for one in SECONDS if one < top)])
    assert below <= found <= top


@pytest.mark.parametrize(
    ("counts", "share", "seconds"),
    [
        ({10_000: 100}, 0.5, 0.0075),  # halfway from 5 to 10 ms
        ({10_000: 100}, 1.0, 0.010),
        ({10_000: 50, 60_000: 50}, 0.75, 0.050),  # 40 to 60 ms, whatever lies between is empty
        ({10_000: 99, MOST: 1}, 1.0, 10.0),  # nobody knows by how much longer
        ({1_000: 4}, 0.5, 0.0005),
    ],
)
def test_times_are_spread_evenly_within_a_count(
    counts: dict[int, int], share: float, seconds: float
) -> None:
    assert quantile(counts, share) == pytest.approx(seconds)


def test_a_route_is_told_by_its_requests_its_errors_and_its_times() -> None:
    counts = [
        counted(900, 10_000),
        counted(60, 500_000),
        counted(30, 1_000, "refused"),
        counted(10, 1_000, "failed"),
        counted(5, MOST, "failed", "GET /v1/similar-items"),
    ]
    found = {one.key: one for one in traffic(counts)}
    assert found["requests", LISTS].value == 1_000
    assert found["failed", LISTS].value == pytest.approx(0.01)
    assert found["refused", LISTS].value == pytest.approx(0.03)
    failed = found["failed", LISTS]
    assert failed.low == pytest.approx(0.00544, abs=1e-5)
    assert failed.high == pytest.approx(0.01831, abs=1e-5)
    assert found["seconds_p50", LISTS].n == 960  # of those that were done
    assert found["seconds_p50", LISTS].value == pytest.approx(0.005 + 0.005 * 480 / 900)
    p99 = found["seconds_p99", LISTS]
    assert p99.low is not None
    assert p99.value is not None
    assert p99.high is not None
    assert 0.2 < p99.low < p99.value < p99.high <= 0.5
    assert found["failed", "GET /v1/similar-items"].value == 1
    assert ("seconds_p50", "GET /v1/similar-items") not in found
    assert list(traffic([])) == []


@pytest.mark.parametrize(
    ("counts", "alerts"),
    [
        ([counted(1_000, 10_000)], set()),
        ([counted(990, 10_000), counted(10, 10_000, "failed")], set()),  # chance does that
        ([counted(960, 10_000), counted(40, 10_000, "failed")], {"requests_fail"}),
        ([counted(700, 10_000), counted(300, 10_000, "refused")], {"requests_refused"}),
        ([counted(900, 10_000), counted(100, 2_000_000)], {"slow_answers"}),
        ([counted(20, 2_000_000)], set()),  # too few to say
    ],
)
def test_alerts_are_raised_by_errors_and_by_slowness(
    counts: list[Answered], alerts: set[str]
) -> None:
    assert {one.rule for one in broken(list(traffic(counts)), RULES)} == alerts
