"""Which versions there are, and which one serves."""

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from crossfade.service.dashboard.pages import Looks, Running, Runs, Sent, read, render, url
from crossfade.service.messages import Promotion

router = APIRouter()


@router.get("/versions", dependencies=[Looks])
async def versions(request: Request, service: Running) -> Response:
    """The versions of the registry, the newest first."""
    found = await asyncio.to_thread(service.versions.list)
    back = next((one.version for one in found if one.rollback), None)
    return render(
        request, "versions.html.j2", versions=found, back=back, problem=service.versions.problem
    )


@router.post("/versions/promote", dependencies=[Runs])
async def promote(service: Running, fields: Sent) -> Response:
    """Let a version serve."""
    asked = read(Promotion, fields)
    await asyncio.to_thread(service.versions.promote, asked.version)
    return RedirectResponse(url("versions"), 303)


@router.post("/versions/rollback", dependencies=[Runs])
async def rollback(service: Running) -> Response:
    """Let the version serve that served before."""
    await asyncio.to_thread(service.versions.rollback)
    return RedirectResponse(url("versions"), 303)
