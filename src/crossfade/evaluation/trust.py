"""How far a blend's own words can be trusted, as plain values for JSON, text and report."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crossfade.evaluation.calibration_plots import ReliabilitySeries, RiskSeries


@dataclass(frozen=True)
class ProbabilityRow:
    """How well probabilities hold for some candidates.

    Attributes:
        family: ``user``, by who asks, or ``item age``.
        name: Of the slice; ``all`` for everything.
        n_requests: Requests with a candidate that has a probability.
        n: Candidates with one.
        share: Share of them that is wanted.
        calibration_error: Expected calibration error over equal-mass bins, ``plain`` and
            ``debiased``, with the interval ``low`` to ``high``; None with fewer than two requests.
        brier: Mean squared error.
        log_loss: In nats per candidate.
    """

    family: str
    name: str
    n_requests: int
    n: int
    share: float
    calibration_error: Mapping[str, float] | None
    brier: float
    log_loss: float

    @property
    def error_text(self) -> str:
        """Debiased error with its interval; 0 is perfect, and chance alone goes either way of it."""
        found = self.calibration_error
        if found is None:
            return "unknown"
        return f"{found['debiased']:.4f} [{found['low']:.4f}, {found['high']:.4f}]"

    @property
    def title(self) -> str:
        """What the row is of."""
        return f"{self.name} users" if self.family == "user" else f"items {self.name}"


@dataclass(frozen=True)
class CoverageRow:
    """How often conformal sets held what was wanted.

    Attributes:
        promise: For whom it was made: ``everybody together``, or ``each history``.
        name: Of the slice of users; ``all`` for everybody.
        nominal: Share that was promised.
        share: Of wanted candidates that were in the sets.
        low: Lower end of its interval over requests; NaN with fewer than two.
        high: Upper end.
        by_request: Mean over requests of the share of what each wanted.
        n_wanted: Wanted candidates.
        n_requests: Requests, also those that wanted nothing.
        mean_size: Candidates in the set of a request.
        mean_candidates: Candidates that could have been.
    """

    promise: str
    name: str
    nominal: float
    share: float
    low: float
    high: float
    by_request: float
    n_wanted: int
    n_requests: int
    mean_size: float
    mean_candidates: float

    @property
    def text(self) -> str:
        """Share inside, with its interval where there is one."""
        interval = "" if math.isnan(self.low) else f" [{self.low:.1%}, {self.high:.1%}]"
        return f"{self.share:.1%}{interval}"


@dataclass(frozen=True)
class SortingRow:
    """Whether errors grow with an uncertainty.

    Attributes:
        uncertainty: Which.
        error: Of what.
        ratio: Mean error of the surest fifth over that of the least sure; below 1 is good.
        spearman: Rank correlation of uncertainty and error; above 0 is good.
        low: Lower end of its interval over requests.
        high: Upper end.
        n: Candidates.
    """

    uncertainty: str
    error: str
    ratio: float
    spearman: float
    low: float
    high: float
    n: int

    @property
    def text(self) -> str:
        """The row as a sentence."""
        return (
            f"{self.uncertainty} against {self.error}: rank correlation {self.spearman:+.3f} "
            f"[{self.low:+.3f}, {self.high:+.3f}], surest fifth to least sure {self.ratio:.2f}"
        )


@dataclass(frozen=True)
class WeightRow:
    """What the bases weighed in the scores of some users.

    Attributes:
        name: Of the slice of users; ``all`` for everybody.
        n: Candidates whose score is a weighted mean of bases.
        mean: Mean weight by base; they sum to 1.
        spread: Standard deviation of each weight over candidates, by base; 0 is a static blend.
        speaking: How many bases speak in a score: the exponential of the entropy of its weights,
            averaged over candidates.
    """

    name: str
    n: int
    mean: Mapping[str, float]
    spread: Mapping[str, float]
    speaking: float


@dataclass(frozen=True)
class ConfidenceRow:
    """How well what a model believes of a base holds.

    Attributes:
        base: Label.
        n: Candidates with a confidence.
        stated: Mean confidence that the candidate is wanted.
        share: Share that was.
        calibration_error: See `ProbabilityRow`.
        brier: Mean squared error.
        log_loss: In nats per candidate.
    """

    base: str
    n: int
    stated: float
    share: float
    calibration_error: Mapping[str, float] | None
    brier: float
    log_loss: float


@dataclass(frozen=True, eq=False)
class Trust:
    """All of it for one model on one block.

    Attributes:
        model: Its name in the table.
        calibrator: Which one turns its scores into probabilities, and for which kinds apart.
        rows: Probabilities, everything first.
        reliability: Promised against found; of everything.
        risks: Share not wanted among the surest of what is shown, one curve per uncertainty.
        coverage: Conformal sets, everybody first.
        sorting: Uncertainties against errors.
        weights: Of the bases, everybody first; empty for models that weigh no bases.
        confidences: By base; empty for models that state none.
    """

    model: str
    calibrator: str
    rows: tuple[ProbabilityRow, ...]
    reliability: ReliabilitySeries
    risks: tuple[RiskSeries, ...]
    coverage: tuple[CoverageRow, ...]
    sorting: tuple[SortingRow, ...]
    weights: tuple[WeightRow, ...]
    confidences: tuple[ConfidenceRow, ...]

    def to_json(self) -> dict[str, Any]:
        """For ``crossfade evaluate --json``; what could not be measured is null."""
        curve = self.reliability
        found = {
            "calibrator": self.calibrator,
            "calibration": [vars(row) for row in self.rows],
            "reliability": {
                key: getattr(curve, key).tolist() for key in ("probability", "share", "low", "high")
            },
            "conformal": [vars(row) for row in self.coverage],
            "uncertainty": [vars(row) for row in self.sorting],
            "risk_area": {risk.name: risk.area for risk in self.risks},
            "weights": [vars(row) for row in self.weights],
            "confidences": [vars(row) for row in self.confidences],
        }
        return {key: _plain(value) for key, value in found.items()}

    def lines(self) -> list[str]:
        """For a terminal."""
        lines = [f"calibrator: {self.calibrator}"]
        lines += [
            f"probabilities, {row.title} ({row.n:,} candidates of {row.n_requests:,} requests, "
            f"{row.share:.2%} wanted): calibration error {row.error_text}, Brier {row.brier:.4f}, "
            f"log-loss {row.log_loss:.4f}"
            for row in self.rows
        ]
        lines += [
            f"conformal sets, promise to {row.promise}, {row.name} users: {row.text} of "
            f"{row.n_wanted:,} wanted candidates inside, {row.nominal:.0%} promised; "
            f"{row.mean_size:.0f} of {row.mean_candidates:.0f} candidates in a set"
            for row in self.coverage
        ]
        lines += [f"uncertainty, {row.text}" for row in self.sorting]
        lines += [
            f"weights, {row.name} users: "
            + ", ".join(
                f"{base} {weight:.2f}"
                for base, weight in sorted(row.mean.items(), key=lambda pair: -pair[1])
                if round(weight, 2)
            )
            + f"; {row.speaking:.1f} bases speak in a score"
            for row in self.weights
        ]
        lines += [
            f"confidence in {row.base}: {row.stated:.2%} stated, {row.share:.2%} wanted, calibration error "
            + (
                "unknown"
                if row.calibration_error is None
                else f"{row.calibration_error['debiased']:.4f}"
            )
            for row in self.confidences
        ]
        return lines


NOTHING: dict[str, Any] = {
    "calibrator": None,
    "calibration": [],
    "reliability": None,
    "conformal": [],
    "uncertainty": [],
    "risk_area": {},
    "weights": [],
    "confidences": [],
}
"""`Trust.to_json` where no model with probabilities serves."""


def _plain(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
