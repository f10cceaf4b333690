"""Experiments of an event log: begun there, looked up there, and analysed from what it holds."""

from typing import TYPE_CHECKING

import polars as pl

from crossfade.config import validate
from crossfade.experiments.analysis import Analysis, analyse
from crossfade.experiments.config import Experiment
from crossfade.experiments.outcomes import EVENTS, LISTS, window_us
from crossfade.store.log import Log
from crossfade.types import MICROSECONDS_PER_DAY

if TYPE_CHECKING:  # it is made of SQLAlchemy, which comes with an extra
    from crossfade.store.log.experiments import StoredExperiment


def begin(log: Log, experiment: Experiment, now_us: int) -> None:
    """Begin an experiment.

    Raises:
        ConflictError: If there is or was one of that name.
    """
    settings = experiment.model_dump(mode="json")
    log.experiments.add(experiment.name, settings, experiment.traffic, now_us)


def settings_of(stored: "StoredExperiment") -> Experiment:
    """Settings of an experiment, with the traffic it began with.

    Raises:
        ConfigError: If this crossfade does not know them.
    """
    return validate(Experiment, dict(stored.settings), f'experiment "{stored.name}"')


def running(log: Log) -> list[Experiment]:
    """Those that run, oldest first, each with the traffic it has now."""
    return [
        settings_of(stored).model_copy(update={"traffic": stored.traffic})
        for stored in log.experiments.every()
        if stored.traffic
    ]


def analysed(log: Log, stored: "StoredExperiment", now_us: int) -> Analysis:
    """What an experiment says as of now."""
    experiment, there = settings_of(stored), log.experiments
    # Lists from before whose reactions could fall into the experiment tell of it already.
    before = (
        stored.started_us - round(experiment.before_days * MICROSECONDS_PER_DAY),
        stored.started_us - window_us(experiment),
    )
    whose = (stored.name, experiment.unit)
    return analyse(
        experiment,
        pl.DataFrame(there.lists(*whose, now_us), LISTS, orient="row"),
        pl.DataFrame(there.reactions(*whose, before[0], now_us), EVENTS, orient="row"),
        pl.DataFrame(there.lists_before(*whose, *before), LISTS, orient="row"),
        now_us,
    )
