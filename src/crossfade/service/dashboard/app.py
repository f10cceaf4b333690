"""The pages as one app, mounted by the service: who may come in, what failures look like, what browsers may do."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crossfade.errors import CrossfadeError
from crossfade.service.access import Doorkeeper
from crossfade.service.dashboard import (
    experiments,
    history,
    items,
    listeners,
    monitoring,
    quality,
    reactions,
    signing_in,
    static,
    versions,
)
from crossfade.service.dashboard.pages import render, url, wrong
from crossfade.service.dashboard.sessions import Sessions, presented
from crossfade.service.faults import Refusal, told
from crossfade.service.state import Service

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Browsers send no origin with a form where nothing at all may be said of where it came from.
    "Referrer-Policy": "same-origin",
}
"""Of every answer: what is shown was written here, and nobody shows it inside a page of theirs."""


def create_dashboard(service: Service) -> ASGIApp:
    """The pages of a running service."""
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    app.state.service = service
    app.state.sessions = sessions = Sessions(service.log)
    look_up = None if service.door.open else sessions.key
    app.state.door = Doorkeeper(look_up, service.door.rates, presented=presented)
    for kind in (HTTPException, RequestValidationError, CrossfadeError, Exception):
        app.add_exception_handler(kind, _fault)
    for part in (
        static,
        signing_in,
        listeners,
        reactions,
        history,
        items,
        experiments,
        monitoring,
        versions,
        quality,
    ):
        app.include_router(part.router)
    return _Sealed(app)


async def _fault(request: Request, error: Exception) -> Response:
    """A failure as a page, or as a line where a part of a page was asked for."""
    if isinstance(error, RequestValidationError):
        error = Refusal(422, wrong(error.errors()))
    said = told(request, error)
    headers = dict(said.headers or {})
    part = "hx-request" in request.headers
    if said.status == 401:
        here = request.headers.get("hx-current-url", "") if part else str(request.url)
        sign_in = url("login", back=here)
        if part:
            return Response(status_code=401, headers={"HX-Redirect": sign_in})
        return RedirectResponse(sign_in, 303)
    if part:
        headers |= {"HX-Retarget": "#said", "HX-Reswap": "innerHTML", "HX-Reselect": "#fault"}
    name = "fault_line.html.j2" if part else "fault.html.j2"
    page = render(request, name, status=said.status, message=said.message)
    page.headers.update(headers)
    return page


class _Sealed:
    """Puts `HEADERS` on every answer of an app."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, sealed)
