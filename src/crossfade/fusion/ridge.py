"""Ridge stacking: a regression of relevance on the scores of all bases."""

from collections.abc import Iterator

import numba
import numpy as np

from crossfade.config import Field, Settings
from crossfade.fusion.base import Fused, FusionModel, LabelledSignals, Signals
from crossfade.fusion.matrix import (
    best_on,
    fitted,
    normal_equations,
    ridge,
    scaled,
    wanted_lists,
    without_weights,
)
from crossfade.types import Arrays, Bools, Doubles, Floats


class RidgeConfig(Settings):
    """Which penalties are tried."""

    penalties: tuple[float, ...] = Field(
        (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0),
        min_length=1,
        description="L2 penalties on standardised columns, per row; the best on validation is kept.",
    )


class Ridge(FusionModel[RidgeConfig]):
    """Linear in the z score and reciprocal rank of each base and in whether it is missing.

    Missing scores are 0, and the indicator's coefficient says what that is worth. Coefficients
    may be negative, so there are no weights: `Fused.weights` is NaN throughout. Where no base
    can score, the score is NaN.

    Source:
        Wolpert (1992), "Stacked Generalization"; Breiman (1996), "Stacked Regressions".
    """

    name = "ridge"
    Config = RidgeConfig

    coefficients: Doubles | None = None
    """Intercept, then three for each base, shape ``(3 S + 1,)``; None until fitted."""

    @property
    def keeps_apart(self) -> bool:
        """Always."""
        return True

    def forward(self, signals: Signals) -> Fused:
        """Score a batch.

        Raises:
            NotFittedError: Before `fit`.
            DataError: If the signals have no reciprocal ranks.
        """
        coefficients = fitted(self.coefficients, self.name)
        self.check(signals)
        ranks = scaled(signals, "reciprocal_rank", self.name)
        total = np.empty(signals.mask.shape)
        _sum(signals.score, ranks, signals.available, coefficients, total)
        return without_weights(total, signals)

    def _brought(self, signals: Signals, fused: Fused) -> Doubles:  # noqa: ARG002
        # What its absence would be worth is taken off a base that is there, and so stands in the
        # residual: a contribution is the fall of the score if the base could not score the item.
        on_z, on_rank, missing = fitted(self.coefficients, self.name)[1:].reshape(-1, 3).T
        there = signals.available[0]
        z = np.where(there, signals.score[0], 0.0)
        rank = np.where(there, scaled(signals, "reciprocal_rank", self.name)[0], 0.0)
        return on_z * z + on_rank * rank - missing

    def _fit(
        self,
        train: LabelledSignals,
        validation: LabelledSignals,
        rng: np.random.Generator,  # noqa: ARG002
    ) -> None:
        best = best_on(validation, self._options(train), self.name)
        self.coefficients = best.coefficients

    def _options(self, train: LabelledSignals) -> Iterator["Ridge"]:
        normal = normal_equations(wanted_lists(train, self.name), score_columns)
        for penalty in self.config.penalties:
            option = Ridge(self.config)
            option.columns, option.coefficients = self.columns, ridge(normal, penalty)
            yield option

    def _state(self) -> Arrays:
        return {"coefficients": fitted(self.coefficients, self.name)}

    def _restore(self, state: Arrays) -> None:
        self.coefficients = state["coefficients"].astype(np.float64)


def score_columns(signals: Signals) -> Iterator[Doubles]:
    """For each base: z score, reciprocal rank, and 1 where both are missing; each ``(B, L)``."""
    there = signals.available
    z = np.where(there, signals.score, 0.0)
    rank = np.where(there, scaled(signals, "reciprocal_rank", Ridge.name), 0.0)
    for base in range(there.shape[2]):
        yield z[:, :, base]
        yield rank[:, :, base]
        yield (~there[:, :, base]).astype(np.float64)


@numba.njit(cache=True, nogil=True)
def _sum(score: Floats, ranks: Floats, there: Bools, coefficients: Doubles, total: Doubles) -> None:
    """Intercept plus coefficients times `score_columns`, in their order whatever the batch."""
    for request in range(score.shape[0]):
        for place in range(score.shape[1]):
            value = coefficients[0]
            for base in range(score.shape[2]):
                own = coefficients[1 + 3 * base : 4 + 3 * base]
                if there[request, place, base]:
                    value += own[0] * score[request, place, base]
                    value += own[1] * ranks[request, place, base]
                else:
                    value += own[2]
            total[request, place] = value
