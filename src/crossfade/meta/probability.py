"""From a blend's score to the probability that a candidate is wanted, and how well that holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossfade.calibration.base import Calibrator
from crossfade.calibration.choosing import choose_calibrator
from crossfade.calibration.metrics import CalibrationError, brier, calibration_error, log_loss
from crossfade.data.splits import Trial
from crossfade.errors import DataError
from crossfade.fusion.auto import SLICES, slice_of
from crossfade.fusion.base import FusionModel, LabelledSignals
from crossfade.meta.contextual import labelled
from crossfade.meta.lists import FusedScorer
from crossfade.meta.signals import MAX_CELLS
from crossfade.rng import generator
from crossfade.types import Bools, Csr, Doubles, Floats, Ints


@dataclass(frozen=True)
class Row:
    """How well probabilities hold for some people.

    Attributes:
        name: ``all`` or one of `SLICES`.
        n_requests: Requests with a candidate that has a probability.
        n: Candidates with one.
        share: Share of them that is wanted.
        error: Expected calibration error with its interval; None with fewer than two requests.
        brier: Mean squared error.
        log_loss: In nats per candidate.
    """

    name: str
    n_requests: int
    n: int
    share: float
    error: CalibrationError | None
    brier: float
    log_loss: float

    @property
    def error_text(self) -> str:
        """Debiased error with its interval; 0 is perfect, and chance alone goes either way of it."""
        if self.error is None:
            return "unknown"
        return f"{self.error.debiased:.4f} [{self.error.low:.4f}, {self.error.high:.4f}]"

    def to_json(self) -> dict[str, Any]:
        """As plain values; None for what is not known."""
        error = None if self.error is None else {k: _plain(v) for k, v in vars(self.error).items()}
        plain = {k: _plain(v) for k, v in vars(self).items() if k != "error"}
        return {**plain, "calibration_error": error}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def fit_probability(
    model: FusionModel[Any], lists: LabelledSignals, seed: int
) -> Calibrator | None:
    """A calibrator of a model's scores on lists it did not learn from, chosen out of fold.

    Args:
        model: Fitted.
        lists: Of the calibrate block.
        seed: The run's one seed.

    Returns:
        The calibrator; None where fewer than two requests have a wanted candidate.
    """
    score = model.forward(lists.signals).score
    there = np.isfinite(score)
    request = np.broadcast_to(np.arange(len(score))[:, None], score.shape)[there]
    rng = generator(seed, "meta.probability")
    try:
        return choose_calibrator(score[there], lists.relevant[there], request, rng).calibrator
    except DataError:  # nobody, or a single person, wanted any of it
        return None


def probability_rows(
    scorer: FusedScorer, calibrator: Calibrator, trials: Sequence[Trial], seed: int
) -> list[Row]:
    """How well probabilities hold on the lists of some trials, over all and by history.

    Args:
        scorer: Its bases were fitted on what came before the trials.
        calibrator: Of its scores.
        trials: What was asked, and what was wanted.
        seed: For the intervals.
    """
    parts = [_answered(scorer, calibrator, trial) for trial in trials]
    probability, wanted, people, sizes = (
        np.concatenate([part[place] for part in parts]) for place in range(4)
    )
    request = np.repeat(np.arange(len(sizes)), sizes)
    who = np.repeat(people, sizes)
    rows = [_row("all", probability, wanted, request, seed)]
    rows += [
        _row(name, probability[who == place], wanted[who == place], request[who == place], seed)
        for place, name in enumerate(SLICES)
    ]
    return [row for row in rows if row.n]


def _answered(
    scorer: FusedScorer, calibrator: Calibrator, trial: Trial
) -> tuple[Doubles, Bools, Ints, Ints]:
    """Probabilities, which were wanted, the slice of each request, and candidates per request."""
    found: list[tuple[Doubles, Bools, Ints, Ints]] = []
    for place, batch in trial.queries.batches(max(1, MAX_CELLS // trial.queries.n_items)):
        signals, item_row = scorer.lists.build(batch)
        score: Floats = scorer.fusion.forward(signals).score
        if trial.hidden is not None:  # what may not be answered is no candidate
            hidden = np.take_along_axis(
                Csr(trial.hidden[place]).toarray() != 0, np.maximum(item_row, 0), axis=1
            )
            score = np.where(hidden, np.float32(np.nan), score)
        lists = labelled(signals, item_row, Csr(trial.relevant[place]))
        there = np.isfinite(score)
        found.append(
            (
                calibrator.predict(score[there]),
                lists.relevant[there],
                slice_of(signals),
                there.sum(axis=1).astype(np.int64),
            )
        )
    return tuple(np.concatenate([part[at] for part in found]) for at in range(4))  # type: ignore[return-value]


def _row(name: str, probability: Doubles, wanted: Bools, request: Ints, seed: int) -> Row:
    n_requests = len(np.unique(request))
    if not len(probability):
        return Row(name, 0, 0, np.nan, None, np.nan, np.nan)
    rng = generator(seed, f"meta.probability.{name}")
    enough = n_requests >= 2
    return Row(
        name=name,
        n_requests=n_requests,
        n=len(probability),
        share=float(wanted.mean()),
        error=calibration_error(probability, wanted, request, rng) if enough else None,
        brier=brier(probability, wanted).score,
        log_loss=log_loss(probability, wanted),
    )
