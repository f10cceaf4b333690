"""What answering only where one is sure would save: risk against coverage."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfade.calibration.uncertainty import errors_by_certainty
from crossfade.types import Doubles


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """Mean error of the surest rows.

    Attributes:
        coverage: Share of rows answered, ``i / n`` for i from 1 to n, shape ``(n,)``.
        risk: Mean error among them, same shape.
        area: Mean of ``risk`` (AURC), lower is better; NaN without rows.
        best_area: The least there could be, were rows sorted by error itself. Area over it is
            what better uncertainty could still save.
    """

    coverage: Doubles
    risk: Doubles
    area: float
    best_area: float


def risk_coverage(uncertainty: NDArray[Any], error: NDArray[Any]) -> RiskCoverage:
    """The curve of all rows that have both.

    Rows of equal uncertainty count as drawn at random among themselves, so ties neither help nor
    harm, and an uncertainty that says nothing gives a level curve.

    Args:
        uncertainty: Larger is less sure, any shape; NaN is left out.
        error: 0 or more, same shape; NaN is left out.

    Raises:
        ValueError: If the shapes differ.

    Source:
        Geifman, Uziel and El-Yaniv (2019), "Bias-Reduced Uncertainty Estimation for Deep Neural
        Classifiers", §2.
    """
    if uncertainty.shape != error.shape:
        raise ValueError(f"uncertainty {uncertainty.shape} and error {error.shape} must match")
    known = ~(np.isnan(uncertainty) | np.isnan(error))
    wrong = error[known].astype(np.float64)
    n = len(wrong)
    count = np.arange(1, n + 1)
    risk = np.cumsum(errors_by_certainty(uncertainty[known].astype(np.float64), wrong)) / count
    best = np.cumsum(np.sort(wrong)) / count
    area, best_area = (float(x.mean()) if n else np.nan for x in (risk, best))
    return RiskCoverage(count / max(n, 1), risk, area, best_area)
