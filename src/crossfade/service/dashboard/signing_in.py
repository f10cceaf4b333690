"""Coming in with a key, and going."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from crossfade.service.dashboard.pages import Looks, Running, Sent, render, url
from crossfade.service.dashboard.sessions import PATH, Sessions, check_origin, end
from crossfade.service.faults import Refusal

router = APIRouter()


@router.get("/login")
async def login(request: Request, back: Annotated[str, Query()] = "") -> Response:
    """Where a key is asked for."""
    return render(request, "login.html.j2", back=_ours(back), wrong=None)


@router.post("/login")
async def come_in(request: Request, service: Running, fields: Sent) -> Response:
    """Try a key."""
    check_origin(request, is_open=service.door.open)
    given = dict(fields)
    back = _ours(given.get("back", ""))
    try:
        key = await service.door.key_of(request, given.get("key", "").strip() or None)
    except Refusal as refusal:
        wrong = "This key opens nothing: it is wrong, expired or revoked."
        if refusal.status_code == 429:
            wrong = "Too many wrong keys came from this address. Wait a little."
        page = render(request, "login.html.j2", refusal.status_code, back=back, wrong=wrong)
        page.headers.update(refusal.headers or {})
        return page
    answer = RedirectResponse(back or url(), 303)
    sessions: Sessions = request.app.state.sessions
    # A proxy ends TLS, so what the browser calls this place says more than how the request came in.
    sessions.begin(answer, key, secure=request.headers["origin"].startswith("https:"))
    return answer


@router.post("/logout", dependencies=[Looks])
async def go() -> Response:
    """Forget who it was."""
    answer = RedirectResponse(url("login"), 303)
    end(answer)
    return answer


def _ours(back: str) -> str:
    """Where somebody wanted to go, without a host and only where that is a page of ours."""
    parts = urlsplit(back)
    inside = parts.path == PATH or parts.path.startswith(f"{PATH}/")
    if (
        not inside
        or ".." in parts.path
        or "\\" in back
        or parts.path.endswith(("/login", "/logout"))
    ):
        return ""
    return parts.path + (f"?{parts.query}" if parts.query else "")
