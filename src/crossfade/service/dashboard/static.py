"""The style sheet, the script and the icon: files of this package and no others."""

import hashlib
from importlib.resources import files

from fastapi import APIRouter, Request
from starlette.responses import Response

from crossfade.service.faults import Refusal

router = APIRouter()

KINDS = {
    "dashboard.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "vendor/htmx.min.js": "text/javascript; charset=utf-8",
}
"""Files that are served, with their types."""

_CONTENT = {
    name: files(__package__).joinpath("static", *name.split("/")).read_bytes() for name in KINDS
}
_TAG = {name: f'"{hashlib.sha256(content).hexdigest()[:32]}"' for name, content in _CONTENT.items()}


@router.get("/static/{name:path}")
async def static(name: str, request: Request) -> Response:
    """One file; a browser that has it is told so."""
    if name not in _CONTENT:
        raise Refusal(404, "there is no such file")
    headers = {"Cache-Control": "public, max-age=300", "ETag": _TAG[name]}
    if request.headers.get("if-none-match") == _TAG[name]:
        return Response(status_code=304, headers=headers)
    return Response(_CONTENT[name], headers=headers, media_type=KINDS[name])
