"""Finding an item, what the catalogue knows of it, and what is like it."""

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from crossfade.service.dashboard.listeners import N_FOUND, Words
from crossfade.service.dashboard.pages import Looks, Running, render
from crossfade.service.messages import Id

router = APIRouter(dependencies=[Looks])


@router.get("/items")
async def items(request: Request, service: Running, q: Words = "") -> Response:
    """Search."""
    live = service.versions.current()
    found = await asyncio.to_thread(live.items, q, 2 * N_FOUND)
    return render(request, "items.html.j2", q=q, found=found)


@router.get("/item")
async def item(request: Request, service: Running, item_id: Id) -> Response:
    """One item."""
    live = service.versions.current()
    facts = await asyncio.to_thread(live.item, item_id)
    base, similar = await asyncio.to_thread(live.similar, item_id, N_FOUND, service.unavailable.ids)
    return render(request, "item.html.j2", item=facts, base=base, similar=similar)
