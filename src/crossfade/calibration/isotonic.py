"""Any rising curve: the best staircase, with straight lines between its steps."""

import numpy as np

from crossfade.calibration.base import Calibrator, Sample
from crossfade.types import Arrays, Doubles


class IsotonicCalibration(Calibrator):
    """Least squares under the one condition that probability never falls as the score rises.

    Equal scores are one point with their mean label. Between knots it runs straight; beyond the
    lowest and highest score it has seen it stays level.

    Attributes:
        knots: Scores and probabilities, shape ``(2, n_knots)``, both rising.

    Source:
        Zadrozny and Elkan (2002), "Transforming Classifier Scores into Accurate Multiclass
        Probability Estimates"; scikit-learn's pool-adjacent-violators.
    """

    name = "isotonic"

    def _fit(self, sample: Sample) -> None:
        from sklearn.isotonic import IsotonicRegression  # slow to import

        model = IsotonicRegression(y_min=0.0, y_max=1.0, increasing=True, out_of_bounds="clip")
        model.fit(sample.score, sample.wanted, sample.weight)
        self.knots: Doubles = np.stack([model.X_thresholds_, model.y_thresholds_])

    def _probability(self, score: Doubles) -> Doubles:
        return np.asarray(np.interp(score, self.knots[0], self.knots[1]), np.float64)

    def _state(self) -> Arrays:
        return {"knots": self.knots}

    def _restore(self, state: Arrays) -> None:
        self.knots = state["knots"].astype(np.float64)
