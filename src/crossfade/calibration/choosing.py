"""Which calibrator fits: log-loss on requests it has not seen decides."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfade.calibration.base import Calibrator, Sample
from crossfade.calibration.beta import BetaCalibration
from crossfade.calibration.isotonic import IsotonicCalibration
from crossfade.calibration.metrics import log_losses
from crossfade.calibration.network import CalibrationNetwork
from crossfade.calibration.platt import PlattScaling
from crossfade.calibration.temperature import TemperatureScaling
from crossfade.errors import DataError
from crossfade.types import Doubles, Ints

CANDIDATES: tuple[Callable[[], Calibrator], ...] = (
    TemperatureScaling,
    PlattScaling,
    BetaCalibration,
    IsotonicCalibration,
    CalibrationNetwork,
)
"""What is tried by default; of equals, the first wins."""


@dataclass(frozen=True)
class Choice:
    """The calibrator that held best on requests it had not seen.

    Attributes:
        calibrator: Fitted on all rows.
        log_loss: Of every candidate by name, out of fold, in nats per row; lower is better.
        base_rate_loss: What saying the same of everything would cost, in nats per row: the share
            that is wanted, of all rows.
    """

    calibrator: Calibrator
    log_loss: dict[str, float]
    base_rate_loss: float


def choose_calibrator(
    score: NDArray[Any],
    label: NDArray[Any],
    request: Ints,
    rng: np.random.Generator,
    candidates: Sequence[Callable[[], Calibrator]] = CANDIDATES,
    *,
    weight: NDArray[Any] | None = None,
    n_folds: int = 5,
) -> Choice:
    """The candidate with the least log-loss out of fold, fitted again on everything.

    All rows of one request are in one fold: they share a user and a moment, so a calibrator that
    saw some of them knows something about the others.

    Args:
        score: Shape ``(n,)``; NaN is left out.
        label: Whether each was wanted, shape ``(n,)``.
        request: Whose list each row is of, any integers, shape ``(n,)``.
        rng: Deals requests to folds.
        candidates: Makers of unfitted calibrators, each of its own name.
        weight: How much each row counts; see `Calibrator.fit`.
        n_folds: At least 2; fewer are used where fewer requests have a wanted row.

    Raises:
        DataError: If fewer than two requests have a wanted row, and as `Calibrator.fit`.
        ValueError: If shapes differ, folds are fewer than two, or candidates none or of one name.
    """
    score, label = np.asarray(score), np.asarray(label)
    if not (score.shape == label.shape == request.shape and score.ndim == 1):
        shapes = [score.shape, label.shape, request.shape]
        raise ValueError(f"score, label and request must have one shape (n,), got {shapes}")
    names = [make().name for make in candidates]
    if n_folds < 2 or not names or len(set(names)) < len(names):
        raise ValueError(f"2 folds and 1 candidate of each name are needed, got {n_folds}, {names}")
    Sample.of(score, label, weight)  # what is wrong with all of it is said before any of it is cut
    weights = np.ones(len(score)) if weight is None else np.asarray(weight)
    known = ~np.isnan(score.astype(np.float64)) & (weights > 0)
    score, label, request = score[known], label[known].astype(np.bool_), request[known]
    weights = weights[known]
    fold = deal(request, label, n_folds, rng)
    log_loss: dict[str, float] = {}
    for make in candidates:
        guess = np.empty(len(score))
        for held_out in (fold == number for number in range(int(fold.max()) + 1)):
            rest = ~held_out
            model = make().fit(score[rest], label[rest], weights[rest])
            guess[held_out] = model.predict(score[held_out])
        log_loss[model.name] = _mean(log_losses(guess, label), weights)
    best = min(log_loss, key=lambda name: log_loss[name])
    chosen = next(model for model in (make() for make in candidates) if model.name == best)
    rate = np.full(len(score), _mean(label.astype(np.float64), weights))
    return Choice(
        chosen.fit(score, label, weights), log_loss, _mean(log_losses(rate, label), weights)
    )


def deal(request: Ints, wanted: NDArray[Any], n_folds: int, rng: np.random.Generator) -> Ints:
    """A fold for each row, the same for all rows of one request; every fold has something wanted.

    Raises:
        DataError: If fewer than two requests have a wanted row.
    """
    _, place = np.unique(request, return_inverse=True)
    has_wanted = np.bincount(place, weights=wanted) > 0
    n_with = int(has_wanted.sum())
    if n_with < 2:
        raise DataError(
            f"{n_with} of {len(has_wanted):,} requests has a wanted candidate: choosing a calibrator "
            "needs two at least; take a longer block"
        )
    # In random order, those with something wanted first, then dealt like cards.
    order = rng.permutation(len(has_wanted))
    order = order[np.argsort(~has_wanted[order], kind="stable")]
    fold = np.empty(len(order), dtype=np.int64)
    fold[order] = np.arange(len(order)) % min(n_folds, n_with)
    return fold[place]


def _mean(values: Doubles, weight: NDArray[Any]) -> float:
    return float(np.average(values, weights=weight))
