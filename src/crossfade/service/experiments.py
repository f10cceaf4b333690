"""Experiments: begun, grown, stopped and looked at."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Path

from crossfade.experiments import Arm, Experiment
from crossfade.experiments.kept import analysed, begin
from crossfade.online import Ask
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

router = APIRouter(prefix="/v1/experiments", tags=["experiments"])

Name = Annotated[Word, Path()]


@router.get("", dependencies=[Depends(needs("read"))])
async def experiments(service: Running) -> ExperimentsAnswer:
    """All that ever were."""
    found = await asyncio.to_thread(service.log.experiments.every)
    return ExperimentsAnswer(experiments=[ExperimentLine.of(one) for one in found])


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
    """Begin an experiment; raises what a list by one of its arms would."""
    for arm in asked.arms:
        await _try(service, arm)
    await asyncio.to_thread(begin, service.log, asked, now_us())
    await asyncio.to_thread(service.assigning.read)


async def grown(service: Service, name: str, traffic: float) -> None:
    """Let more units take part."""
    await asyncio.to_thread(service.log.experiments.grow, name, traffic, now_us())
    await asyncio.to_thread(service.assigning.read)


async def stopped(service: Service, name: str) -> None:
    """Let nobody take part any more."""
    await asyncio.to_thread(service.log.experiments.stop, name, now_us())
    await asyncio.to_thread(service.assigning.read)


async def told(service: Service, name: str) -> ExperimentAnswer:
    """An experiment and what it says so far."""
    # It may take seconds: one at a time, so that threads are left for events.
    async with service.assigning.analysing:
        return await asyncio.to_thread(_analysed, service, name)


async def _try(service: Service, arm: Arm) -> None:
    """Raise what a list by this arm would."""
    ask = Ask(k=1, seed=0)
    await service.answering.ask(lambda live: as_changed(live, ask, arm.changes))


def _analysed(service: Service, name: str) -> ExperimentAnswer:
    stored = service.log.experiments.get(name)
    return ExperimentAnswer.telling(stored, analysed(service.log, stored, now_us()))
