"""What a blend says of the candidates of a block, and what was wanted, one row per candidate."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossfade.arrays import top_k
from crossfade.calibration.mondrian import AGE_NAMES
from crossfade.calibration.uncertainty import disagreement
from crossfade.data.splits import Trial
from crossfade.fusion.base import Fused, LabelledSignals
from crossfade.fusion.propagation import guess_spread
from crossfade.fusion.verdict import slice_of
from crossfade.meta.contextual import labelled
from crossfade.meta.lists import FusedScorer
from crossfade.meta.probability import Probability, kind_of
from crossfade.meta.signals import MAX_CELLS
from crossfade.types import Bools, Csr, Doubles, Floats, Ints

SHOWN = 10
"""Length of the lists that people are taken to see."""

Doubt = Callable[[LabelledSignals], Floats | None]
"""From lists to how far guessed values may move the scores of their candidates, ``(B, L)``."""


@dataclass(frozen=True, eq=False)
class Answers:
    """Candidates with a probability, one per row; n rows, S bases.

    Attributes:
        probability: That it is wanted, ``(n,)``.
        wanted: Whether it was, ``(n,)``.
        request: Whose list it is on, ``(n,)``.
        user: Place in `SLICES` of who asks, ``(n,)``.
        inside: Whether it is in the conformal set of its request, ``(n,)``; all False without sets.
        inside_by_history: The same of sets that keep the promise for each length of history.
        age: Place in `AGE_NAMES` of the item, ``(n,)``.
        shown: Whether it is among the best `SHOWN` of its list, ``(n,)``.
        spread: How far trained models differ, ``(n,)``; NaN where nothing is said.
        disagreement: Of the bases that were weighed, ``(n,)``; NaN where fewer than two were.
        guess_spread: How far guessed audio values may move the score, ``(n,)``; see
            `propagation.guess_spread`. NaN where nothing is said.
        weights: Of the bases, ``(n, S)``; NaN where the score is no weighted mean.
        confidence: In each base, ``(n, S)``; NaN where none is stated.
    """

    probability: Doubles
    wanted: Bools
    request: Ints
    user: Ints
    inside: Bools
    inside_by_history: Bools
    age: Ints
    shown: Bools
    spread: Floats
    disagreement: Floats
    guess_spread: Floats
    weights: Floats
    confidence: Floats

    @classmethod
    def of(
        cls,
        parts: Iterable[tuple[LabelledSignals, Fused]],
        probability: Probability,
        blocks: float = 1.0,
        doubt: Doubt | None = None,
    ) -> "Answers":
        """One below the other.

        Args:
            parts: Lists, and what a fusion model said of them.
            probability: Of that model's scores.
            blocks: How much longer this block is than the calibrate block; see
                `Probability.predict`.
            doubt: From lists to `guess_spread` of their candidates, ``(B, L)``; see `doubt_of`.
        """
        found, n_requests = [], 0
        for lists, fused in parts:
            rows = _rows(lists, fused, probability, n_requests, blocks)
            far = None if doubt is None else doubt(lists)
            there = np.isfinite(fused.score)
            rows["guess_spread"] = (
                np.full_like(rows["spread"], np.nan) if far is None else far[there]
            )
            found.append(rows)
            n_requests += len(lists)
        return cls(**{key: np.concatenate([part[key] for part in found]) for key in found[0]})


def _rows(
    lists: LabelledSignals, fused: Fused, probability: Probability, first: int, blocks: float
) -> dict[str, Any]:
    signals, score = lists.signals, fused.score
    there = np.isfinite(score)
    nothing = np.full_like(signals.score, np.nan)

    def wide(values: Ints) -> Ints:
        return np.broadcast_to(values[:, None], score.shape)[there]

    best = top_k(score, SHOWN)
    shown = np.zeros(score.shape, dtype=np.bool_)
    request, place = np.nonzero(best >= 0)
    shown[request, best[request, place]] = True
    silent = np.full_like(score, np.nan)
    chance, kind = probability.predict(score, signals, blocks)[there], kind_of(signals)[there]
    inside = fair = np.zeros(chance.shape, dtype=np.bool_)
    if probability.sets is not None:
        inside, fair = probability.inside(chance, kind, blocks)
    return {
        "probability": chance,
        "inside": inside,
        "inside_by_history": fair,
        "wanted": lists.relevant[there],
        "request": wide(first + np.arange(len(lists), dtype=np.int64)),
        "user": wide(slice_of(signals)),
        "age": kind % len(AGE_NAMES),
        "shown": shown[there],
        "spread": (silent if fused.uncertainty is None else fused.uncertainty)[there],
        "disagreement": disagreement(fused.weights, signals.score)[there],
        "weights": fused.weights[there],
        "confidence": (nothing if fused.confidence is None else fused.confidence)[there],
    }


def answered(scorer: FusedScorer, trial: Trial) -> Iterator[tuple[LabelledSignals, Fused]]:
    """Lists of a trial and what a model says of them, batch by batch.

    What may not be answered is no candidate: its score is NaN.
    """
    for place, batch in trial.queries.batches(max(1, MAX_CELLS // trial.queries.n_items)):
        signals, item_row = scorer.lists.build(batch)
        fused = scorer.fusion.forward(signals)
        if trial.hidden is not None:
            hidden = np.take_along_axis(
                Csr(trial.hidden[place]).toarray() != 0, np.maximum(item_row, 0), axis=1
            )
            score = np.where(hidden, np.float32(np.nan), fused.score)
            fused = Fused(score, fused.weights, fused.confidence, fused.uncertainty)
        yield labelled(signals, item_row, Csr(trial.relevant[place])), fused


def doubt_of(scorer: FusedScorer, draws: int, seed: int) -> Doubt | None:
    """What tells how far guessed audio values may move a model's scores.

    Args:
        scorer: The model and where its candidates come from.
        draws: Of every guessed value; 0 asks for none.
        seed: The run's one seed.

    Returns:
        None where the catalogue holds no guess, and without draws.
    """
    reader = scorer.lists.reader
    if draws == 0 or reader.guesses(np.zeros((0, 0), dtype=np.int32)) is None:
        return None

    def doubt(lists: LabelledSignals) -> Floats | None:
        guesses = reader.guesses(lists.item_row)
        return (
            None
            if guesses is None
            else guess_spread(scorer.fusion, lists.signals, guesses, draws, seed)
        )

    return doubt
