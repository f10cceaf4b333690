"""The two busiest places without most of the framework: half of what a list costs the web server was its own."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crossfade.errors import CrossfadeError
from crossfade.service import events, faults, lists
from crossfade.service.access import Role
from crossfade.service.messages import EventMessage, ListRequest
from crossfade.service.state import Service


@dataclass(frozen=True)
class _Place:
    role: Role
    kind: type[BaseModel]
    answer: Callable[[Any, Service], Awaitable[Response]]


async def _added(event: EventMessage, service: Service) -> Response:
    answer = await events.add(event, service)
    return Response(answer.model_dump_json(), 201, media_type="application/json")


PLACES = {
    ("POST", "/v1/recommendations"): _Place("read", ListRequest, lists.recommend),
    ("POST", "/v1/events"): _Place("write", EventMessage, _added),
}
"""They are described, and answered where anything about a request is unusual, by the routes of the same names."""

PLAIN = {b"content-type": b"application/json"}
"""Headers of a usual request; one with an idempotency key is none."""


class Shortcut:
    """Answers usual requests to `PLACES` itself, as the app would, and leaves all others to the app.

    Args:
        app: The app, below what answers when something fails.
        service: The running service.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        place = None
        if scope["type"] == "http" and not scope["query_string"]:
            place = PLACES.get((scope["method"], scope["path"]))
        if place is None or not _plain(scope):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            body = await request.body()
        except HTTPException as refused:
            await (await faults.refused(request, refused))(scope, receive, send)
            return
        try:
            asked = place.kind.model_validate(json.loads(body))
        except (ValueError, ValidationError, RecursionError):
            await self._app(scope, _again(body, receive), send)  # which says what is wrong with it
            return
        scope["route"] = SimpleNamespace(path=scope["path"])
        try:
            await self._service.door.admit(request, place.role)
            answer = await place.answer(asked, self._service)
        except (HTTPException, CrossfadeError) as error:
            answer = await faults.refused(request, error)
        await answer(scope, receive, send)


def _plain(scope: Scope) -> bool:
    """Whether the headers are those of a usual request."""
    headers = dict(scope["headers"])
    usual = all(headers.get(name) == value for name, value in PLAIN.items())
    return usual and b"idempotency-key" not in headers


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more, then whatever comes."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return left.pop() if left else await receive()

    return received
