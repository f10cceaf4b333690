"""Scores that are probabilities already."""

import numpy as np

from crossfade.calibration.base import Calibrator, Sample
from crossfade.errors import DataError
from crossfade.types import Arrays, Doubles


class Identity(Calibrator):
    """The score itself, which must be in [0, 1].

    Beside the others it shows what calibrating gains. Like theirs, its answers stay off 0 and 1 by
    what the rows it was fitted on can tell.
    """

    name = "identity"

    def _fit(self, sample: Sample) -> None:
        _check(sample.score)

    def _probability(self, score: Doubles) -> Doubles:
        _check(score)
        return score

    def _state(self) -> Arrays:
        return {}

    def _restore(self, state: Arrays) -> None:
        """There is nothing to take over."""


def _check(score: Doubles) -> None:
    outside = int(((score < 0) | (score > 1)).sum())
    if outside:
        raise DataError(
            f"identity: {outside:,} of {len(score):,} scores are outside [0, 1], so they are no "
            f"probabilities (from {np.min(score):g} to {np.max(score):g}); use another calibrator"
        )
