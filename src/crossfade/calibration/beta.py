"""Three numbers: one slope in log-odds for low scores, another for high ones."""

import numpy as np
from scipy.special import expit

from crossfade.calibration.base import Calibrator, Sample
from crossfade.calibration.logistic import Standard, fit_logistic, prior_logit, soft_target
from crossfade.types import Arrays, Doubles


class BetaCalibration(Calibrator):
    """``sigmoid(c + a ln p − b ln(1 − p))`` with a, b of 0 or more, where p = sigmoid(z).

    Of a score on any scale, z is its distance from the mean in standard deviations, both taken
    when fitted: the log-odds then rise by a per deviation far below the mean and by b far above
    it. With ``logits``, z is the score itself; give the log-odds of a probability to get the
    published formula.

    Args:
        logits: The scores are log-odds already.

    Attributes:
        abc: The three numbers.

    Source:
        Kull, Silva Filho and Flach (2017), "Beta Calibration", §4.
    """

    name = "beta"

    def __init__(self, *, logits: bool = False) -> None:
        super().__init__()
        self._logits = logits

    def _fit(self, sample: Sample) -> None:
        target = soft_target(sample)
        self._standard = Standard() if self._logits else Standard.of(sample)
        columns = np.column_stack([self._logs(sample.score), np.ones(len(sample.score))])
        start = np.array([0.0, 0.0, prior_logit(target, sample.weight)])
        self.abc = fit_logistic(columns, target, sample.weight, start, least=[0.0, 0.0, None])

    def _probability(self, score: Doubles) -> Doubles:
        return np.asarray(expit(self._logs(score) @ self.abc[:2] + self.abc[2]))

    def _logs(self, score: Doubles) -> Doubles:
        """``ln p`` and ``−ln(1 − p)``, shape ``(n, 2)``, exact also where p rounds to 0 or 1."""
        z = self._standard(score)
        beyond = np.log1p(np.exp(-np.abs(z)))
        return np.column_stack([np.minimum(z, 0) - beyond, np.maximum(z, 0) + beyond])

    def _state(self) -> Arrays:
        return {
            "standard": self._standard.to_array(),
            "abc": self.abc,
            "logits": np.array([self._logits]),
        }

    def _restore(self, state: Arrays) -> None:
        self._standard = Standard(*state["standard"].astype(np.float64).tolist())
        self.abc = state["abc"].astype(np.float64)
        self._logits = bool(state["logits"][0])
