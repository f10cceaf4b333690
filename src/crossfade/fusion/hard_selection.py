"""Each user gets the one base that did best for them before."""

import numpy as np

from crossfade.config import Settings
from crossfade.errors import DataError
from crossfade.fusion.base import Columns, Fused, FusionModel, LabelledSignals, Signals
from crossfade.fusion.contributions import acted
from crossfade.fusion.matrix import fitted, quality, user_context, weighted
from crossfade.types import Arrays, Bools, Doubles, Floats, Ints

COUNT = "log_track_items"
"""The user column that is 0 for people without a record."""


class HardSelectionConfig(Settings):
    """Nothing can be set."""


class HardSelection(FusionModel[HardSelectionConfig]):
    """All weight on one base per request: the best in the user's own track record.

    People without a record get the base with the best NDCG@10 on train. A base that can score
    none of the request's candidates is passed over for the next best. Candidates that the
    chosen base cannot score have no score, as scores of two bases do not mix in one list.

    Attributes:
        order: NDCG@10 of each base on train, ``(S,)``, once fitted.
    """

    name = "hard_selection"
    Config = HardSelectionConfig

    order: Doubles | None = None

    @property
    def keeps_apart(self) -> bool:
        """Always."""
        return True

    def forward(self, signals: Signals) -> Fused:
        """Select for a batch.

        Raises:
            NotFittedError: Before `fit`.
            DataError: If the signals have no track record.
        """
        order = fitted(self.order, self.name)
        self.check(signals)
        has, own = _record(signals, self.name)
        there = signals.available
        chosen = first_best(np.where(has, own, order), there)
        only = np.arange(len(order)) == chosen[:, None]
        return weighted(signals.score, there, only[:, None, :].astype(np.float64))

    def _brought(self, signals: Signals, fused: Fused) -> Doubles:
        return acted(fused.weights[0], signals.score[0], signals.available[0])

    def _fit(
        self,
        train: LabelledSignals,
        validation: LabelledSignals,  # noqa: ARG002
        rng: np.random.Generator,  # noqa: ARG002
    ) -> None:
        _record(train.signals, self.name)  # says at once if it is missing
        self.order = np.array([quality(base, train) for base in each_base(train.signals)])

    def _state(self) -> Arrays:
        return {"order": fitted(self.order, self.name)}

    def _restore(self, state: Arrays) -> None:
        self.order = state["order"].astype(np.float64)


def each_base(signals: Signals) -> list[Floats]:
    """Scores of each base alone, ``(B, L)``; NaN at padding."""
    score = np.where(signals.available, signals.score, np.float32(np.nan))
    return [score[:, :, base] for base in range(score.shape[2])]


def first_best(merit: Doubles, available: Bools) -> Ints:
    """The base with the highest merit among those that can score a candidate, ``(B,)``.

    Args:
        merit: Shape ``(B, S)``.
        available: Shape ``(B, L, S)``.
    """
    best: Ints = np.where(available.any(axis=1), merit, -np.inf).argmax(axis=1)
    return best


def _record(signals: Signals, name: str) -> tuple[Bools, Doubles]:
    """Who has a record ``(B, 1)``, and how each base did ``(B, S)``."""
    user = user_context(signals, name)
    count, tracks = _places(signals.columns, name)
    own = user[:, tracks].astype(np.float64)
    has: Bools = (user[:, count] > 0) & ~np.isnan(own).any(axis=1)
    return has[:, None], own


def _places(columns: Columns, name: str) -> tuple[int, list[int]]:
    wanted = [*(f"track_{base}" for base in columns.bases), COUNT]
    missing = [column for column in wanted if column not in columns.user]
    if missing or not columns.bases:
        raise DataError(
            f"{name} needs the user columns {', '.join(wanted)}; missing: "
            f"{', '.join(missing) or 'names of the bases'}"
        )
    *tracks, count = (columns.user.index(column) for column in wanted)
    return count, tracks
