"""Sets of candidates that hold what is wanted as often as they promise."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from crossfade.calibration.base import finite_or_missing
from crossfade.errors import DataError
from crossfade.types import Arrays, Bools, Doubles, Ints


@dataclass(frozen=True, eq=False)
class ConformalSets:
    """Every candidate whose score reaches a threshold, the same for all or one per group.

    Attributes:
        alpha: Share of wanted candidates that may be left out, in (0, 1).
        group: Known groups, ascending, shape ``(G,)``; empty where one threshold serves all.
        threshold: One per group, or one in all; −inf where too few wanted candidates were seen to
            promise anything with less than everything.
    """

    alpha: float
    group: Ints
    threshold: Doubles

    @classmethod
    def fit(
        cls,
        score: NDArray[Any],
        label: NDArray[Any],
        alpha: float,
        *,
        request: NDArray[Any] | None = None,
        group: Ints | None = None,
    ) -> "ConformalSets":
        """The highest threshold that keeps the promise.

        A next wanted candidate, exchangeable with the n seen here, is in the set with a
        probability of at least 1 − alpha: at most ``alpha (n + 1) − 1`` of the n may be below the
        threshold, the next one counting as one more. Without ties it is at most
        ``1 − alpha + 1 / (n + 1)``.

        Wanted candidates of one request are not independent. With ``request``, each request
        counts once, shared among what it wanted, and the promise is about a wanted candidate
        drawn from a next request; without, it is about wanted candidates as they come, and the
        one word exchangeable says more than real lists can keep.

        Args:
            score: Any shape, higher is likelier; scores or probabilities. A wanted candidate without
                a score (NaN) is below every threshold.
            label: Which candidates were wanted, same shape.
            alpha: In (0, 1).
            request: Whose each candidate is, same shape; None where each stands for itself.
            group: Kind of each candidate, same shape, such as from `groups`: then the promise
                holds inside every kind, at the price of larger sets.

        Raises:
            DataError: If scores are infinite, or nothing is wanted.
            ValueError: If alpha is outside (0, 1) or the shapes differ.

        Source:
            Vovk, Gammerman and Shafer (2005), "Algorithmic Learning in a Random World", §4.5;
            Lee, Barber and Willett (2023), "Distribution-free Inference with Hierarchical Data",
            for requests.
        """
        if not 0 < alpha < 1:
            raise ValueError(f"alpha must be between 0 and 1, got {alpha}")
        score, label = np.asarray(score), np.asarray(label)
        for array in (label, request, group):
            if array is not None and array.shape != score.shape:
                raise ValueError(f"shapes {array.shape} and {score.shape} must match")
        wanted = label.astype(np.bool_)
        values = finite_or_missing(score)[wanted]
        if not len(values):
            raise DataError(f"none of {score.size:,} candidates is wanted; take a longer block")
        values = np.where(np.isnan(values), -np.inf, values)
        owner = np.arange(len(values)) if request is None else request[wanted]
        if group is None:
            return cls(alpha, np.zeros(0, np.int64), np.array([_threshold(values, owner, alpha)]))
        kinds = np.unique(group[wanted]).astype(np.int64)
        inside = [group[wanted] == kind for kind in kinds]
        return cls(alpha, kinds, np.array([_threshold(values[i], owner[i], alpha) for i in inside]))

    def contains(self, score: NDArray[Any], group: Ints | None = None) -> Bools:
        """Which candidates are in the sets, of the shape of ``score``.

        A candidate of a kind that was never wanted before is always in, and one without a score only
        where everything is: less could not keep the promise.

        Raises:
            DataError: If scores are infinite.
            ValueError: If groups are given to sets without, or the other way round.
        """
        if (group is None) != (len(self.group) == 0):
            raise ValueError("give groups to sets that were fitted on groups, and to no others")
        values = finite_or_missing(np.asarray(score))
        if group is None:
            threshold = np.broadcast_to(self.threshold, values.shape)
        else:
            place = np.minimum(np.searchsorted(self.group, group), len(self.group) - 1)
            threshold = np.where(self.group[place] == group, self.threshold[place], -np.inf)
        inside: Bools = (values >= threshold) | (threshold == -np.inf)
        return inside

    def state(self) -> Arrays:
        """Everything `restore` needs, as named arrays."""
        return {"alpha": np.array([self.alpha]), "group": self.group, "threshold": self.threshold}

    @classmethod
    def restore(cls, state: Arrays) -> "ConformalSets":
        """The inverse of `state`."""
        alpha = float(state["alpha"].astype(np.float64)[0])
        return cls(alpha, state["group"].astype(np.int64), state["threshold"].astype(np.float64))


def _threshold(values: Doubles, owner: NDArray[Any], alpha: float) -> float:
    """The highest value with no more below it than alpha allows; −inf where that is none."""
    _, place, size = np.unique(owner, return_inverse=True, return_counts=True)
    order = np.argsort(values)
    values, weight = values[order], (1 / size[place])[order]
    first = np.searchsorted(values, values, side="left")  # equal values are not below each other
    below = np.concatenate([[0.0], np.cumsum(weight)])[first]
    # The tolerance is for sums: 0.05 × 20 − 1 must be 0, not −1e-16.
    allowed = below <= alpha * (len(size) + 1) - 1 + 1e-9
    return float(values[allowed].max(initial=-np.inf))


@dataclass(frozen=True)
class Coverage:
    """How sets did on requests they were not fitted on.

    Attributes:
        share: Of wanted candidates that were inside; NaN where nothing was wanted.
        low: Lower end of its interval: bootstrap over requests, or the exact binomial one, which
            takes wanted candidates as independent.
        high: Upper end.
        by_request: Mean over requests of the share of what each wanted.
        n_wanted: Wanted candidates.
        mean_size: Candidates in the set of a request, on average.
    """

    share: float
    low: float
    high: float
    by_request: float
    n_wanted: int
    mean_size: float


def coverage(
    inside: Bools,
    label: NDArray[Any],
    request: NDArray[Any],
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> Coverage:
    """Measure sets.

    Args:
        inside: From `ConformalSets.contains`, any shape; False for padding.
        label: Which candidates were wanted, same shape.
        request: Whose each is, same shape.
        level: Of the interval.
        rng: Draws requests, which is the wider and the honest interval where one request wants
            several; None gives the binomial one.
    """
    wanted = label.astype(np.bool_).ravel()
    _, owner = np.unique(request.ravel(), return_inverse=True)
    hit = inside.ravel() & wanted
    n, n_hits = int(wanted.sum()), int(hit.sum())
    per_request = np.bincount(owner, weights=wanted)
    some = per_request > 0
    hits = np.bincount(owner, weights=hit)[some].astype(np.float64)
    shares = hits / per_request[some]
    low, high = binomial_interval(n_hits, n, level)
    if rng is not None and n:
        low, high = _between_requests(hits, per_request[some].astype(np.float64), level, rng)
    return Coverage(
        share=n_hits / n if n else np.nan,
        low=low,
        high=high,
        by_request=float(shares.mean()) if n else np.nan,
        n_wanted=n,
        mean_size=float(inside.sum() / len(per_request)) if len(per_request) else np.nan,
    )


def _between_requests(
    hits: Doubles, wanted: Doubles, level: float, rng: np.random.Generator, resamples: int = 1_000
) -> tuple[float, float]:
    """Percentiles of the share over requests drawn with replacement; NaN with less than two."""
    if len(hits) < 2:
        return np.nan, np.nan
    drawn = np.empty(resamples)
    for place in range(resamples):
        which = rng.integers(0, len(hits), len(hits))
        drawn[place] = hits[which].sum() / wanted[which].sum()
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def binomial_interval(n_hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Shares that could have given this many hits, both tails exact; NaN where n is 0.

    Source:
        Clopper and Pearson (1934), "The Use of Confidence or Fiducial Limits".
    """
    if n == 0:
        return np.nan, np.nan
    tail = (1 - level) / 2
    low = float(betaincinv(n_hits, n - n_hits + 1, tail)) if n_hits else 0.0
    high = float(betaincinv(n_hits + 1, n - n_hits, 1 - tail)) if n_hits < n else 1.0
    return low, high
