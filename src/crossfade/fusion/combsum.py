"""Sums of scores: CombSUM and CombMNZ."""

from typing import Literal

import numpy as np

from crossfade.config import Field, Settings
from crossfade.fusion.base import Fused, FusionModel, LabelledSignals, Signals
from crossfade.fusion.matrix import above_lowest, sum_of_bases, weighted
from crossfade.types import Arrays, Doubles


class CombSumConfig(Settings):
    """What is summed, and whether agreement counts extra."""

    scaling: Literal["minmax", "zscore"] = Field(
        "minmax",
        description="Scores of each base in a request from 0 to 1, or in standard deviations above its lowest.",
    )
    rule: Literal["sum", "mnz"] = Field(
        "sum",
        description="CombSUM, or CombMNZ: times the number of bases that score the candidate.",
    )


class CombSum(FusionModel[CombSumConfig]):
    """Sum of the scores of all bases; a missing score is 0, the lowest there is.

    As in the paper, where a document that a system did not retrieve had similarity 0: a base
    that cannot score a candidate treats it like the worst of its list. Both scales start at 0
    for that reason. A constant base adds 0 everywhere. All bases that can score have the same
    weight; the score is their mean times their number (CombMNZ: its square).

    Source:
        Fox and Shaw (1994), "Combination of Multiple Searches".
    """

    name = "combsum"
    Config = CombSumConfig

    @property
    def keeps_apart(self) -> bool:
        """Always."""
        return True

    def forward(self, signals: Signals) -> Fused:
        """Blend a batch."""
        self.check(signals)
        there = signals.available
        parts = above_lowest(signals.score, there, to_one=self.config.scaling == "minmax")
        total = sum_of_bases(parts.astype(np.float64))
        n = there.sum(axis=-1)
        if self.config.rule == "mnz":
            total *= n
        score = np.where(n > 0, total, np.nan).astype(np.float32)
        return Fused(score, weighted(parts, there, np.ones(there.shape)).weights)

    def _brought(self, signals: Signals, fused: Fused) -> Doubles:  # noqa: ARG002
        there = signals.available
        parts = above_lowest(signals.score, there, to_one=self.config.scaling == "minmax")
        times = there[0].sum(axis=-1, keepdims=True) if self.config.rule == "mnz" else 1
        brought: Doubles = parts[0].astype(np.float64) * times
        return brought

    def _fit(
        self, train: LabelledSignals, validation: LabelledSignals, rng: np.random.Generator
    ) -> None:
        """Nothing to learn."""

    def _state(self) -> Arrays:
        return {}

    def _restore(self, state: Arrays) -> None:
        """Nothing was learned."""
