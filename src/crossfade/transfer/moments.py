"""What lists of a domain look like in mean and spread: enough to align another domain, or to tell them apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossfade.fusion.few_shot.network import Lists
from crossfade.types import Arrays, Doubles

FEWEST = 10
"""Lists below which a domain has no moments worth comparing."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Means and spreads over the lists of a domain.

    Attributes:
        mean: Of each base's z scores over the candidates it scores, ``(S,)``; NaN for a base that
            scores none.
        deviation: Likewise, ``(S,)``.
        middle: Mean of the rows that describe lists, ``(2 S + 1,)``: share of candidates each base
            scores, mean of its scores (0 where it scores none), length of the history.
        covariance: Of the same rows.
        n: Lists.
    """

    mean: Doubles
    deviation: Doubles
    middle: Doubles
    covariance: Doubles
    n: int

    @classmethod
    def of(cls, parts: Sequence[Lists]) -> "Moments":
        """Over the lists of one task or several."""
        rows = np.concatenate([_rows(part) for part in parts])
        n = np.sum([part.there.sum(dim=(0, 1)).numpy() for part in parts], axis=0)
        total = np.sum([part.score.sum(dim=(0, 1)).numpy() for part in parts], axis=0)
        square = np.sum([part.score.square().sum(dim=(0, 1)).numpy() for part in parts], axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(n > 0, total / n, np.nan)
            deviation = np.sqrt(np.maximum(square / n - mean**2, 0))
        covariance = np.cov(rows, rowvar=False) if len(rows) > 1 else np.zeros((rows.shape[1],) * 2)
        return cls(mean, deviation, rows.mean(axis=0), covariance, len(rows))

    def to_arrays(self) -> Arrays:
        """As plain arrays."""
        return {
            "mean": self.mean,
            "deviation": self.deviation,
            "middle": self.middle,
            "covariance": self.covariance,
            "n": np.array([self.n]),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "Moments":
        """The inverse of `to_arrays`."""
        told = {name: array.astype(np.float64) for name, array in arrays.items()}
        return cls(n=int(told.pop("n")[0]), **told)


def _rows(lists: Lists) -> Doubles:
    there = lists.there.double()
    n = lists.mask.sum(dim=1, keepdim=True).clamp(min=1)
    shared = there.sum(dim=1)
    mean = lists.score.sum(dim=1) / shared.clamp(min=1)
    rows: Doubles = np.column_stack(
        [(shared / n).numpy(), mean.numpy(), lists.length.numpy()[:, None]]
    )
    return rows
