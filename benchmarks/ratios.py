"""One mean over another on the same requests, and how sure it is."""

from dataclasses import dataclass

import numpy as np

from benchmarks.signals import SEED
from crossfade.evaluation.statistics import resampled_means
from crossfade.rng import generator
from crossfade.types import Doubles


@dataclass(frozen=True)
class Ratio:
    """Two means, and the 95 % interval of the first over the second."""

    ours: float
    theirs: float
    low: float
    high: float
    n: int

    @property
    def value(self) -> float:
        """Ours over theirs."""
        return self.ours / self.theirs

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def paired_ratio(ours: Doubles, theirs: Doubles, stream: str, resamples: int = 2_000) -> Ratio:
    """Ratio of means with a paired bootstrap interval.

    Args:
        ours: One value per request, or per user; those with a NaN on either side are left out.
        theirs: Of the same requests.
        stream: Name of the random numbers.
        resamples: How many times requests are drawn.
    """
    both = np.stack([ours, theirs], axis=1)
    both = both[~np.isnan(both).any(axis=1)]
    drawn = resampled_means(both, resamples, generator(SEED, stream))
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    mean = both.mean(axis=0)
    return Ratio(float(mean[0]), float(mean[1]), float(low), float(high), len(both))
