"""Recall before ranking: how much of what was wanted is among the candidates of a blend."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossfade.data.splits import Trial
from crossfade.evaluation.config import EvaluationConfig
from crossfade.evaluation.judge import units
from crossfade.evaluation.slices import Family, pair_families, request_families, restricted_recall
from crossfade.evaluation.statistics import bootstrap, unit_means
from crossfade.rng import generator
from crossfade.types import Csr, Ints


@dataclass(frozen=True)
class CandidateSlice:
    """One part of what was wanted.

    Attributes:
        family: Such as ``item_popularity``; ``all`` for everything.
        label: Name of the slice.
        n: Pairs of request and wanted item.
        n_users: Users with such a pair.
        recall: Mean over those users of the share that is among the candidates, in [0, 1]; NaN
            where nothing was wanted.
        low: Lower end of its interval over users; NaN with fewer than two.
        high: Upper end.
    """

    family: str
    label: str
    n: int
    n_users: int
    recall: float
    low: float
    high: float

    @property
    def where(self) -> str:
        """Family and slice in words."""
        return f"{self.family.replace('_', ' ')}: {self.label}"

    @property
    def interval(self) -> str:
        """Such as ``[40.1%, 44.8%]``; empty where there is none."""
        return "" if math.isnan(self.low) else f"[{self.low:.1%}, {self.high:.1%}]"

    @property
    def text(self) -> str:
        """Such as ``42.3% [40.1%, 44.8%] of 1,234``."""
        return " ".join(
            part for part in (f"{self.recall:.1%}", self.interval, f"of {self.n:,}") if part
        )

    def to_json(self) -> dict[str, Any]:
        """The numbers; NaN becomes null."""
        ends = {"recall": self.recall, "low": self.low, "high": self.high}
        numbers = {key: None if math.isnan(value) else value for key, value in ends.items()}
        return {**numbers, "n": self.n, "n_users": self.n_users}


@dataclass(frozen=True)
class CandidateRecall:
    """What no ranking of these candidates can exceed.

    Attributes:
        model: Name of the blend that ranks them.
        level: Confidence level of the intervals.
        whole: Everything that was wanted.
        slices: Parts of it with at least one wanted item, in the order of their families.
    """

    model: str
    level: float
    whole: CandidateSlice
    slices: tuple[CandidateSlice, ...]

    @property
    def lowest_first(self) -> list[CandidateSlice]:
        """The slices, most lost first; of equals the larger."""
        return sorted(self.slices, key=lambda one: (one.recall, -one.n))

    def lines(self) -> list[str]:
        """For the terminal."""
        if not self.slices:
            return []
        lowest = self.lowest_first[0]
        return [
            f"candidates of {self.model}: recall {self.whole.text} wanted items, "
            f"lowest at {lowest.where}: {lowest.text}"
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``slices`` nests family and slice; NaN becomes null."""
        slices: dict[str, Any] = {}
        for one in self.slices:
            slices.setdefault(one.family, {})[one.label] = one.to_json()
        return {"model": self.model, **self.whole.to_json(), "slices": slices}


def candidate_recall(
    model: str, trial: Trial, proposed: Csr, config: EvaluationConfig, seed: int
) -> CandidateRecall:
    """Recall of what is ranked, whole and per slice, with intervals over users.

    Args:
        model: Name of the blend that ranks it.
        trial: What was wanted.
        proposed: Stored at least where a wanted item is a candidate, ``(n, n_items)``.
        config: Edges of slices, and how intervals are made.
        seed: The run's one seed.
    """
    relevant = Csr(trial.relevant)
    relevant.sort_indices()
    owner = np.repeat(np.arange(relevant.shape[0]), np.diff(relevant.indptr))
    families = [
        Family("all", ("all",), np.zeros(len(owner), dtype=np.int64)),
        *(Family(f.name, f.labels, f.code[owner]) for f in request_families(trial, config)),
        *pair_families(trial, relevant, config),
    ]
    found = np.isin(_cells(relevant), _cells(proposed)).astype(np.float64)[:, None]
    recall = np.concatenate([restricted_recall(found, relevant, f)[:, :, 0] for f in families], 1)
    unit, n_units = units([trial])
    # One draw of users for all slices, of which none moves another's numbers.
    estimates = bootstrap(
        unit_means(recall, unit, n_units),
        generator(seed, "evaluation.candidates"),
        resamples=config.resamples,
        level=config.level,
        kind=config.interval,
    )
    n_wanted = np.concatenate(
        [np.bincount(f.code[f.code >= 0], minlength=len(f.labels)) for f in families]
    )
    names = [(f.name, label) for f in families for label in f.labels]
    whole, *slices = (
        CandidateSlice(family, label, int(n), int(n_users), float(mean), float(low), float(high))
        for (family, label), n, n_users, mean, low, high in zip(
            names, n_wanted, estimates.n, estimates.mean, estimates.low, estimates.high, strict=True
        )
    )
    return CandidateRecall(model, config.level, whole, tuple(one for one in slices if one.n))


def _cells(matrix: Csr) -> Ints:
    """Where something is stored, numbered row by row."""
    row, column = matrix.tocoo().coords
    cells: Ints = row.astype(np.int64) * matrix.shape[1] + column
    return cells
