"""Reciprocal rank fusion: only the place in each base's list counts."""

import numpy as np

from crossfade.config import Settings
from crossfade.fusion.base import Fused, FusionModel, LabelledSignals, Signals
from crossfade.fusion.matrix import scaled, sum_of_bases, weighted
from crossfade.fusion.scaling import OFFSET
from crossfade.types import Arrays, Doubles

_BEST = OFFSET + 1
"""The house's reciprocal rank is 1 for the best place, the paper's is 1 over this."""


class RRFConfig(Settings):
    """Nothing can be set: the 60 of the paper is part of the signals."""


class RRF(FusionModel[RRFConfig]):
    """Sum of ``1 / (60 + rank)`` over the bases that list the candidate.

    Ranks are those of each base's whole list. A base that cannot score the candidate adds
    nothing, which is less than the last place of any list adds. All bases that can score
    have the same weight.

    Source:
        Cormack, Clarke and Büttcher (2009), "Reciprocal Rank Fusion outperforms Condorcet
        and individual Rank Learning Methods".
    """

    name = "rrf"
    Config = RRFConfig

    @property
    def keeps_apart(self) -> bool:
        """Always."""
        return True

    def forward(self, signals: Signals) -> Fused:
        """Blend a batch.

        Raises:
            DataError: If the signals have no reciprocal ranks.
        """
        self.check(signals)
        there = signals.available
        rank = scaled(signals, "reciprocal_rank", self.name)
        weights = weighted(rank, there, np.ones(there.shape)).weights
        total = sum_of_bases(np.where(there, rank, 0.0)) / _BEST
        score = np.where(there.any(axis=-1), total, np.nan).astype(np.float32)
        return Fused(score, weights)

    def _brought(self, signals: Signals, fused: Fused) -> Doubles:  # noqa: ARG002
        rank = scaled(signals, "reciprocal_rank", self.name)
        return np.where(signals.available[0], rank[0].astype(np.float64), 0.0) / _BEST

    def _fit(
        self, train: LabelledSignals, validation: LabelledSignals, rng: np.random.Generator
    ) -> None:
        """Nothing to learn."""

    def _state(self) -> Arrays:
        return {}

    def _restore(self, state: Arrays) -> None:
        """Nothing was learned."""
