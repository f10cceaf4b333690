"""What goes over the wire about experiments; what is not known yet is null."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from crossfade.data.dataset import to_datetime
from crossfade.experiments import Experiment
from crossfade.experiments.analysis import Analysis, Verdict
from crossfade.experiments.assignment import BUCKETS
from crossfade.experiments.kept import settings_of
from crossfade.service.messages import Message
from crossfade.store.log.experiments import StoredExperiment


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


Known = Annotated[float | None, BeforeValidator(_known)]


class Growth(Message):
    """That more are to take part."""

    traffic: float = Field(ge=1 / BUCKETS, le=1, description="More than it has.")


# -- answers -------------------------------------------------------------------------------


class _Told(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Between(_Told):
    """The ends of an interval."""

    low: Known
    high: Known


class ArmLine(_Told):
    """What came of one arm."""

    name: str
    share: float = Field(description="Of the units, that it should get.")
    n_seen: int = Field(description="Units that got a list of it.")
    n: int = Field(description="Units that count: their days are over.")
    n_lists: int = Field(description="Lists of those that count.")
    mean: Known = Field(description="Of the metric, each unit once.")
    interval: Between = Field(description="Of the mean, for one look.")
    versions: Mapping[str, int] = Field(
        description="What answered its lists, with how many; several where what served changed."
    )


class ComparisonLine(_Told):
    """One arm against the first one."""

    arm: str
    n: int = Field(description="Units of both that count.")
    n_before: int = Field(description="Those of them with lists before the experiment.")
    difference: Known = Field(description="Its mean less that of the first arm.")
    once: Between = Field(description="For a single look at a moment fixed before.")
    always: Between = Field(description="Holds however often one looks; the verdict rests on it.")
    needed: int | None = Field(description="Units of both that would find the minimal effect.")
    verdict: Verdict


class AnalysisAnswer(_Told):
    """What an experiment says so far."""

    arms: Sequence[ArmLine]
    comparisons: Sequence[ComparisonLine]
    mismatch_p: Known = Field(description="How likely units are spread so by chance.")
    mismatch: bool = Field(description="Too unlikely: nothing else here means anything.")


class StepLine(BaseModel):
    """That an experiment had so much traffic from some moment on; 0 is that it was stopped."""

    time: datetime
    traffic: float


class ExperimentLine(BaseModel):
    """One experiment, as it was begun and went on."""

    name: str
    runs: bool
    traffic: float
    steps: Sequence[StepLine]
    settings: Experiment
    problem: str | None = Field(
        None, description="Why nobody takes part in it where this was asked, although it runs."
    )

    @classmethod
    def of(cls, stored: StoredExperiment) -> Self:
        """The line of an experiment of the log."""
        steps = [
            StepLine(time=to_datetime(step.time_us), traffic=step.traffic) for step in stored.steps
        ]
        return cls(
            name=stored.name,
            runs=stored.stopped_us is None,
            traffic=stored.traffic,
            steps=steps,
            settings=settings_of(stored),
        )


class ExperimentsAnswer(BaseModel):
    """All that ever were, oldest first."""

    experiments: Sequence[ExperimentLine]


class ExperimentAnswer(ExperimentLine):
    """One experiment and what it says."""

    analysis: AnalysisAnswer

    @classmethod
    def telling(cls, stored: StoredExperiment, analysis: Analysis) -> Self:
        """An experiment of the log and its analysis."""
        line = ExperimentLine.of(stored)
        return cls(**dict(line), analysis=AnalysisAnswer.model_validate(analysis))
