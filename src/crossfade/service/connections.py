"""Connections: not too many, and none that is held open by sending or taking in slowly, or without end."""

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from crossfade.service import faults
from crossfade.service.config import ServiceConfig
from crossfade.service.wire import Answered, Wire

MAX_HEAD_BYTES = 65_536
"""Of a request, its line and all its headers, beyond the first piece that came in."""

UNHEARD = 2
"""Times as many connections as may be open; what comes on top of these is closed without a word."""


def limited(config: ServiceConfig, answered: Answered) -> type[asyncio.Protocol]:
    """The protocol of a connection, for uvicorn, over httptools or h11.

    A connection on top of those that may be open is told to come again once it asks, and closed. One
    is cut off that takes longer than a body may take to send the head of a request, or to take in an
    answer, and one whose head grows beyond `MAX_HEAD_BYTES`. Between two requests a connection may
    be silent for as long as uvicorn keeps it, but for one whose last request was refused unread.
    """

    class Limited(_Connection):
        limits, busy = config, Wire(_busy, config, answered)

    return Limited


class _Connection(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    limits: ServiceConfig
    busy: ASGIApp

    app: ASGIApp
    connections: set[asyncio.Protocol]
    cycle: Any  # the last request whose head is there
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _in_head = False  # as httptools says; h11 limits heads itself
    _head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._sending = _Timer(self.loop, self.limits.body_timeout_s, self.transport.abort)
        self._taking = _Timer(self.loop, self.limits.body_timeout_s, self._cut_off)
        self._sending.begin()
        if len(self.connections) > UNHEARD * self.limits.max_connections:
            self.transport.abort()
        elif len(self.connections) > self.limits.max_connections:
            self.app = self.busy

    def connection_lost(self, exc: Exception | None) -> None:
        self._sending.end()
        self._taking.end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self.transport.abort()
        elif self.cycle is not None and not self.cycle.response_complete:
            self._sending.end()  # it has asked
        else:
            self._sending.begin()

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._taking.end()
        if self.transport.get_write_buffer_size():  # answers are handed over whole
            self._taking.begin()

    def _cut_off(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()


class _Timer:
    """Calls something after a time unless it is ended before."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, seconds: float, call: Callable[[], object]
    ) -> None:
        self._loop, self._seconds, self._call = loop, seconds, call
        self._handle: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Begin, unless it has."""
        if self._handle is None:
            self._handle = self._loop.call_later(self._seconds, self._over)

    def end(self) -> None:
        """End it, if it has begun."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _over(self) -> None:
        self._handle = None
        self._call()


async def _busy(scope: Scope, receive: Receive, send: Send) -> None:
    headers = {"Retry-After": "1", "Connection": "close"}
    said = "too many connections are open; come again"
    answer = faults.answer(Request(scope), 503, faults.CODES[503], said, headers=headers)
    await answer(scope, receive, send)
