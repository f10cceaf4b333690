"""What the classic blends share: checks, weighted means, min-max, ridge in closed form."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from crossfade.errors import DataError, NotFittedError
from crossfade.fusion.base import Fused, Fusion, LabelledSignals, Signals, refuse
from crossfade.fusion.scaling import Scaling
from crossfade.fusion.static import list_ndcg
from crossfade.threads import one_blas_thread
from crossfade.types import Bools, Doubles, Floats

DEPTH = 10
"""Of the list whose NDCG chooses between settings."""

SCALES: tuple[Scaling, ...] = ("zscore", "reciprocal_rank")

ROWS_AT_ONCE = 20_000
"""Candidates whose features are held at once."""

LARGEST = 1e6
"""No z score of a million items is beyond 1,000; what is has not been scaled."""

T = TypeVar("T")


# -- checks ----------------------------------------------------------------------------


def fitted(value: T | None, name: str) -> T:
    """The value, or `NotFittedError` where there is none yet."""
    if value is None:
        raise NotFittedError(f"{name} has not been fitted; call fit(train, validation) first")
    return value


def scaled(signals: Signals, scaling: Scaling, name: str) -> Floats:
    """Scores on one of the two scales, ``(B, L, S)``.

    Raises:
        DataError: If the signals have no reciprocal ranks.
    """
    if scaling == "zscore":
        return signals.score
    if signals.reciprocal_rank is None:
        raise DataError(
            f"{name} needs reciprocal ranks, these signals have only z scores; "
            "make them with fusion.scaling.reciprocal_rank from each base's whole list"
        )
    return signals.reciprocal_rank


def scales_of(signals: Signals) -> tuple[Scaling, ...]:
    """The scales that the signals have."""
    return SCALES if signals.reciprocal_rank is not None else ("zscore",)


def user_context(signals: Signals, name: str) -> Floats:
    """What is known of each request, ``(B, Cu)``.

    Raises:
        DataError: If nothing is.
    """
    if signals.user is None or not signals.columns.user:
        raise DataError(f"{name} needs user columns, these signals have none; add the context")
    return signals.user


def item_context(signals: Signals, name: str) -> Floats:
    """What is known of each candidate, ``(B, L, Ci)``.

    Raises:
        DataError: If nothing is.
    """
    if signals.item is None or not signals.columns.item:
        raise DataError(f"{name} needs item columns, these signals have none; add the context")
    return signals.item


def wanted_lists(labelled: LabelledSignals, name: str) -> LabelledSignals:
    """The requests with a wanted candidate that some base can score: the others teach no order.

    Raises:
        DataError: If there is none.
    """
    there = labelled.signals.scored
    places = np.flatnonzero((labelled.relevant & there).any(axis=1))
    if not len(places):
        raise DataError(
            f"{name}: no base can score a wanted candidate of any of {len(labelled):,} requests; "
            "take more candidates, a longer block or other bases"
        )
    return labelled.take(places)


def check_scale(signals: Signals, name: str) -> None:
    """Raise unless the scores are on a scale that a network can read, as z scores are.

    Raises:
        DataError: If one is beyond `LARGEST`.
    """
    if signals.largest > LARGEST:
        large = (np.abs(signals.score) > LARGEST) & signals.mask[:, :, None]
        refuse(large, signals, name, f"scores beyond {LARGEST:,.0f}; scale them with zscore, or")


# -- measuring and choosing ------------------------------------------------------------


def quality(score: Floats, labelled: LabelledSignals) -> float:
    """Mean NDCG@10 of blended scores over the requests."""
    return float(list_ndcg(score, labelled.relevant, labelled.n_relevant, DEPTH).mean())


F = TypeVar("F", bound=Fusion)


def best_on(validation: LabelledSignals, options: Iterator[F], name: str) -> F:
    """The option with the highest NDCG@10 on the validation lists, the first of equals.

    Raises:
        DataError: If no validation request has a wanted candidate, as then nothing can choose.
    """
    check_validation(validation, name)
    best: tuple[float, F] | None = None
    for option in options:
        value = quality(option.forward(validation.signals).score, validation)
        if best is None or value > best[0]:
            best = (value, option)
    assert best is not None, "there is always an option"
    return best[1]


def check_validation(validation: LabelledSignals, name: str) -> None:
    """Raise `DataError` unless some validation request has a wanted candidate."""
    if not validation.relevant.any():
        raise DataError(
            f"{name}: none of {len(validation):,} validation requests has a wanted item among its "
            "candidates, so nothing can be chosen by them; take a longer block or more candidates"
        )


# -- blending --------------------------------------------------------------------------


def weighted(score: Floats, available: Bools, pull: Doubles | Floats) -> Fused:
    """Weighted mean of the scores of the bases that are there.

    Summed base by base, because the rounding of a matrix product depends on the batch.

    Args:
        score: Shape ``(B, L, S)``.
        available: Where it counts, same shape.
        pull: Unnormalised weights, above 0 where available; broadcast to the same shape.
    """
    there = available & (pull > 0)
    raw = np.where(there, pull, 0.0)
    total = sum_of_bases(raw)[:, :, None]
    weights = np.divide(raw, total, out=np.full(raw.shape, np.nan), where=total > 0)
    mean = sum_of_bases(weights * np.where(there, score, 0.0))
    return Fused(mean.astype(np.float32), weights.astype(np.float32))


def sum_of_bases(values: Doubles) -> Doubles:
    """Sum over the last axis, ``(B, L)``, always in the same order; NaN if one is."""
    total = np.zeros(values.shape[:2])
    for base in range(values.shape[2]):
        total += values[:, :, base]
    return total


def without_weights(score: Doubles, signals: Signals) -> Fused:
    """A score that is no weighted mean of bases: its weights are NaN throughout.

    Args:
        score: Shape ``(B, L)``; becomes NaN where no base is there.
        signals: What was scored.
    """
    kept = np.where(signals.scored, score, np.nan).astype(np.float32)
    return Fused(kept, np.full(signals.score.shape, np.nan, dtype=np.float32))


def above_lowest(score: Floats, available: Bools, *, to_one: bool) -> Floats:
    """Distance of each score from the lowest of its base in the request, ``(B, L, S)``.

    Args:
        score: Shape ``(B, L, S)``.
        available: Same shape.
        to_one: Also divide by the range, so that the best is 1 (min-max).

    Returns:
        0 or more; 0 for the lowest, for every score of a constant base, and where there is none.
    """
    low = np.where(available, score, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    distance: Floats = np.subtract(score, low, out=np.zeros_like(score), where=available)
    if to_one:
        high = distance.max(axis=1, keepdims=True, initial=0)
        np.divide(distance, high, out=distance, where=high > 0)
    return distance


# -- ridge -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Normal:
    """What a linear regression needs to know of its rows.

    Attributes:
        gram: Mean outer product of the features, first of which is 1, ``(C + 1, C + 1)``.
        moment: Mean product of feature and target, ``(C + 1,)``.
    """

    gram: Doubles
    moment: Doubles


def normal_equations(
    labelled: LabelledSignals, features: Callable[[Signals], Iterable[Doubles]]
) -> Normal:
    """Sums over all candidates that some base can score; the target is whether they were wanted.

    Args:
        labelled: At least one such candidate.
        features: From signals to columns of shape ``(B, L)``.
    """
    per_request = max(1, labelled.signals.mask.shape[1])
    step = max(1, ROWS_AT_ONCE // per_request)
    gram, moment, n = np.zeros((1, 1)), np.zeros(1), 0
    for start in range(0, len(labelled), step):
        part = labelled.take(np.arange(start, min(start + step, len(labelled))))
        rows = part.signals.scored
        X = np.stack([np.ones(rows.shape), *features(part.signals)], axis=-1)[rows]
        with one_blas_thread():
            gram = gram + X.T @ X
            moment = moment + X.T @ part.relevant[rows].astype(np.float64)
        n += len(X)
    return Normal(gram / n, moment / n)


def ridge(normal: Normal, penalty: float) -> Doubles:
    """Intercept and coefficients of ridge regression, shape ``(C + 1,)``.

    Args:
        normal: Of the rows.
        penalty: On the squared coefficients of standardised features, per row: 1 halves the
            coefficient of a feature that is alone. The intercept is free.

    Source:
        Hoerl and Kennard (1970), "Ridge Regression".
    """
    mean = normal.gram[0, 1:]
    covariance = normal.gram[1:, 1:] - np.outer(mean, mean)
    variance = covariance.diagonal()
    # Rounding leaves a constant feature a speck of variance; it gets no coefficient.
    varies = variance > 1e-12 * np.maximum(normal.gram.diagonal()[1:], 1e-300)
    inverse = np.where(varies, 1 / np.sqrt(np.where(varies, variance, 1.0)), 0.0)
    correlation = covariance * np.outer(inverse, inverse)
    target = (normal.moment[1:] - mean * normal.moment[0]) * inverse
    with one_blas_thread():
        solved = np.linalg.solve(correlation + penalty * np.eye(len(mean)), target) * inverse
    return np.concatenate([[normal.moment[0] - mean @ solved], solved])


def on_scale(signals: Signals, scaling: Scaling, name: str) -> Signals:
    """The signals with `scaled` as their score."""
    return replace(signals, score=scaled(signals, scaling, name))
