"""Whom a browser stands for: a signed cookie that names a key and ends, never the key itself."""

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from urllib.parse import urlsplit

from fastapi import Request
from starlette.responses import Response

from crossfade.service.config import LOOPBACK
from crossfade.service.faults import Refusal
from crossfade.store.log import ApiKey, Log

COOKIE = "crossfade_session"
PATH = "/dashboard"
LASTS_S = 8 * 3600
"""Then a key must be given again."""

_COOKIE = re.compile(r"([0-9a-f]{16})\.([0-9]{1,20})\.([0-9a-f]{64})")


class Sessions:
    """Makes cookies and knows its own.

    They are signed with a secret that is made anew with every service, so a restart ends them all.

    Args:
        log: Where keys are looked up, so that a revoked one opens nothing any more.
    """

    def __init__(self, log: Log) -> None:
        self._log, self._secret = log, secrets.token_bytes(32)

    def begin(self, response: Response, key: ApiKey, *, secure: bool) -> None:
        """Let a browser stand for a key.

        Args:
            response: Gets the cookie.
            key: That was given and is good.
            secure: Whether the cookie may only travel encrypted.
        """
        until = int(time.time()) + LASTS_S
        value = f"{key.id}.{until}"
        response.set_cookie(
            COOKIE,
            f"{value}.{self._signature(value)}",
            max_age=LASTS_S,
            path=PATH,
            secure=secure,
            httponly=True,
            samesite="strict",
        )

    async def key(self, cookie: str) -> ApiKey | None:
        """The key that a cookie stands for; None where it is forged or over, or the key no longer good."""
        parts = _COOKIE.fullmatch(cookie)
        if parts is None or not hmac.compare_digest(
            parts[3], self._signature(f"{parts[1]}.{parts[2]}")
        ):
            return None
        now = time.time()
        every = await asyncio.to_thread(self._log.keys)
        found = [key for key in every if key.id == parts[1]]
        if now >= int(parts[2]) or not found or found[0].revoked_us is not None:
            return None
        expires_us = found[0].expires_us
        return found[0] if expires_us is None or now * 1e6 < expires_us else None

    def _signature(self, value: str) -> str:
        return hmac.new(self._secret, value.encode(), hashlib.sha256).hexdigest()


def presented(request: Request) -> str | None:
    """The cookie of a request."""
    return request.cookies.get(COOKIE)


def end(response: Response) -> None:
    """Let a browser stand for nobody."""
    response.delete_cookie(COOKIE, path=PATH, httponly=True, samesite="strict")


def check_origin(request: Request, *, is_open: bool) -> None:
    """Refuse a form that was not sent from a page of this dashboard.

    Args:
        request: Its header ``Origin`` is written by the browser, out of reach of scripts.
        is_open: Whether no keys are needed; then the page must have been reached by a loopback address,
            since a name that was made to lead here could be anybody's.

    Raises:
        Refusal: If it came from elsewhere, or does not say.
    """
    origin = urlsplit(request.headers.get("origin", ""))
    host = request.headers.get("host", "")
    if origin.scheme not in {"http", "https"} or origin.netloc != host:
        raise Refusal(403, "forms are taken from pages of this dashboard only")
    if is_open and urlsplit(f"//{host}").hostname not in LOOPBACK:
        raise Refusal(
            403, "without keys the dashboard is used at a loopback address, such as 127.0.0.1"
        )
