"""One number: how steeply log-odds follow the score."""

import numpy as np
from scipy.special import expit

from crossfade.calibration.base import Calibrator, Sample
from crossfade.calibration.logistic import Standard, fit_logistic, prior_logit, soft_target
from crossfade.types import Arrays, Doubles


class TemperatureScaling(Calibrator):
    """``sigmoid(prior + z / temperature)``.

    Of a score on any scale, z is its distance from the mean in standard deviations, both taken
    when fitted, and the prior the log-odds of the share that was wanted: without it the average
    candidate would get one half. With ``logits``, z is the score and the prior 0, as published.

    Args:
        logits: The scores are log-odds already.

    Source:
        Guo et al. (2017), "On Calibration of Modern Neural Networks", §4.2.
    """

    name = "temperature"

    def __init__(self, *, logits: bool = False) -> None:
        super().__init__()
        self._logits = logits

    def _fit(self, sample: Sample) -> None:
        target = soft_target(sample)
        self._standard = Standard() if self._logits else Standard.of(sample)
        self._prior = 0.0 if self._logits else prior_logit(target, sample.weight)
        z = self._standard(sample.score)[:, None]
        # Of 1 / temperature the loss is convex, and a score without any worth gets exactly 0.
        found = fit_logistic(z, target, sample.weight, np.ones(1), least=[0.0], offset=self._prior)
        self._slope = float(found[0])

    def _probability(self, score: Doubles) -> Doubles:
        return np.asarray(expit(self._prior + self._slope * self._standard(score)))

    @property
    def temperature(self) -> float:
        """Above 1 where scores were too sure; infinite where they were of no worth."""
        return 1 / self._slope if self._slope > 0 else np.inf

    def _state(self) -> Arrays:
        return {
            "standard": self._standard.to_array(),
            "line": np.array([self._prior, self._slope]),
            "logits": np.array([self._logits]),
        }

    def _restore(self, state: Arrays) -> None:
        self._standard = Standard(*state["standard"].astype(np.float64).tolist())
        self._prior, self._slope = state["line"].astype(np.float64).tolist()
        self._logits = bool(state["logits"][0])
