"""Lists, single items, and what is like an item."""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel
from starlette.responses import Response

from crossfade.meta.serving import Filters
from crossfade.online import Answer, Ask, LiveSystem
from crossfade.service.asking import Running, needs
from crossfade.service.messages import (
    MAX_K,
    Id,
    ItemAnswer,
    ItemRequest,
    ListAnswer,
    ListRequest,
    PairsAnswer,
    PairsRequest,
    Person,
    PersonRequest,
    Prediction,
    ShortRequest,
    SimilarAnswer,
)
from crossfade.service.people import Recent, Who
from crossfade.service.state import Service, now_us
from crossfade.store.log import Impression, ImpressionItem

router = APIRouter(prefix="/v1", tags=["lists"], dependencies=[Depends(needs("read"))])


@router.post("/recommendations", response_model=ListAnswer)
async def recommend(asked: ListRequest, service: Running) -> Response:
    """A list for a user, for a session of nobody in particular, or for what a newcomer likes."""
    return _json(await listed(service, asked, now_us()))


async def listed(service: Service, asked: ListRequest, now: int) -> ListAnswer:
    """A list as of now; that it was shown is written down."""
    version, answer = await service.answering.ask(ask_of(service, asked, now))
    request_id = uuid.uuid4().hex  # of the list; what callers call their requests may repeat
    service.impressions.add(_impression(asked, answer, request_id, version, now))
    service.meters.lists.labels(answer.method).inc()
    return ListAnswer.model_construct(
        request_id=request_id,
        version=version,
        method=answer.method,
        n_history=answer.n_history,
        n_live=answer.n_live,
        notes=answer.unknown,
        items=answer.recommendations,
    )


@router.get("/recommendations", response_model=ListAnswer)
async def recommend_to(asked: Annotated[ShortRequest, Query()], service: Running) -> Response:
    """The same for a user or a session, without a body."""
    return await recommend(ListRequest(**asked.model_dump()), service)


@router.post("/explanations", response_model=ItemAnswer)
async def explain(asked: ItemRequest, service: Running) -> Response:
    """What speaks for one item, whether it would be listed or not."""
    live = service.versions.current()
    make = ask_of(service, asked, now_us())
    found = await asyncio.to_thread(lambda: live.explain(make(live), asked.item_id))
    return _json(ItemAnswer(version=live.version, item=found))


@router.post("/predictions", response_model=PairsAnswer)
async def predict(asked: PairsRequest, service: Running) -> Response:
    """Score and probability of some items for one person."""
    live = service.versions.current()
    make = ask_of(service, asked, now_us())
    found = await asyncio.to_thread(lambda: live.predict(make(live), asked.item_ids))
    items = [
        Prediction(
            item_id=item_id,
            score=None if one is None else one.score,
            probability=None if one is None else one.probability,
        )
        for item_id, one in zip(asked.item_ids, found, strict=True)
    ]
    return _json(PairsAnswer(version=live.version, items=items))


@router.get("/similar-items", response_model=SimilarAnswer)
async def similar(
    item_id: Annotated[Id, Query()],
    service: Running,
    k: Annotated[int, Query(ge=1, le=MAX_K)] = 10,
) -> Response:
    """Items like one item."""
    live = service.versions.current()
    base, found = await asyncio.to_thread(live.similar, item_id, k)
    return _json(SimilarAnswer.model_construct(version=live.version, base=base, items=found))


def ask_of(service: Service, asked: PersonRequest, now: int) -> Callable[[LiveSystem], Ask]:
    """Makes the request to a system in a thread, since it may read the log."""

    def make(live: LiveSystem) -> Ask:
        who = Who(asked.user_id, asked.session_id)
        recent = Recent() if who == Who() else service.people.recent(who)
        ask = Ask(
            user_id=None if _must_not_know(live, recent) else asked.user_id,
            events=recent.events,
            now_us=now,
            context=asked.context,
        )
        return _with_list(live, ask, asked) if isinstance(asked, ListRequest) else ask

    return make


def _must_not_know(live: LiveSystem, recent: Recent) -> bool:
    """Whether somebody was forgotten after the log ended that a system learned from."""
    if recent.forgotten_us is None:
        return False
    times = live.model.dataset.time_us
    return times is None or not len(times) or recent.forgotten_us >= int(times[-1])


def _with_list(live: LiveSystem, ask: Ask, asked: ListRequest) -> Ask:
    ranking = None
    if asked.diversity is not None:
        usual = live.model.config.ranking
        ranking = usual.changed(diversity=asked.diversity)
    return replace(
        ask,
        items=asked.items,
        genres=asked.genres,
        moods=asked.moods,
        k=asked.k,
        filters=Filters(asked.filters.block, asked.filters.allow, asked.filters.rules),
        ranking=ranking,
        explain=asked.explain,
    )


def _impression(
    asked: Person, answer: Answer, request_id: str, version: str, now: int
) -> Impression:
    """What was shown, with the chances it was shown with."""
    items = [
        ImpressionItem(
            one.item_id, one.rank, one.score, one.probability, one.propensity, one.weights
        )
        for one in answer.recommendations
    ]
    return Impression(
        request_id=request_id,
        user_id=asked.user_id,
        session_id=asked.session_id,
        time_us=now,
        version=version,
        method=answer.method,
        items=items,
    )


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")
