"""Experiments: which there are, what each says so far, and to begin, grow and stop them."""

import asyncio
import tomllib
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import RedirectResponse, Response

from crossfade.config import validate
from crossfade.errors import ConfigError
from crossfade.experiments import Experiment
from crossfade.experiments.assignment import BUCKETS
from crossfade.experiments.lines import MEANING, changed_versions
from crossfade.service.dashboard.charts import Scale
from crossfade.service.dashboard.pages import Looks, Running, Runs, Sent, read, render, url
from crossfade.service.experiment_messages import ComparisonLine, ExperimentAnswer, ExperimentLine
from crossfade.service.experiments import begun, grown, line_of, stopped, told
from crossfade.service.messages import Message, Word

router = APIRouter()

EXAMPLE = """name = "shelf"
minimal_effect = 0.1
planned = 4000
traffic = 0.1

[[arms]]
name = "as-is"

[[arms]]
name = "mixed"
[arms.ranking]
diversity = 0.3
"""
"""What the form for a new one begins with."""


class Named(Message):
    """Which experiment."""

    name: Word


class Growing(Named):
    """To how much."""

    percent: float = Field(ge=100 / BUCKETS, le=100)


class Written(Message):
    """A new experiment, as it is typed."""

    settings: Annotated[str, Field(max_length=20_000)]


@router.get("/experiments", dependencies=[Looks])
async def experiments(request: Request, service: Running) -> Response:
    """All that ever were, the newest first."""
    stored = await asyncio.to_thread(service.log.experiments.every)
    lines = [line_of(service, one) for one in reversed(stored)]
    return render(request, "experiments.html.j2", experiments=lines, example=EXAMPLE)


@router.get("/experiment", dependencies=[Looks])
async def experiment(
    request: Request,
    service: Running,
    name: Annotated[Word, Query()],
    says: Annotated[bool, Query()] = False,
) -> Response:
    """One of them; what it says takes a while and is asked for once the page is there."""
    found: ExperimentLine | ExperimentAnswer
    changed: list[str] = []
    if says:
        found = await told(service, name)
        analysis = found.analysis
        changed = changed_versions({arm.name: arm.versions for arm in analysis.arms})
        scales = [_scale(one, found.settings.minimal_effect) for one in analysis.comparisons]
    else:
        stored = await asyncio.to_thread(service.log.experiments.get, name)
        found, analysis, scales = line_of(service, stored), None, []
    return render(
        request,
        "experiment.html.j2",
        experiment=found,
        analysis=analysis,
        scales=scales,
        meaning=MEANING,
        changed=changed,
    )


@router.post("/experiments/begin", dependencies=[Runs])
async def begin(service: Running, fields: Sent) -> Response:
    """Begin one as its settings say."""
    try:
        values = tomllib.loads(read(Written, fields).settings)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the settings are not TOML: {error}") from None
    asked = validate(Experiment, values, "the settings")
    await begun(service, asked)
    return RedirectResponse(url("experiment", name=asked.name), 303)


@router.post("/experiments/grow", dependencies=[Runs])
async def grow(service: Running, fields: Sent) -> Response:
    """Let more units take part."""
    asked = read(Growing, fields)
    await grown(service, asked.name, asked.percent / 100)
    return RedirectResponse(url("experiment", name=asked.name), 303)


@router.post("/experiments/stop", dependencies=[Runs])
async def stop(service: Running, fields: Sent) -> Response:
    """Let nobody take part any more."""
    asked = read(Named, fields)
    await stopped(service, asked.name)
    return RedirectResponse(url("experiment", name=asked.name), 303)


def _scale(one: ComparisonLine, minimal_effect: float) -> Scale:
    """Where the intervals of a comparison are drawn: with 0 and the smallest effect that matters."""
    ends = (one.always.low, one.always.high, one.once.low, one.once.high)
    return Scale.over((-minimal_effect, minimal_effect, *ends))
