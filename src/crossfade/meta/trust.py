"""Whether a blend keeps its word: what it says of candidates against what was wanted."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossfade.arrays import top_k
from crossfade.calibration.conformal import coverage
from crossfade.calibration.grouping import TOGETHER
from crossfade.calibration.metrics import brier, calibration_error, log_loss, reliability_curve
from crossfade.calibration.mondrian import AGE_NAMES
from crossfade.calibration.risk import risk_coverage
from crossfade.calibration.uncertainty import sorts_errors
from crossfade.data.splits import Trial
from crossfade.evaluation.calibration_plots import ReliabilitySeries, RiskSeries
from crossfade.evaluation.trust import (
    ConfidenceRow,
    CoverageRow,
    ProbabilityRow,
    SortingRow,
    Trust,
    WeightRow,
)
from crossfade.fusion.base import Fused, LabelledSignals
from crossfade.fusion.verdict import SLICES, slice_of
from crossfade.meta.contextual import labelled
from crossfade.meta.lists import FusedScorer
from crossfade.meta.probability import MISSED, Probability, kind_of
from crossfade.meta.signals import MAX_CELLS
from crossfade.rng import generator
from crossfade.types import Bools, Csr, Doubles, Floats, Ints

SHOWN = 10
"""Length of the lists that people are taken to see."""

_NAME = "meta.trust"


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
    weights: Floats
    confidence: Floats

    @classmethod
    def of(
        cls,
        parts: Iterable[tuple[LabelledSignals, Fused]],
        probability: Probability,
        blocks: float = 1.0,
    ) -> "Answers":
        """One below the other.

        Args:
            parts: Lists, and what a fusion model said of them.
            probability: Of that model's scores.
            blocks: How much longer this block is than the calibrate block; see
                `Probability.predict`.
        """
        found, n_requests = [], 0
        for lists, fused in parts:
            found.append(_rows(lists, fused, probability, n_requests, blocks))
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


def trust_of(
    model: str, answers: Answers, probability: Probability, bases: tuple[str, ...], seed: int
) -> Trust:
    """Measure everything a model says of its candidates.

    Args:
        model: Its name in tables.
        answers: Of the block that judges, which taught nothing.
        probability: That the answers were made with.
        bases: Labels, in order.
        seed: For intervals.
    """
    curve = reliability_curve(answers.probability, answers.wanted, answers.request)
    apart = "" if probability.grouping == TOGETHER else f", apart by {probability.grouping}"
    return Trust(
        model=model,
        calibrator=f"{probability.everybody.name}{apart}",
        rows=tuple(_probabilities(answers, seed)),
        reliability=ReliabilitySeries(model, curve.probability, curve.share, curve.low, curve.high),
        risks=tuple(_risks(answers)),
        coverage=tuple(_coverage(answers, probability, seed)),
        sorting=tuple(_sorting(answers, seed)),
        weights=tuple(_weights(answers, bases)),
        confidences=tuple(_confidences(answers, bases, seed)),
    )


def _users(answers: Answers) -> Iterator[tuple[str, Bools]]:
    """Everybody, then each slice of users that has any candidate."""
    yield "all", np.ones(len(answers.user), dtype=np.bool_)
    for place, name in enumerate(SLICES):
        inside = answers.user == place
        if inside.any():
            yield name, inside


def _probabilities(answers: Answers, seed: int) -> Iterator[ProbabilityRow]:
    slices = [("user", name, inside) for name, inside in _users(answers)]
    slices += [("item age", name, answers.age == age) for age, name in enumerate(AGE_NAMES)]
    for family, name, inside in slices:
        if not inside.any():
            continue
        request, wanted = answers.request[inside], answers.wanted[inside]
        yield ProbabilityRow(
            family,
            name,
            len(np.unique(request)),
            len(wanted),
            float(wanted.mean()),
            **_quality(answers.probability[inside], wanted, request, seed, f"{family}.{name}"),
        )


def _quality(
    probability: Doubles, wanted: Bools, request: Ints, seed: int, name: str
) -> dict[str, Any]:
    enough = len(np.unique(request)) >= 2
    rng = generator(seed, f"{_NAME}.{name}")
    return {
        "calibration_error": vars(calibration_error(probability, wanted, request, rng))
        if enough
        else None,
        "brier": brier(probability, wanted).score,
        "log_loss": log_loss(probability, wanted),
    }


def _coverage(answers: Answers, probability: Probability, seed: int) -> Iterator[CoverageRow]:
    if probability.sets is None:
        return
    parts = list(_users(answers))
    promises = {"everybody together": answers.inside, "each history": answers.inside_by_history}
    for promise, name, part in ((key, *one) for key in promises for one in parts):
        request = answers.request[part]
        rng = generator(seed, f"{_NAME}.coverage.{promise}.{name}")
        found = coverage(promises[promise][part], answers.wanted[part], request, rng=rng)
        n_requests = len(np.unique(request))
        yield CoverageRow(
            promise=promise,
            name=name,
            nominal=1 - MISSED,
            share=found.share,
            low=found.low,
            high=found.high,
            by_request=found.by_request,
            n_wanted=found.n_wanted,
            n_requests=n_requests,
            mean_size=found.mean_size,
            mean_candidates=len(request) / n_requests,
        )


def _risks(answers: Answers) -> Iterator[RiskSeries]:
    shown = answers.shown
    missed = (~answers.wanted[shown]).astype(np.float64)
    for name, unsure in (
        ("by probability", 1 - answers.probability[shown]),
        ("by spread of models", answers.spread[shown].astype(np.float64)),
    ):
        if not np.isnan(unsure).all():
            found = risk_coverage(unsure, missed)
            yield RiskSeries(name, found.coverage, found.risk, found.area)


def _sorting(answers: Answers, seed: int) -> Iterator[SortingRow]:
    """Whether what is shown with less certainty is missed more, and the same of all candidates."""
    chance, spread = answers.probability, answers.spread.astype(np.float64)
    squared = (chance - answers.wanted) ** 2
    missed = np.where(answers.shown, (~answers.wanted).astype(np.float64), np.nan)
    for uncertainty, error, unsure, wrong in (
        ("one minus the probability", "what is shown and not wanted", 1 - chance, missed),
        ("spread of models", "what is shown and not wanted", spread, missed),
        ("variance of the probability", "squared error of all", chance * (1 - chance), squared),
        ("spread of models", "squared error of all", spread, squared),
    ):
        rng = generator(seed, f"{_NAME}.{uncertainty}.{error}")
        found = sorts_errors(unsure, wrong, answers.request, rng)
        if found.n:
            yield SortingRow(
                uncertainty, error, found.ratio, found.spearman, found.low, found.high, found.n
            )


def _weights(answers: Answers, bases: tuple[str, ...]) -> Iterator[WeightRow]:
    """A base that cannot score weighs nothing there."""
    weighed = ~np.isnan(answers.weights).all(axis=1)
    for name, part in _users(answers):
        weights = np.nan_to_num(answers.weights[part & weighed]).astype(np.float64)
        if not len(weights):
            continue
        logs = np.log(weights, out=np.zeros_like(weights), where=weights > 0)
        yield WeightRow(
            name,
            len(weights),
            dict(zip(bases, weights.mean(axis=0).tolist(), strict=True)),
            dict(zip(bases, weights.std(axis=0).tolist(), strict=True)),
            float(np.exp(-(weights * logs).sum(axis=1)).mean()),
        )


def _confidences(answers: Answers, bases: tuple[str, ...], seed: int) -> Iterator[ConfidenceRow]:
    for place, base in enumerate(bases):
        stated = answers.confidence[:, place].astype(np.float64)
        there = ~np.isnan(stated)
        if there.any():
            wanted, request = answers.wanted[there], answers.request[there]
            yield ConfidenceRow(
                base,
                int(there.sum()),
                float(stated[there].mean()),
                float(wanted.mean()),
                **_quality(stated[there], wanted, request, seed, f"confidence.{base}"),
            )
