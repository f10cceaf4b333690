"""Like and skip: an event as any other, and the list that follows from it."""

import asyncio
from contextlib import suppress
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import RedirectResponse, Response

from crossfade.errors import ConflictError
from crossfade.service.dashboard.listeners import Somebody, work
from crossfade.service.dashboard.pages import Likes, Running, Sent, read, render
from crossfade.service.events import append
from crossfade.service.messages import EventMessage, Id, Word

router = APIRouter(dependencies=[Likes])


class Reaction(Somebody):
    """One button of one card."""

    item_id: Id
    event: Literal["like", "skip"]
    request_id: Word
    place: int = Field(ge=1, le=50)
    before: Annotated[tuple[Id, ...], Field(max_length=50)] = ()


@router.post("/react")
async def react(request: Request, service: Running, fields: Sent) -> Response:
    """Keep a reaction, and show what the list is now."""
    told = read(Reaction, fields)
    event = EventMessage(
        user_id=told.user_id,
        session_id=told.session_id,
        item_id=told.item_id,
        event=told.event,
        request_id=told.request_id,
        key=f"{told.request_id}.{told.place}.{told.event}",
    )
    # The same button of the same list a second time: but for its moment the event is there.
    with suppress(ConflictError):
        await asyncio.to_thread(append, service, [event])
    asked = Somebody(**told.model_dump(include=set(Somebody.model_fields)))
    if "hx-request" not in request.headers:
        return RedirectResponse(asked.url("listener"), 303)
    return render(request, "reacted.html.j2", told=told, **await work(service, asked, told.before))
