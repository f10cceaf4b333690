"""What the data of the version that serves holds, and what it lacks."""

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from crossfade.service.dashboard.pages import Looks, Running, render

router = APIRouter(dependencies=[Looks])


@router.get("/data")
async def data(request: Request, service: Running) -> Response:
    """Counts, gaps and sources."""
    found = await asyncio.to_thread(service.versions.current().quality)
    return render(request, "data.html.j2", quality=found)
