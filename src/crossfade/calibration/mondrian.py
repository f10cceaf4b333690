"""A calibrator of its own for each kind of user and item, as far as enough is known of the kind."""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit

from crossfade.calibration.base import Calibrator
from crossfade.calibration.registry import pack_calibrator, unpack_calibrator
from crossfade.errors import DataError, NotFittedError
from crossfade.types import Arrays, Bools, Doubles, Ints

_HISTORY = ("no history", "history of 1–5", "history of 6–50", "history above 50")
AGE_NAMES = ("age unknown", "younger than 30 days", "30 days or older")
"""Of items, in the order of ids modulo 3."""

GROUP_NAMES = tuple(f"{history}, {age}" for history in _HISTORY for age in AGE_NAMES)
"""Of the ids that `groups` gives."""

MIN_WANTED = 100
"""Candidates of either kind that a group needs for a calibrator of its own."""


def groups(history_count: NDArray[Any], item_age_days: NDArray[Any]) -> Ints:
    """Kind of each candidate: how much the user did before × how old the item is.

    Args:
        history_count: Events of the user before the request, 0 or more.
        item_age_days: Days since the item was first seen, NaN where unknown. Both shapes must
            broadcast: ``(B, 1)`` and ``(B, L)``, or both ``(n,)``.

    Returns:
        Ids in [0, 12), places in `GROUP_NAMES`, of the broadcast shape.

    Raises:
        DataError: If a count is negative or missing.
    """
    count = np.asarray(history_count)
    faulty = int((~(count >= 0)).sum())
    if faulty:
        raise DataError(
            f"{faulty:,} of {count.size:,} history counts are negative or missing; give 0 or more"
        )
    age = np.asarray(item_age_days, dtype=np.float64)
    history = np.searchsorted((1, 6, 51), count, side="right")
    old = np.where(np.isnan(age), 0, np.where(age < 30, 1, 2))
    return np.asarray(history * len(AGE_NAMES) + old, dtype=np.int64)


class MondrianCalibrator:
    """One calibrator per group, or the global one, moved, where a group has shown too little.

    Rule: a group with fewer than ``min_wanted`` wanted candidates, or fewer than that many
    that are not, is served by the calibrator of all groups together, with one number of its own
    added to the log-odds. That number has a unit normal prior around 0: a handful of rows hardly
    moves it, a thousand rows of which none was wanted do. A group never seen is served by the
    global one as it is.

    Args:
        make: Makes an unfitted calibrator.
        min_wanted: See the rule, 1 or more.

    Source:
        Vovk, Gammerman and Shafer (2005), "Algorithmic Learning in a Random World", §4.5, for the name.
    """

    def __init__(self, make: Callable[[], Calibrator], min_wanted: int = MIN_WANTED) -> None:
        if min_wanted < 1:
            raise ValueError(f"min_wanted must be 1 or more, got {min_wanted}")
        self._make = make
        self._min_wanted = min_wanted
        self._all: Calibrator | None = None
        self._own: dict[int, Calibrator] = {}
        self._shift: dict[int, float] = {}

    def fit(
        self,
        score: NDArray[Any],
        label: NDArray[Any],
        group: Ints,
        weight: NDArray[Any] | None = None,
    ) -> Self:
        """Learn the global calibrator and those of groups; a second fit forgets the first.

        Args:
            score: Any shape; see `Calibrator.fit`.
            label: Same shape.
            group: Same shape, such as from `groups`.
            weight: Same shape; rows of weight 0 count for nothing.

        Raises:
            DataError: As `Calibrator.fit`.
            ValueError: If the shapes differ.
        """
        score, label = np.asarray(score), np.asarray(label)
        if group.shape != score.shape:
            raise ValueError(f"group {group.shape} and score {score.shape} must match")
        self._all = self._make().fit(score, label, weight)
        self._own, self._shift = {}, {}
        weights = np.ones(score.shape) if weight is None else weight
        counts = ~np.isnan(score) & (weights > 0)
        weights = weights / weights[counts].mean()
        everybody = self._all.predict(score)
        wanted = label.astype(np.bool_)
        for one in np.unique(group).tolist():
            inside = (group == one) & counts
            least = min(int((inside & wanted).sum()), int((inside & ~wanted).sum()))
            if least >= self._min_wanted:
                self._own[one] = self._make().fit(score[inside], label[inside], weights[inside])
            elif inside.any():
                self._shift[one] = _shift(everybody[inside], wanted[inside], weights[inside])
        return self

    @property
    def own(self) -> tuple[int, ...]:
        """Groups that have a calibrator of their own, ascending."""
        return tuple(sorted(self._own))

    def predict(self, score: NDArray[Any], group: Ints) -> Doubles:
        """Probabilities of the same shape; see `Calibrator.predict`.

        Raises:
            DataError: If scores are infinite.
            NotFittedError: Before `fit`.
            ValueError: If the shapes differ.
        """
        if self._all is None:
            raise NotFittedError("the calibrator of groups has not been fitted; call fit first")
        score = np.asarray(score)
        if group.shape != score.shape:
            raise ValueError(f"group {group.shape} and score {score.shape} must match")
        out = np.empty(score.shape)
        rest = np.ones(score.shape, dtype=np.bool_)
        for one, calibrator in self._own.items():
            inside = group == one
            out[inside] = calibrator.predict(score[inside])
            rest &= ~inside
        out[rest] = self._all.predict(score[rest])
        for one, shift in self._shift.items():
            inside = group == one
            out[inside] = expit(logit(out[inside]) + shift)
        return out

    def state(self) -> Arrays:
        """Everything `restore` needs, as named arrays.

        Raises:
            NotFittedError: Before `fit`.
        """
        if self._all is None:
            raise NotFittedError("the calibrator of groups has not been fitted; call fit first")
        arrays: Arrays = {
            "groups": np.array(self.own, dtype=np.int64),
            "min_wanted": np.array([self._min_wanted]),
        }
        arrays |= pack_calibrator("all", self._all)
        for one in self.own:
            arrays |= pack_calibrator(f"group{one}", self._own[one])
        arrays["moved"] = np.array(list(self._shift), dtype=np.int64)
        arrays["shift"] = np.array(list(self._shift.values()))
        return arrays

    @classmethod
    def restore(cls, state: Arrays) -> Self:
        """The inverse of `state`; to fit it again, make a new one.

        Raises:
            BundleError: If a calibrator is of a kind this version does not know.
            KeyError: If an array is missing.
        """
        everybody = unpack_calibrator("all", state)
        model = cls(type(everybody), int(state["min_wanted"].astype(np.int64)[0]))
        model._all = everybody
        known = state["groups"].astype(np.int64).tolist()
        model._own = {one: unpack_calibrator(f"group{one}", state) for one in known}
        moved, shift = state["moved"].astype(np.int64), state["shift"].astype(np.float64)
        model._shift = dict(zip(moved.tolist(), shift.tolist(), strict=True))
        return model


def _shift(probability: Doubles, wanted: Bools, weight: NDArray[Any]) -> float:
    """What to add to log-odds for the likeliest labels, under a unit normal prior."""
    known = logit(probability)

    def slope(shift: float) -> float:
        return float(weight @ (expit(known + shift) - wanted)) + shift

    # Rising, and at most the summed weight away from the line through 0.
    reach = float(weight.sum()) + 1
    return float(brentq(slope, -reach, reach))
