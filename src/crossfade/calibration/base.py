"""What every calibrator takes and gives: `Calibrator`, and the rows it learns from."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from crossfade.errors import DataError, NotFittedError
from crossfade.types import Arrays, Doubles

_ENDS = "calibrator.ends"


@dataclass(frozen=True, eq=False)
class Sample:
    """Checked rows with a score, all shape ``(n,)``; at least one wanted and one not.

    Attributes:
        score: Finite.
        wanted: 1 where the event happened, else 0.
        weight: Above 0.
    """

    score: Doubles
    wanted: Doubles
    weight: Doubles

    @classmethod
    def of(cls, score: NDArray[Any], label: NDArray[Any], weight: NDArray[Any] | None) -> "Sample":
        """Rows to learn from, see `Calibrator.fit` for what is refused."""
        if score.shape != label.shape or (weight is not None and weight.shape != score.shape):
            shapes = [array.shape for array in (score, label, weight) if array is not None]
            raise ValueError(f"score, label and weight must be of one shape, got {shapes}")
        values, wanted = finite_or_missing(score).ravel(), label.ravel().astype(np.float64)
        known = ~np.isnan(values)
        faults = int((~np.isin(wanted[known], (0.0, 1.0))).sum())
        if faults:
            raise DataError(f"{faults:,} of {known.sum():,} labels are neither 0 nor 1; give bools")
        weights = np.ones_like(values) if weight is None else weight.ravel().astype(np.float64)
        faults = int((~(np.isfinite(weights) & (weights >= 0))).sum())
        if faults:
            raise DataError(
                f"{faults:,} of {len(weights):,} weights are not finite numbers of 0 or more; mend or drop them"
            )
        known &= weights > 0
        n, n_wanted = int(known.sum()), int(wanted[known].sum())
        if n_wanted in {0, n}:
            raise DataError(
                f"{n_wanted:,} of {n:,} scored candidates are wanted: a probability needs some that are "
                "and some that are not; take a longer block or more candidates"
            )
        return cls(values[known], wanted[known], weights[known])

    @property
    def size(self) -> float:
        """How many equally weighted rows would say as much (Kish)."""
        return float(self.weight.sum() ** 2 / (self.weight**2).sum())


class Calibrator(ABC):
    """Turns a score into the probability that the candidate is wanted; one file each.

    A higher score never gets a lower probability. It may get the same one, so lists are ranked
    by score. Nothing is said with more certainty than the rows that were learned from can
    give: answers stay in [1/(n+2), 1 − 1/(n+2)], by Laplace's rule of succession.
    """

    name: ClassVar[str]

    def __init__(self) -> None:
        self._least = np.nan

    def fit(
        self, score: NDArray[Any], label: NDArray[Any], weight: NDArray[Any] | None = None
    ) -> Self:
        """Learn from candidates whose scorer had not seen the label; a second fit forgets the first.

        Args:
            score: Any real numbers, any shape; where NaN, the candidate is left out.
            label: Whether it was wanted, same shape.
            weight: How much it counts, 0 or more, same shape; all alike if None.

        Raises:
            DataError: If scores are infinite, labels are not 0 or 1, weights are negative or not
                finite, or the candidates with a score are not of both kinds.
        """
        sample = Sample.of(np.asarray(score), np.asarray(label), weight)
        self._fit(sample)
        self._least = 1 / (sample.size + 2)
        return self

    def predict(self, score: NDArray[Any]) -> Doubles:
        """Probabilities in [0, 1] of the same shape; NaN where the score is.

        Raises:
            DataError: If scores are infinite.
            NotFittedError: Before `fit`.
        """
        if np.isnan(self._least):
            raise NotFittedError(f"{self.name} has not been fitted; call fit first")
        values = finite_or_missing(np.asarray(score))
        known = ~np.isnan(values)
        out = np.full(values.shape, np.nan)
        out[known] = np.clip(self._probability(values[known]), self._least, 1 - self._least)
        return out

    def state(self) -> Arrays:
        """Everything `restore` needs, as named arrays."""
        return {**self._state(), _ENDS: np.array([self._least])}

    @classmethod
    def restore(cls, state: Arrays) -> Self:
        """A fitted calibrator from its arrays.

        Raises:
            KeyError: If an array is missing.
        """
        calibrator = cls()
        calibrator._least = float(state[_ENDS].astype(np.float64)[0])
        calibrator._restore(state)
        return calibrator

    @abstractmethod
    def _fit(self, sample: Sample) -> None:
        """Learn."""

    @abstractmethod
    def _probability(self, score: Doubles) -> Doubles:
        """Probabilities of finite scores, both ``(n,)``, before their ends are cut."""

    @abstractmethod
    def _state(self) -> Arrays:
        """The fitted arrays, enough for `_restore`."""

    @abstractmethod
    def _restore(self, state: Arrays) -> None:
        """Take over arrays made by `_state`."""


def finite_or_missing(score: NDArray[Any]) -> Doubles:
    """The scores as doubles.

    Raises:
        DataError: If any is infinite.
    """
    values = score.astype(np.float64)
    n_infinite = int(np.isinf(values).sum())
    if n_infinite:
        raise DataError(
            f"{n_infinite:,} of {values.size:,} scores are infinite; give NaN where there is no score"
        )
    return values
