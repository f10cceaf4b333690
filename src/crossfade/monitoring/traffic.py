"""How long requests took and how many failed, of what the service counted by hour and route."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import sqrt

import numpy as np

from crossfade.monitoring.measure import Measure, Z
from crossfade.store.log import SECONDS, Answered

BOUNDS_US = np.array([0, *(round(bound * 1e6) for bound in SECONDS)])


def traffic(counts: Sequence[Answered]) -> Iterator[Measure]:
    """Requests, shares of them that failed and were refused, and times of those that were done, by route.

    ``n`` is requests. A time lies between the bounds of its count, where requests are taken to be spread
    evenly; the last count has no upper bound and gives its lower one.
    """
    by_route: dict[str, list[Answered]] = defaultdict(list)
    for one in counts:
        by_route[one.route].append(one)
    for route, some in by_route.items():
        total = sum(one.n for one in some)
        yield Measure(name="requests", of=route, value=total, n=total)
        for outcome in ("failed", "refused"):
            yield _share(
                outcome, route, sum(one.n for one in some if one.outcome == outcome), total
            )
        done = {one.at_most_us: one.n for one in some if one.outcome == "done"}
        if done:
            yield _seconds("seconds_p50", route, done, 0.5)
            yield _seconds("seconds_p99", route, done, 0.99)


def _share(name: str, of: str, n: int, total: int) -> Measure:
    """With Wilson's interval."""
    share, slack = n / total, Z**2 / total
    middle = (share + slack / 2) / (1 + slack)
    reach = Z * sqrt(share * (1 - share) / total + slack / (4 * total)) / (1 + slack)
    low, high = max(0.0, middle - reach), min(1.0, middle + reach)
    return Measure(name=name, of=of, value=share, low=low, high=high, n=total)


def _seconds(name: str, of: str, counts: dict[int, int], share: float) -> Measure:
    """A quantile, between those whose ranks chance could as well have put there."""
    n = sum(counts.values())
    reach = Z * sqrt(share * (1 - share) / n)
    low, value, high = (
        quantile(counts, min(max(share + by, 0.0), 1.0)) for by in (-reach, 0, reach)
    )
    return Measure(name=name, of=of, value=value, low=low, high=high, n=n)


def quantile(counts: dict[int, int], share: float) -> float:
    """The time in seconds that a share of requests took at most, from how many there were up to each bound.

    Args:
        counts: By upper bound in microseconds; one or more.
        share: In [0, 1].
    """
    bounds = sorted(counts)
    sizes = np.array([counts[bound] for bound in bounds])
    ends = np.cumsum(sizes)
    rank = share * ends[-1]
    at = int(np.searchsorted(ends, rank))
    lower = float(BOUNDS_US[np.searchsorted(BOUNDS_US, bounds[at]) - 1])
    upper = float(bounds[at]) if bounds[at] <= BOUNDS_US[-1] else lower
    part = (rank - (ends[at] - sizes[at])) / sizes[at]
    return float(lower + part * (upper - lower)) / 1e6
