"""Around every request: an id, limits on the body, one line in the log, and its time."""

import asyncio
import json
import logging
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crossfade.service.config import ServiceConfig
from crossfade.service.faults import Refusal

logger = logging.getLogger("crossfade.service.access")

SOUND_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
"""Request ids that are taken over from a caller; others could forge lines of a log."""

ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)
"""Headers of every answer that does not say otherwise."""


Answered = Callable[[str, str, int, float], None]
"""Told the route, the method, the status and the seconds of a request."""


class Wire:
    """An ASGI app around another one.

    Args:
        app: The other one.
        config: Limits.
        answered: Told of each request.
    """

    def __init__(self, app: ASGIApp, config: ServiceConfig, answered: Answered) -> None:
        self._app, self._config, self._answered = app, config, answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; everything else goes through untouched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        named = headers.get(b"x-request-id", b"")
        request_id = named.decode() if SOUND_ID.fullmatch(named) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        began, status = time.perf_counter(), 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = list(message.get("headers", []))
                names = {name for name, _ in given}
                own = [line for line in ALWAYS if line[0] not in names]
                own.append((b"x-request-id", request_id.encode()))
                if {b"content-length", b"transfer-encoding"} <= headers.keys():
                    # Whoever stands between may have read another length: RFC 9112, section 6.1.
                    own.append((b"connection", b"close"))
                message = {**message, "headers": [*given, *own]}
            await send(message)

        try:
            await self._app(scope, self._limited(receive, headers), answer)
        finally:
            seconds = time.perf_counter() - began
            route = _place(scope)
            self._answered(route, scope["method"], status, seconds)
            caller = scope["state"].get("caller", "-")
            logger.info(
                "%s %s %d",
                scope["method"],
                route,
                status,
                extra={
                    "request_id": request_id,
                    "caller": caller,
                    "ms": round(1000 * seconds, 1),
                },
            )

    def _limited(self, receive: Receive, headers: dict[bytes, bytes]) -> Receive:
        """A body that may be neither too large nor too slow."""
        most, taken = self._config.max_body_bytes, 0
        stated = headers.get(b"content-length", b"0")
        until = time.monotonic() + self._config.body_timeout_s
        whole = False

        async def limited() -> Message:
            nonlocal taken, whole
            if whole:  # what comes after the body is that the caller has gone
                return await receive()
            if stated.isdigit() and int(stated) > most:
                raise Refusal(413, f"the body may have {most:,} bytes at most")
            try:
                async with asyncio.timeout(max(0.0, until - time.monotonic())):
                    message = await receive()
            except TimeoutError:
                raise Refusal(408, "the body took too long to come in") from None
            taken += len(message.get("body", b""))
            if taken > most:
                raise Refusal(413, f"the body may have {most:,} bytes at most")
            whole = not message.get("more_body", False)
            return message

        return limited


def _place(scope: Scope) -> str:
    """The route that answered, with what it is mounted under; ``none`` where there was none."""
    path = getattr(scope.get("route"), "path", None)
    return "none" if path is None else f"{scope.get('root_path', '')}{path}"


class JsonLines(logging.Formatter):
    """One JSON object a line: nothing that a caller sends can look like another line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in ("request_id", "caller", "ms"):
            if hasattr(record, name):
                line[name] = getattr(record, name)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True)
