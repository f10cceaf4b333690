"""What diversity costs: NDCG and diversity of the same requests' lists, by strength of the setting."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossfade.data.splits import Trial
from crossfade.evaluation.beyond import ItemFacts, diversity
from crossfade.evaluation.config import EvaluationConfig
from crossfade.evaluation.judge import units
from crossfade.evaluation.metrics import locate, ndcg
from crossfade.evaluation.statistics import intervals, resampled_means, unit_means
from crossfade.rng import generator
from crossfade.types import Csr, Doubles, Rows


@dataclass(frozen=True)
class Compared:
    """A mean over users, and how it differs from that of the plain order.

    Attributes:
        mean: In [0, 1].
        low: Lower end of its interval; NaN with fewer than two users.
        high: Upper end.
        change: Of the mean relative to the plain one, such as -0.02; NaN where that is 0.
        change_low: Lower end of its paired interval; NaN likewise, and for the plain order itself.
        change_high: Upper end.
    """

    mean: float
    low: float
    high: float
    change: float
    change_low: float
    change_high: float

    def to_json(self) -> dict[str, float | None]:
        """Plain values; NaN becomes null."""
        return {key: None if math.isnan(value) else value for key, value in vars(self).items()}


@dataclass(frozen=True)
class DiversityPoint:
    """Lists by one strength of the setting ``diversity``."""

    strength: float
    ndcg: Compared
    diversity: Compared


@dataclass(frozen=True)
class DiversityCurve:
    """Lists by several strengths, 0 first.

    Attributes:
        model: Name of the blend that serves.
        k: Length of the lists.
        level: Confidence level of the intervals.
        n_requests: Requests they answer, of whom the lists of all strengths are compared.
        n_users: Users who made them.
        n_diverse: Users whose lists of every strength have a diversity.
        points: In order of strength.
    """

    model: str
    k: int
    level: float
    n_requests: int
    n_users: int
    n_diverse: int
    points: tuple[DiversityPoint, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "model": self.model,
            "k": self.k,
            "n_requests": self.n_requests,
            "n_users": self.n_users,
            "n_diverse": self.n_diverse,
            "points": [
                {
                    "diversity": one.strength,
                    "ndcg": one.ndcg.to_json(),
                    "within_lists": one.diversity.to_json(),
                }
                for one in self.points
            ],
        }


def judged_lists(lists: Rows, trial: Trial) -> tuple[Doubles, Doubles]:
    """NDCG of lists, and the diversity within them.

    Args:
        lists: One per request of the trial, ``(n, k)``, -1 at the end of shorter ones.
        trial: What was wanted.

    Returns:
        Both of shape ``(n,)``; diversity is NaN as `beyond.diversity` says.
    """
    relevant = Csr(trial.relevant)
    relevant.sort_indices()
    hits, _ = locate(lists, relevant)
    n_relevant = np.diff(relevant.indptr).astype(np.int64)
    return ndcg(hits, n_relevant), diversity(lists, ItemFacts.of(trial.train))


def diversity_curve(
    model: str, trial: Trial, lists: Mapping[float, Rows], config: EvaluationConfig, seed: int
) -> DiversityCurve | None:
    """Judge the lists of each strength, user by user.

    Args:
        model: Name of the blend that made them.
        trial: Whose requests they answer.
        lists: By strength of the setting, 0 first; of each ``(n, k)``, -1 at the end of shorter ones.
        config: How intervals are made.
        seed: The run's one seed.

    Returns:
        None where no list has a diversity, such as in a catalogue without genres.
    """
    unit, n_units = units([trial])
    both = [judged_lists(rows, trial) for rows in lists.values()]
    quality, within = (
        unit_means(np.stack(part, axis=1), unit, n_units) for part in zip(*both, strict=True)
    )
    within[np.isnan(within).any(axis=1)] = np.nan  # the same users at every strength
    n_diverse = int((~np.isnan(within[:, 0])).sum())
    if not n_diverse:
        return None
    rows = zip(
        lists,
        _compared(quality, config, seed, "ndcg"),
        _compared(within, config, seed, "diversity"),
        strict=True,
    )
    return DiversityCurve(
        model,
        next(iter(lists.values())).shape[1],
        config.level,
        len(trial.queries),
        n_units,
        n_diverse,
        tuple(DiversityPoint(*row) for row in rows),
    )


def _compared(values: Doubles, config: EvaluationConfig, seed: int, name: str) -> list[Compared]:
    """One per column of values per user; the first column is the plain order."""
    values = values[~np.isnan(values).any(axis=1)]
    rng = generator(seed, f"evaluation.curve.{name}")
    draws = resampled_means(values, config.resamples, rng)
    found = intervals(values, draws, config.level, config.interval)
    plain, tail = found.mean[0], (1 - config.level) / 2
    out = []
    for c, mean in enumerate(found.mean):
        change, ends = np.nan, (np.nan, np.nan)
        if plain > 0:
            change = mean / plain - 1
            known = draws[:, 0] > 0
            if c and len(values) > 1:
                ratio = draws[known, c] / draws[known, 0] - 1
                ends = tuple(np.quantile(ratio, [tail, 1 - tail]))
        numbers = (mean, found.low[c], found.high[c], change, *ends)
        out.append(Compared(*(float(number) for number in numbers)))
    return out
