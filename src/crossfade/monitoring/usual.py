"""What is usual for a measure: what it was in other stretches, and how far the next one may lie from these."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

from crossfade.monitoring.measure import Measure


def with_usual(
    found: Sequence[Measure], each: Sequence[Sequence[Measure]], share: float
) -> list[Measure]:
    """Measures with what other stretches had of them.

    ``usual_low`` and ``usual_high`` are the smallest and the largest, which one more stretch is beyond once in
    ``n + 1``. Of ninety measures that would be many in every report. Therefore also
    ``expected_low`` and ``expected_high``: the limits of one more draw from the normal distribution that the n
    were drawn from, each passed in a share of cases. They need two stretches, and are far apart with few.

    Args:
        found: Of the stretch that is looked at.
        each: Of the others.
        share: In (0, 0.5].
    """
    values = defaultdict(list)
    for part in each:
        for one in part:
            if one.value is not None:
                values[one.key].append(one.value)
    return [
        one.model_copy(update=_usual(values[one.key], share)) if values[one.key] else one
        for one in found
    ]


def _usual(values: Sequence[float], share: float) -> dict[str, float | int]:
    n = len(values)
    told: dict[str, float | int] = {
        "usual_low": min(values),
        "usual_high": max(values),
        "n_usual": n,
    }
    if n > 1:
        middle, spread = float(np.mean(values)), float(np.std(values, ddof=1))
        reach = float(student.isf(share, n - 1)) * spread * np.sqrt(1 + 1 / n)
        told |= {"expected_low": middle - reach, "expected_high": middle + reach}
    return told
