"""What is known of a small domain before anything is carried into it: named, and on one scale everywhere.

S is the number of bases.
"""

from dataclasses import dataclass

import numpy as np

from crossfade.data import Dataset
from crossfade.fusion.base import LabelledSignals
from crossfade.fusion.static import StaticBlend, list_ndcg
from crossfade.types import Doubles, Floats, Ints

DOMAIN = ("log_events", "log_people", "log_events_per_person", "log_share_of_items_met")
"""What is told of a log, in this order."""

DEPTH = 10
PATIENCE = 5.0
"""A base is believed to be as good as the even blend until so many lists say otherwise."""

LEAST = 0.01
"""Quality that a list is expected to have where none has any."""


def domain_facts(log: Dataset) -> Doubles:
    """The facts `DOMAIN` of a log with an event or more, ``(4,)``."""
    people = log.events["user_row"].n_unique()
    met = log.events["item_row"].n_unique()
    return np.log([log.n_events, people, log.n_events / people, met / log.n_items])


@dataclass(frozen=True, eq=False)
class Record:
    """How each base did alone on some lists.

    Attributes:
        alone: NDCG@10 of each list by each base, ``(B, S)``.
        even: NDCG@10 of each list by all bases with equal weights, ``(B,)``.
    """

    alone: Doubles
    even: Doubles

    @classmethod
    def of(cls, lists: LabelledSignals) -> "Record":
        """Measured on lists whose bases had not seen what was wanted."""
        signals = lists.signals
        n = signals.score.shape[-1]
        shown = np.where(signals.available, signals.score, np.float32(np.nan))
        alone = np.column_stack([quality(shown[:, :, base], lists) for base in range(n)])
        even = StaticBlend(np.full(n, 1 / n, dtype=np.float32)).forward(signals).score
        return cls(alone, quality(even, lists))

    def evidence(self, places: Ints | None = None) -> Doubles:
        """Log of how much better each base is than the even blend, ``(S,)``.

        Drawn towards 0, which says nothing, by `PATIENCE` lists of usual quality.

        Args:
            places: Of the lists that count; None counts all.
        """
        alone, even = (self.alone, self.even) if places is None else (
            self.alone[places], self.even[places]
        )  # fmt: skip
        usual = max(float(even.mean()), float(alone.mean()), LEAST) if len(even) else LEAST
        calm = PATIENCE * usual
        told: Doubles = np.log((alone.sum(axis=0) + calm) / (even.sum() + calm))
        return told


def quality(score: Floats, lists: LabelledSignals) -> Doubles:
    """NDCG@10 of every list, ``(B,)``."""
    return list_ndcg(score, lists.relevant, lists.n_relevant, DEPTH)
