"""Experiments: begun, grown, stopped and looked at."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Path

from crossfade.errors import ConfigError, CrossfadeError
from crossfade.experiments import Arm, Experiment
from crossfade.experiments.kept import analysed, begin
from crossfade.online import Ask, HeadConfig
from crossfade.service.asking import Running, needs
from crossfade.service.experiment_messages import (
    ExperimentAnswer,
    ExperimentLine,
    ExperimentsAnswer,
    Growth,
)
from crossfade.service.lists import as_changed
from crossfade.service.messages import Word
from crossfade.service.state import Service, now_us
from crossfade.service.workers import System
from crossfade.store.log.experiments import StoredExperiment

router = APIRouter(prefix="/v1/experiments", tags=["experiments"])

Name = Annotated[Word, Path()]


@router.get("", dependencies=[Depends(needs("read"))])
async def experiments(service: Running) -> ExperimentsAnswer:
    """All that ever were."""
    found = await asyncio.to_thread(service.log.experiments.every)
    return ExperimentsAnswer(experiments=[line_of(service, one) for one in found])


@router.get("/{name}", dependencies=[Depends(needs("read"))])
async def experiment(name: Name, service: Running) -> ExperimentAnswer:
    """One of them, and what it says so far."""
    return await told(service, name)


@router.post("", status_code=201, dependencies=[Depends(needs("admin"))])
async def add(asked: Experiment, service: Running) -> ExperimentAnswer:
    """Begin one; refused where the system that serves could not answer one of its arms."""
    await begun(service, asked)
    return await told(service, asked.name)


@router.post("/{name}/traffic", dependencies=[Depends(needs("admin"))])
async def grow(name: Name, asked: Growth, service: Running) -> ExperimentAnswer:
    """Let more units take part; those that do stay where they are."""
    await grown(service, name, asked.traffic)
    return await told(service, name)


@router.post("/{name}/stop", dependencies=[Depends(needs("admin"))])
async def stop(name: Name, service: Running) -> ExperimentAnswer:
    """Let nobody take part any more, for good."""
    await stopped(service, name)
    return await told(service, name)


async def begun(service: Service, asked: Experiment) -> None:
    """Begin an experiment, its versions loaded; raises what a list by one of its arms would."""
    await asyncio.to_thread(_begin, service, asked)


async def grown(service: Service, name: str, traffic: float) -> None:
    """Let more units take part."""
    await asyncio.to_thread(service.log.experiments.grow, name, traffic, now_us())
    await asyncio.to_thread(service.assigning.read)


async def stopped(service: Service, name: str) -> None:
    """Let nobody take part any more."""
    await asyncio.to_thread(service.log.experiments.stop, name, now_us())
    await asyncio.to_thread(service.assigning.read)


def line_of(service: Service, stored: StoredExperiment) -> ExperimentLine:
    """An experiment as it goes on here."""
    problem = service.assigning.problem(stored.name)
    return ExperimentLine.of(stored).model_copy(update={"problem": problem})


async def told(service: Service, name: str) -> ExperimentAnswer:
    """An experiment and what it says so far."""
    # It may take seconds: one at a time, so that threads are left for events.
    async with service.assigning.analysing:
        return await asyncio.to_thread(_analysed, service, name)


def _begin(service: Service, asked: Experiment) -> None:
    beside = service.assigning.beside
    with beside.changing:
        try:
            beside.load(asked.versions)
            for arm in asked.arms:
                version = arm.version
                _try(service.versions.current() if version is None else beside.held[version], arm)
            begin(service.log, asked, now_us())
        finally:  # what it asked for is let go where it was not begun
            service.assigning.read()


def _try(live: System, arm: Arm) -> None:
    """Raise what a list by this arm would."""
    ask = Ask(k=1, seed=0, now_us=now_us())
    (answer,) = live.answer([as_changed(live, ask, arm.changes)])
    if isinstance(answer, CrossfadeError):
        raise answer
    if arm.adapt and live.adapt(ask, HeadConfig()).outcome == "no_model":
        raise ConfigError(
            f'arm "{arm.name}" adapts, and version {live.version} has no learned blend or no times for that; '
            "leave adapt out"
        )


def _analysed(service: Service, name: str) -> ExperimentAnswer:
    stored = service.log.experiments.get(name)
    found = ExperimentAnswer.telling(stored, analysed(service.log, stored, now_us()))
    return found.model_copy(update={"problem": service.assigning.problem(name)})
