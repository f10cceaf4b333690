"""Profiles of users between fits."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from crossfade.errors import UnknownIdError
from crossfade.service.asking import Running, needs
from crossfade.service.catalogue_messages import (
    Deleted,
    KeptUser,
    Page,
    Put,
    PutAnswer,
    UserBatch,
    UserChange,
    UserMessage,
    UsersPage,
)
from crossfade.service.messages import Id
from crossfade.service.state import Service, now_us
from crossfade.store.log import User

router = APIRouter(prefix="/v1", tags=["users"])
reads, writes = [Depends(needs("read"))], [Depends(needs("write"))]

# As of items: an id may be any text.
UserId = Annotated[Id, Query()]


@router.get("/user", dependencies=reads)
async def user(user_id: UserId, service: Running) -> KeptUser:
    """One profile as it is kept."""
    return await asyncio.to_thread(_one, service, user_id)


@router.put("/user", dependencies=writes)
async def put(user_id: UserId, told: UserMessage, service: Running) -> KeptUser:
    """Keep a profile as it is told, whatever was kept of it before."""
    await asyncio.to_thread(_put, service, [User(user_id, told.attributes)])
    return await asyncio.to_thread(_one, service, user_id)


@router.patch("/user", dependencies=writes)
async def change(user_id: UserId, told: UserChange, service: Running) -> KeptUser:
    """Change what is named of a profile that is kept."""
    return await asyncio.to_thread(_change, service, user_id, told)


@router.delete("/user", dependencies=writes)
async def delete(user_id: UserId, service: Running) -> Deleted:
    """Delete a profile and nothing else; `/v1/forget` deletes all of a person."""
    deleted = await asyncio.to_thread(service.log.catalogue.delete_user, user_id)
    return Deleted(
        id=user_id,
        deleted=deleted,
        note="events and impressions of this user are kept; POST /v1/forget deletes them too",
    )


@router.get("/users", dependencies=reads)
async def users(page: Annotated[Page, Query()], service: Running) -> UsersPage:
    """Profiles in the order of their ids, page by page."""
    return await asyncio.to_thread(_page, service, page)


@router.post("/users", dependencies=writes)
async def put_batch(batch: UserBatch, service: Running) -> PutAnswer:
    """Keep several profiles as they are told: all of them, or none."""
    told = [User(one.user_id, one.attributes) for one in batch.users]
    return PutAnswer(kept=await asyncio.to_thread(_put, service, told))


def _one(service: Service, user_id: str) -> KeptUser:
    (kept,) = _kept(service, [_there(user_id, service.log.catalogue.user(user_id))])
    return kept


def _put(service: Service, told: Sequence[User]) -> list[Put]:
    changed = service.log.catalogue.put_users(told, now_us())
    ids = [one.user_id for one in told]
    known = service.versions.current().known_users(ids)
    return [
        Put(id=id_, changed=differs, in_version=is_known)
        for id_, differs, is_known in zip(ids, changed, known, strict=True)
    ]


def _change(service: Service, user_id: str, told: UserChange) -> KeptUser:
    changed = service.log.catalogue.change_user(user_id, told.attributes, now_us())
    (kept,) = _kept(service, [_there(user_id, changed)])
    return kept


def _page(service: Service, page: Page) -> UsersPage:
    found = service.log.catalogue.users(page.cursor or "", page.limit + 1)
    shown = found[: page.limit]
    more = shown[-1].user_id if len(found) > page.limit else None
    return UsersPage(users=_kept(service, shown), next=more)


def _kept(service: Service, found: Sequence[User]) -> list[KeptUser]:
    known = service.versions.current().known_users([one.user_id for one in found])
    return [KeptUser.of(one, is_known) for one, is_known in zip(found, known, strict=True)]


def _there(user_id: str, found: User | None) -> User:
    if found is None:
        raise UnknownIdError(f'there is no profile of user "{user_id}"; PUT it first')
    return found
