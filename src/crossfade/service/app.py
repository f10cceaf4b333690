"""The web app: routes, errors and what is around every request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp

from crossfade.service import (
    events,
    experiments,
    faults,
    items,
    lists,
    monitoring,
    operations,
    users,
)
from crossfade.service.dashboard.app import create_dashboard
from crossfade.service.messages import FaultAnswer
from crossfade.service.shortcut import Shortcut
from crossfade.service.state import Service
from crossfade.service.wire import Wire
from crossfade.version import __version__

WRONG = {
    status: {"model": FaultAnswer}
    for status in (400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 503)
}


def create_app(service: Service) -> ASGIApp:
    """An app over a running service, which it closes when it ends."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        watching = [
            asyncio.create_task(service.versions.watch(service.config.reload_s)),
            asyncio.create_task(service.unavailable.watch()),
            asyncio.create_task(service.assigning.watch(service.config.reload_s)),
        ]
        yield
        for task in watching:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title="crossfade",
        version=__version__,
        description="Lists, the reasons for them, and reactions to them.",
        lifespan=life,
        responses=WRONG,  # type: ignore[arg-type]
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # a redirect would lead to whatever host the caller names
    )
    app.state.service = service
    faults.install(app)
    for part in (lists, events, experiments, items, users, operations, monitoring):
        app.include_router(part.router)
    app.mount("/dashboard", create_dashboard(service))
    app.add_route("/dashboard", _home, include_in_schema=False)
    app.add_middleware(Shortcut, service=service)
    if service.config.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=service.config.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
        )
    return Wire(app, service.config, service.answered)


async def _home(_: Request) -> Response:
    return RedirectResponse("/dashboard/")
