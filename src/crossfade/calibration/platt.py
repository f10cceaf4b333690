"""Two numbers: a straight line in log-odds."""

import numpy as np
from scipy.special import expit

from crossfade.calibration.base import Calibrator, Sample
from crossfade.calibration.logistic import Standard, fit_logistic, prior_logit, soft_target
from crossfade.types import Arrays, Doubles


class PlattScaling(Calibrator):
    """``sigmoid(intercept + slope z)``, slope 0 or more.

    z is the score's distance from the mean in standard deviations, both taken when fitted. That
    changes no answer, only how well the optimiser gets there. The targets are Platt's, just inside
    0 and 1.

    Attributes:
        line: Intercept and slope.

    Source:
        Platt (1999), "Probabilistic Outputs for Support Vector Machines", §2.
    """

    name = "platt"

    def _fit(self, sample: Sample) -> None:
        target = soft_target(sample)
        self._standard = Standard.of(sample)
        z = self._standard(sample.score)
        columns = np.column_stack([np.ones_like(z), z])
        start = np.array([prior_logit(target, sample.weight), 0.0])
        self.line = fit_logistic(columns, target, sample.weight, start, least=[None, 0.0])

    def _probability(self, score: Doubles) -> Doubles:
        return np.asarray(expit(self.line[0] + self.line[1] * self._standard(score)))

    def _state(self) -> Arrays:
        return {"standard": self._standard.to_array(), "line": self.line}

    def _restore(self, state: Arrays) -> None:
        self._standard = Standard(*state["standard"].astype(np.float64).tolist())
        self.line = state["line"].astype(np.float64)
