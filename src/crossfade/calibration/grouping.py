"""Which kinds of candidates deserve a calibrator of their own: requests not seen decide."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfade.calibration.base import Calibrator
from crossfade.calibration.choosing import deal
from crossfade.calibration.metrics import log_losses
from crossfade.calibration.mondrian import AGE_NAMES, MondrianCalibrator
from crossfade.types import Doubles, Ints

TOGETHER = "all together"
"""Of the grouping that makes no difference between candidates."""


def _together(group: Ints) -> Ints:
    return np.zeros_like(group)


def _by_history(group: Ints) -> Ints:
    return group // len(AGE_NAMES)


def _by_age(group: Ints) -> Ints:
    return group % len(AGE_NAMES)


def _by_both(group: Ints) -> Ints:
    return group


GROUPINGS: dict[str, Callable[[Ints], Ints]] = {
    TOGETHER: _together,
    "history": _by_history,
    "item age": _by_age,
    "history and item age": _by_both,
}
"""From name to what it makes of the ids that `groups` gives, coarsest first."""

SURE = 1.0
"""Standard errors by which kinds must be better than none: they cost a calibrator each."""


@dataclass(frozen=True)
class GroupingChoice:
    """The grouping that held best on requests it had not seen.

    Attributes:
        name: In `GROUPINGS`.
        calibrator: Fitted on all rows; None where ``name`` is `TOGETHER`, which needs no kinds.
        log_loss: Of every grouping by name, out of fold, in nats per row; lower is better.
    """

    name: str
    calibrator: MondrianCalibrator | None
    log_loss: dict[str, float]


def choose_grouping(
    score: Doubles,
    label: NDArray[Any],
    request: Ints,
    group: Ints,
    rng: np.random.Generator,
    *,
    make: Callable[[], Calibrator],
    n_folds: int = 5,
) -> GroupingChoice:
    """Calibrate all candidates alike, or kinds of them apart, whichever has the least log-loss.

    Kinds are taken only where they beat no kinds by more than `SURE` standard errors of the
    difference, measured between requests: rows of one request are not independent.

    Args:
        score: Finite, shape ``(n,)``.
        label: Whether each was wanted, same shape.
        request: Whose list each row is of, any integers, same shape.
        group: From `groups`, same shape.
        rng: Deals requests to folds.
        make: Makes an unfitted calibrator; see `choose_calibrator` for which.
        n_folds: At least 2; fewer are used where fewer requests have a wanted row.

    Raises:
        DataError: If fewer than two requests have a wanted row, and as `Calibrator.fit`.
        ValueError: If the shapes differ.
    """
    if not score.shape == label.shape == request.shape == group.shape:
        shapes = [array.shape for array in (score, label, request, group)]
        raise ValueError(f"score, label, request and group must have one shape, got {shapes}")
    wanted = label.astype(np.bool_)
    fold = deal(request, wanted, n_folds, rng)
    losses: dict[str, Doubles] = {}
    for name, kind_of in GROUPINGS.items():
        kind = kind_of(group)
        if name != TOGETHER and any(_same(kind, GROUPINGS[other](group)) for other in losses):
            continue  # a coarser one tells as much
        guess = np.empty(len(score))
        for held_out in (fold == number for number in range(int(fold.max()) + 1)):
            rest = ~held_out
            if name == TOGETHER:
                plain = make().fit(score[rest], wanted[rest])
                guess[held_out] = plain.predict(score[held_out])
            else:
                model = MondrianCalibrator(make).fit(score[rest], wanted[rest], kind[rest])
                guess[held_out] = model.predict(score[held_out], kind[held_out])
        losses[name] = log_losses(guess, wanted)
    best = min(losses, key=lambda name: float(losses[name].mean()))
    if not _surely_better(losses[best], losses[TOGETHER], request):
        best = TOGETHER
    calibrator = None
    if best != TOGETHER:
        calibrator = MondrianCalibrator(make).fit(score, wanted, GROUPINGS[best](group))
    return GroupingChoice(best, calibrator, {name: float(x.mean()) for name, x in losses.items()})


def _same(one: Ints, other: Ints) -> bool:
    """Whether two groupings part the rows alike, whatever the ids."""
    n_pairs = len(np.unique(np.stack([one, other]), axis=1).T)
    return n_pairs == len(np.unique(one)) == len(np.unique(other))


def _surely_better(loss: Doubles, plain: Doubles, request: Ints) -> bool:
    _, owner = np.unique(request, return_inverse=True)
    gain = np.bincount(owner, weights=plain - loss)
    error = float(gain.std(ddof=1)) * np.sqrt(len(gain)) if len(gain) > 1 else np.inf
    return float(gain.sum()) > SURE * error
