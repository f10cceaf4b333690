"""Rules over the numbers of a report: what is beyond the usual, and for how long."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from crossfade.config import Field, Settings
from crossfade.monitoring.measure import Measure, Number


class Rule(Settings):
    """When a measure deserves a look.

    What is usual is what the stretches at the end of the version's own log had; of outcomes, what earlier
    reports on the version had. A limit is never nearer than what another such stretch may reach by chance. A
    measure with an interval is beyond a limit when all of the interval is.
    """

    name: str = Field(description="What the alert is called.")
    measure: str = Field(
        description="Name of the measure; every feature, base or kind it is of is judged."
    )
    above: bool = Field(False, description="Whether too much is wrong.")
    below: bool = Field(False, description="Whether too little is wrong.")
    slack: float = Field(
        0.5,
        ge=0,
        description="The limit lies this share above the largest, or below the smallest, of the usual values.",
    )
    at_least: float | None = Field(
        None,
        description="An upper limit is never below this; without usual values it is the limit.",
    )
    at_most: float | None = Field(
        None, description="A lower limit is never above this; without usual values it is the limit."
    )
    min_n: int = Field(30, ge=1, description="With fewer people nothing is said.")
    for_reports: int = Field(1, ge=1, description="Reports in a row in which it must be so.")
    severity: str = Field("warning", description="warning or critical.")

    def upper(self, measure: Measure) -> float | None:
        """The limit that the measure must not pass; None where there is none."""
        usual = None if measure.usual_high is None else measure.usual_high * (1 + self.slack)
        return (
            max(_there(usual, measure.expected_high, self.at_least, measure.chance), default=None)
            if self.above
            else None
        )

    def lower(self, measure: Measure) -> float | None:
        """The limit that the measure must not fall below; None where there is none."""
        usual = None if measure.usual_low is None else measure.usual_low * (1 - self.slack)
        limits = _there(usual, measure.expected_low, self.at_most)
        return min(limits, default=None) if self.below else None


RULES: tuple[Rule, ...] = (
    Rule(name="input_drift", measure="psi", above=True, at_least=0.1),
    Rule(name="session_features_off_scale", measure="session_shift", above=True, at_least=0.5),
    Rule(name="unknown_ids", measure="unknown", above=True, at_least=0.05),
    Rule(name="metadata_gone", measure="completeness", below=True, slack=0.05),
    Rule(name="audio_less_sure", measure="audio_confidence", below=True, slack=0.1),
    Rule(name="blend_less_decisive", measure="decisiveness", below=True),
    Rule(name="blend_more_decisive", measure="decisiveness", above=True, at_least=0.5),
    Rule(name="repeated_creators", measure="repeat_creator", above=True, at_least=0.2),
    Rule(name="few_genres", measure="genres", below=True, slack=0.25),
    Rule(name="candidates_miss", measure="candidate_recall", below=True, severity="critical"),
    Rule(name="fewer_hits", measure="hit", below=True, severity="critical"),
    Rule(
        name="concept_drift",
        measure="loss_change",
        above=True,
        at_least=0.0,
        severity="critical",
    ),
    Rule(
        name="out_of_calibration",
        measure="calibration_error",
        above=True,
        at_least=0.05,
        for_reports=2,
    ),
    Rule(name="adaptation_harms", measure="adaptation_gain", below=True, at_most=0.0),
    Rule(name="requests_fail", measure="failed", above=True, at_least=0.01, severity="critical"),
    Rule(name="requests_refused", measure="refused", above=True, at_least=0.1),
    Rule(name="slow_answers", measure="seconds_p99", above=True, at_least=0.5),
    Rule(name="neighbours_changed", measure="neighbour_overlap", below=True, at_most=0.2),
)
"""The usual ones. 0.1 is where readers of the stability index begin to speak of a shift."""


class Alert(BaseModel):
    """A rule that is broken."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    severity: str
    measure: str
    of: str
    value: Number
    limit: Number
    n: int


def broken(
    measures: Sequence[Measure], rules: Sequence[Rule], earlier: Sequence[Sequence[Measure]] = ()
) -> list[Alert]:
    """Every rule that some measure breaks now, and broke in the reports before as long as it asks.

    Args:
        measures: Of the newest report.
        rules: What to judge by.
        earlier: Those of the reports of the same version before it, newest first.
    """
    past = [{one.key: one for one in report} for report in earlier]
    alerts = []
    for rule in rules:
        for measure in measures:
            limit = _limit(rule, measure)
            if limit is None:
                continue
            before = [report.get(measure.key) for report in past[: rule.for_reports - 1]]
            so_long = [one for one in before if one is not None and _limit(rule, one) is not None]
            if len(so_long) == rule.for_reports - 1:
                alerts.append(
                    Alert(
                        rule=rule.name,
                        severity=rule.severity,
                        measure=measure.name,
                        of=measure.of,
                        value=measure.value,
                        limit=limit,
                        n=measure.n,
                    )
                )
    return alerts


def _limit(rule: Rule, measure: Measure) -> float | None:
    """The limit that a measure is beyond; None where it is not."""
    if measure.name != rule.measure or measure.value is None or measure.n < rule.min_n:
        return None
    upper, lower = rule.upper(measure), rule.lower(measure)
    least = measure.value if measure.low is None else measure.low
    most = measure.value if measure.high is None else measure.high
    if upper is not None and least > upper:
        return upper
    return lower if lower is not None and most < lower else None


def _there(*limits: float | None) -> list[float]:
    return [one for one in limits if one is not None]
