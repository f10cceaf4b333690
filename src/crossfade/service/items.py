"""Items between fits: what is told of them is kept, and what is gone is in no list from then on."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from crossfade.errors import UnknownIdError
from crossfade.service.asking import Running, needs
from crossfade.service.catalogue_messages import (
    Deleted,
    ItemBatch,
    ItemChange,
    ItemMessage,
    ItemsPage,
    KeptItem,
    Page,
    Put,
    PutAnswer,
)
from crossfade.service.messages import Id
from crossfade.service.state import Service, now_us
from crossfade.store.log import Item

router = APIRouter(prefix="/v1", tags=["items"])
reads, writes = [Depends(needs("read"))], [Depends(needs("write"))]

# An id may be any text, also "..", which a path would not bring here whole.
ItemId = Annotated[Id, Query()]


@router.get("/item", dependencies=reads)
async def item(item_id: ItemId, service: Running) -> KeptItem:
    """One item as it is kept."""
    return await asyncio.to_thread(_one, service, item_id)


@router.put("/item", dependencies=writes)
async def put(item_id: ItemId, told: ItemMessage, service: Running) -> KeptItem:
    """Keep an item as it is told, whatever was kept of it before."""
    await asyncio.to_thread(_put, service, [told.item(item_id)])
    return await asyncio.to_thread(_one, service, item_id)


@router.patch("/item", dependencies=writes)
async def change(item_id: ItemId, told: ItemChange, service: Running) -> KeptItem:
    """Change what is named of an item that is kept."""
    return await asyncio.to_thread(_change, service, item_id, told)


@router.delete("/item", dependencies=writes)
async def delete(item_id: ItemId, service: Running) -> Deleted:
    """Keep an item no longer, and list it no longer either."""
    return await asyncio.to_thread(_delete, service, item_id)


@router.get("/items", dependencies=reads)
async def items(page: Annotated[Page, Query()], service: Running) -> ItemsPage:
    """Items in the order of their ids, page by page."""
    return await asyncio.to_thread(_page, service, page)


@router.post("/items", dependencies=writes)
async def put_batch(batch: ItemBatch, service: Running) -> PutAnswer:
    """Keep several items as they are told: all of them, or none."""
    told = [one.item(one.item_id) for one in batch.items]
    return PutAnswer(kept=await asyncio.to_thread(_put, service, told))


def _one(service: Service, item_id: str) -> KeptItem:
    (kept,) = _kept(service, [_there(item_id, service.log.catalogue.item(item_id))])
    return kept


def _put(service: Service, told: Sequence[Item]) -> list[Put]:
    changed = service.log.catalogue.put_items(told, now_us())
    service.unavailable.refresh()
    ids = [one.item_id for one in told]
    known = service.versions.current().known_items(ids)
    return [
        Put(id=id_, changed=differs, in_version=is_known)
        for id_, differs, is_known in zip(ids, changed, known, strict=True)
    ]


def _change(service: Service, item_id: str, told: ItemChange) -> KeptItem:
    available = told.available if "available" in told.model_fields_set else None
    changed = service.log.catalogue.change_item(item_id, told.columns(), now_us(), available)
    service.unavailable.refresh()
    (kept,) = _kept(service, [_there(item_id, changed)])
    return kept


def _delete(service: Service, item_id: str) -> Deleted:
    deleted = service.log.catalogue.delete_item(item_id, now_us())
    service.unavailable.refresh()
    return Deleted(
        id=item_id,
        deleted=deleted,
        note="it is in no list from now on; events on it are kept",
    )


def _page(service: Service, page: Page) -> ItemsPage:
    found = service.log.catalogue.items(page.cursor or "", page.limit + 1)
    shown = found[: page.limit]
    more = shown[-1].item_id if len(found) > page.limit else None
    return ItemsPage(items=_kept(service, shown), next=more)


def _kept(service: Service, found: Sequence[Item]) -> list[KeptItem]:
    known = service.versions.current().known_items([one.item_id for one in found])
    return [KeptItem.of(one, is_known) for one, is_known in zip(found, known, strict=True)]


def _there(item_id: str, found: Item | None) -> Item:
    if found is None:
        raise UnknownIdError(f'nothing is kept of item "{item_id}"; PUT it first')
    return found
