"""Whether a blend keeps its word: what it says of candidates against what was wanted."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from crossfade.calibration.conformal import coverage
from crossfade.calibration.grouping import TOGETHER
from crossfade.calibration.metrics import brier, calibration_error, log_loss, reliability_curve
from crossfade.calibration.mondrian import AGE_NAMES
from crossfade.calibration.risk import risk_coverage
from crossfade.calibration.uncertainty import sorts_errors
from crossfade.evaluation.calibration_plots import ReliabilitySeries, RiskSeries
from crossfade.evaluation.trust import (
    ConfidenceRow,
    CoverageRow,
    ProbabilityRow,
    SortingRow,
    Trust,
    WeightRow,
)
from crossfade.fusion.propagation import together
from crossfade.fusion.verdict import SLICES
from crossfade.meta.answers import Answers
from crossfade.meta.probability import MISSED, Probability
from crossfade.rng import generator
from crossfade.types import Bools, Doubles, Ints

_NAME = "meta.trust"


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
    chance = answers.probability
    missed = np.where(answers.shown, (~answers.wanted).astype(np.float64), np.nan)
    spreads = _spreads(answers)
    for error, wrong, plain in (
        ("what is shown and not wanted", missed, ("one minus the probability", 1 - chance)),
        (
            "squared error of all",
            (chance - answers.wanted) ** 2,
            ("variance of the probability", chance * (1 - chance)),
        ),
    ):
        for uncertainty, unsure in (plain, *spreads):
            rng = generator(seed, f"{_NAME}.{uncertainty}.{error}")
            found = sorts_errors(unsure, wrong, answers.request, rng)
            if found.n:
                yield SortingRow(
                    uncertainty, error, found.ratio, found.spearman, found.low, found.high, found.n
                )


def _spreads(answers: Answers) -> list[tuple[str, Doubles]]:
    """Uncertainties of the score; those of guesses only where one moves it."""
    models, guessed = (x.astype(np.float64) for x in (answers.spread, answers.guess_spread))
    found = [
        ("spread of models", models),
        ("disagreement of the bases", answers.disagreement.astype(np.float64)),
    ]
    if (guessed > 0).any():
        found += [
            ("spread from guessed audio values", guessed),
            ("both together", together([models, guessed])),
        ]
    return found


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
