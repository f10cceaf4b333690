"""Versions, health, and what is counted."""

import asyncio

from fastapi import APIRouter, Depends
from starlette.responses import Response

from crossfade.errors import StoreError
from crossfade.service.asking import Running, needs
from crossfade.service.messages import ModelsAnswer, Promotion, State, VersionLine
from crossfade.service.monitoring import newest_report
from crossfade.service.state import Service

router = APIRouter(tags=["operations"])


@router.get("/v1/models", dependencies=[Depends(needs("read"))])
async def models(service: Running) -> ModelsAnswer:
    """The version that answers, and the others there are."""
    return await asyncio.to_thread(_models, service)


@router.post("/v1/models/promote", dependencies=[Depends(needs("admin"))])
async def promote(asked: Promotion, service: Running) -> ModelsAnswer:
    """Let a version serve; requests go on while it is loaded."""
    await asyncio.to_thread(service.versions.promote, asked.version)
    return await asyncio.to_thread(_models, service)


@router.post("/v1/models/rollback", dependencies=[Depends(needs("admin"))])
async def rollback(service: Running) -> ModelsAnswer:
    """Let the version serve that served before."""
    await asyncio.to_thread(service.versions.rollback)
    return await asyncio.to_thread(_models, service)


@router.get("/healthz")
async def healthy() -> State:
    """Whether the process lives."""
    return State(status="ok")


@router.get("/readyz", responses={503: {"model": State}})
async def ready(service: Running) -> Response:
    """Whether lists can be made and reactions taken."""
    broken = await asyncio.to_thread(_problems, service)
    # A promoted version that cannot serve is told, but the one before it answers as well as ever.
    refused = [] if service.versions.problem is None else [service.versions.problem]
    state = State(
        status="not ready" if broken else "ok",
        version=service.versions.current().version,
        problems=[*broken, *refused],
    )
    return Response(state.model_dump_json(), 503 if broken else 200, media_type="application/json")


@router.get(
    "/metrics",
    dependencies=[Depends(needs("read"))],
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(service: Running) -> Response:
    """What is counted and timed, for Prometheus."""
    service.meters.people.set(len(service.people))
    newest = await asyncio.to_thread(newest_report, service)
    if newest.report is not None:
        service.meters.reported(newest.report, newest.time_us)
    return Response(service.meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _models(service: Service) -> ModelsAnswer:
    serving = service.versions.current().version
    lines = [
        VersionLine(
            version=version.version,
            serves=version.version == serving,
            promoted=version.promoted,
            added=version.added,
            n_events=version.n_events,
            metrics=dict(version.metrics),
            problem=version.problem,
        )
        for version in service.versions.list()
    ]
    return ModelsAnswer(version=serving, versions=lines)


def _problems(service: Service) -> list[str]:
    try:
        service.log.check()
    except StoreError as error:
        return [str(error)]
    return []
