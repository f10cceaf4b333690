"""Every failure as one JSON shape; what went wrong inside is told to the log, never to a caller."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from crossfade.errors import (
    BundleError,
    ConfigError,
    ConflictError,
    CrossfadeError,
    DataError,
    StoreError,
    UnknownIdError,
)
from crossfade.service.messages import Fault, FaultAnswer, Problem

logger = logging.getLogger("crossfade.service")

KINDS: tuple[tuple[type[CrossfadeError], int, str], ...] = (
    (UnknownIdError, 404, "unknown_id"),
    (ConflictError, 409, "conflict"),
    (StoreError, 503, "store_unavailable"),
    (BundleError, 409, "bad_version"),
    (ConfigError, 422, "wrong_request"),
    (DataError, 422, "wrong_request"),
)
"""Status and code of each kind of error; every other one is ours."""

CODES = {
    400: "unreadable_body",
    401: "no_key",
    403: "not_allowed",
    404: "no_such_place",
    405: "no_such_method",
    408: "too_slow",
    413: "too_large",
    429: "too_many",
    503: "busy",
}


class Refusal(HTTPException):
    """A request that is turned away, with the reason and when to come again."""

    def __init__(self, status: int, message: str, retry_s: int | None = None) -> None:
        headers = {} if retry_s is None else {"Retry-After": str(retry_s)}
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        super().__init__(status, message, headers)


def answer(
    request: Request,
    status: int,
    code: str,
    message: str,
    *,
    details: tuple[Problem, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error in the one shape."""
    fault = Fault(code=code, message=message, request_id=request.state.request_id, details=details)
    body = FaultAnswer(error=fault).model_dump_json()
    return Response(body, status, dict(headers or {}), "application/json")


def install(app: FastAPI) -> None:
    """Let an app answer every failure in the one shape."""
    app.add_exception_handler(RequestValidationError, _invalid)
    for kind in (HTTPException, CrossfadeError, Exception):
        app.add_exception_handler(kind, refused)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return answer(request, 400, CODES[400], "the body is no JSON")
    details = tuple(
        Problem(where=".".join(str(part) for part in fault["loc"]), problem=_short(fault["msg"]))
        for fault in faults
    )
    message = f"{len(details)} thing{'s' if len(details) > 1 else ''} wrong with the request"
    return answer(request, 422, "wrong_request", message, details=details)


async def refused(request: Request, error: Exception) -> Response:
    """The answer to a request that failed."""
    said = told(request, error)
    return answer(request, said.status, said.code, said.message, headers=said.headers)


@dataclass(frozen=True)
class Told:
    """What a caller is told of a failure."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str] | None = None


def told(request: Request, error: Exception) -> Told:
    """What a caller is told of a failure; the log is told of one that is ours."""
    if isinstance(error, HTTPException):
        code = CODES.get(error.status_code, "refused")
        return Told(error.status_code, code, _short(str(error.detail)), error.headers)
    for kind, status, code in KINDS:
        if isinstance(error, kind):
            return Told(status, code, str(error), {"Retry-After": "5"} if status == 503 else None)
    logger.error("request %s failed", request.state.request_id, exc_info=error)
    return Told(500, "internal", "something went wrong here; the log has it under the request id")


def _short(text: str, n_characters: int = 500) -> str:
    return text if len(text) <= n_characters else f"{text[: n_characters - 1]}…"
