"""Reactions come in, and what is known of a person goes."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Header

from crossfade.data.dataset import to_us
from crossfade.service.asking import Running, needs
from crossfade.service.faults import Refusal
from crossfade.service.messages import (
    BatchAnswer,
    EventAnswer,
    EventBatch,
    EventMessage,
    ForgetAnswer,
    Id,
    Person,
)
from crossfade.service.people import Who
from crossfade.service.state import Service, now_us
from crossfade.store.log import NewEvent, StoredEvent

router = APIRouter(prefix="/v1", tags=["events"])


@router.post("/events", status_code=201, dependencies=[Depends(needs("write"))])
async def add(
    event: EventMessage,
    service: Running,
    idempotency_key: Annotated[Id | None, Header()] = None,
) -> EventAnswer:
    """One reaction; once this answers, it is on the disk, and the next list knows of it."""
    if idempotency_key is not None:
        if event.key not in {None, idempotency_key}:
            raise Refusal(
                422, "the header Idempotency-Key and the key of the event differ; send one"
            )
        event = event.model_copy(update={"key": idempotency_key})
    (answer,) = await asyncio.to_thread(append, service, [event])
    return answer


@router.post("/events/batch", status_code=201, dependencies=[Depends(needs("write"))])
async def add_batch(batch: EventBatch, service: Running) -> BatchAnswer:
    """Several reactions: all of them are taken, or none."""
    return BatchAnswer(events=await asyncio.to_thread(append, service, batch.events))


@router.post("/forget", dependencies=[Depends(needs("admin"))])
async def forget(person: Person, service: Running) -> ForgetAnswer:
    """Delete everything that is kept of a user or a session, and say how much that was."""
    if person == Person():
        raise Refusal(422, "name the user_id or the session_id to forget")
    return await asyncio.to_thread(_forget, service, person)


def append(service: Service, messages: Sequence[EventMessage]) -> list[EventAnswer]:
    """Keep events, all or none, and let the next lists know of them."""
    now = now_us()
    events = [_event(message, now) for message in messages]
    appended = service.log.append(events, now)
    service.people.add(
        [
            StoredEvent(done.sequence, now, event)
            for done, event in zip(appended, events, strict=True)
            if not done.duplicate
        ]
    )
    service.heads.note(Who(e.user_id, None if e.user_id else e.session_id) for e in events)
    for done in appended:
        service.meters.events.labels(str(done.duplicate).lower()).inc()
    return [EventAnswer(sequence=done.sequence, duplicate=done.duplicate) for done in appended]


def _forget(service: Service, person: Person) -> ForgetAnswer:
    now, newest = now_us(), service.versions.current().newest_us
    # What serves learned from them, also where the clock went back to before that.
    at = now if newest is None else max(now, newest)
    gone = service.log.forget(user_id=person.user_id, session_id=person.session_id, now_us=at)
    service.people.clear()  # sessions that somebody was in are forgotten with them
    service.heads.clear()
    return ForgetAnswer(**vars(gone))


def _event(message: EventMessage, now: int) -> NewEvent:
    return NewEvent(
        item_id=message.item_id,
        time_us=now if message.timestamp is None else to_us(message.timestamp),
        user_id=message.user_id,
        session_id=message.session_id,
        event=message.event,
        value=message.value,
        played_ms=message.played_ms,
        skipped=message.skipped,
        context=dict(message.context),
        request_id=message.request_id,
        key=message.key,
    )
