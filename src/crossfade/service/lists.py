"""Lists, single items, and what is like an item."""

import asyncio
import logging
import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel
from starlette.responses import Response

from crossfade.errors import ConfigError
from crossfade.meta.serving import Filters
from crossfade.online import Answer, Ask, as_shown
from crossfade.service.asking import Running, needs
from crossfade.service.assigning import Part
from crossfade.service.impressions import kept
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
from crossfade.service.people import Recent, Who, must_not_know
from crossfade.service.state import Service, now_us
from crossfade.service.workers import System

logger = logging.getLogger("crossfade.service")

router = APIRouter(prefix="/v1", tags=["lists"], dependencies=[Depends(needs("read"))])


@router.post("/recommendations", response_model=ListAnswer)
async def recommend(asked: ListRequest, service: Running) -> Response:
    """A list for a user, for a session of nobody in particular, or for what a newcomer likes."""
    return _json(await listed(service, asked, now_us()))


async def listed(service: Service, asked: ListRequest, now: int) -> ListAnswer:
    """A list as of now; that it was shown is written down."""
    request_id = uuid.uuid4().hex  # of the list; what callers call their requests may repeat
    features = kept(request_id, service.config.keep_features)
    version, answer, part = await _answered(service, asked, now, features=features)
    service.impressions.add(
        as_shown(
            answer,
            request_id,
            version,
            now,
            user_id=asked.user_id,
            session_id=asked.session_id,
            experiment=part.experiment,
            arm=part.arm,
            adapts=1 - service.config.adapt_held_back,
        )
    )
    service.meters.lists.labels(answer.method).inc()
    service.meters.adapted_lists.inc(answer.adaptation_applied)
    return _told(request_id, version, answer, part)


async def looked_at(service: Service, asked: ListRequest, now: int) -> ListAnswer:
    """The list of somebody for whoever looks on: it is part of no experiment, and counts nowhere as shown."""
    version, answer = await service.answering.ask(ask_of(service, asked, now))
    return _told(uuid.uuid4().hex, version, answer, Part())


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
    base, found = await asyncio.to_thread(live.similar, item_id, k, service.unavailable.ids)
    return _json(SimilarAnswer.model_construct(version=live.version, base=base, items=found))


async def _answered(
    service: Service, asked: ListRequest, now: int, *, features: bool
) -> tuple[str, Answer, Part]:
    """The list with the version that made it, by the arm of the experiment that somebody is in."""
    # Who says how lists are to be made gets them so, and is part of no experiment.
    own = asked.diversity is not None
    part = Part() if own else await service.assigning.part(_who(asked))
    try:
        return *await service.answering.ask(
            ask_of(service, asked, now, part.changes, features=features)
        ), part
    except ConfigError as error:
        if part.experiment is None:
            raise
        # Raises the same once more where the request is at fault, not the arm.
        found = await service.answering.ask(ask_of(service, asked, now, features=features))
        service.meters.arms_refused.labels(part.experiment, str(part.arm)).inc()
        logger.error("experiment %s, arm %s: %s", part.experiment, part.arm, error)  # noqa: TRY400
        return *found, Part()


def _told(request_id: str, version: str, answer: Answer, part: Part) -> ListAnswer:
    return ListAnswer.model_construct(
        request_id=request_id,
        version=version,
        method=answer.method,
        n_history=answer.n_history,
        n_live=answer.n_live,
        adaptation_applied=answer.adaptation_applied,
        adaptation=answer.adaptation,
        notes=answer.unknown,
        experiment=part.experiment,
        arm=part.arm,
        items=answer.recommendations,
    )


def _who(asked: Person) -> Who:
    return Who(asked.user_id, asked.session_id)


def ask_of(
    service: Service,
    asked: PersonRequest,
    now: int,
    changes: Mapping[str, Any] | None = None,
    *,
    features: bool = False,
) -> Callable[[System], Ask]:
    """Makes the request to a system in a thread, since it may read the log."""

    def make(live: System) -> Ask:
        who = _who(asked)
        recent = Recent() if who == Who() else service.people.recent(who)
        ask = Ask(
            user_id=None if must_not_know(live, recent) else asked.user_id,
            events=recent.events,
            now_us=now,
            context=asked.context,
            features=features,
            head=None if who == Who() else service.heads.of(who),
            withhold=who != Who() and service.heads.withheld(who, now),
        )
        if not isinstance(asked, ListRequest):
            return ask
        return _with_list(live, ask, asked, changes, service.unavailable.ids)

    return make


def as_changed(live: System, ask: Ask, changes: Mapping[str, Any] | None) -> Ask:
    """A request for a list by the settings of a system, some of them changed."""
    return replace(ask, ranking=live.ranking.changed(**changes) if changes else None)


def _with_list(
    live: System,
    ask: Ask,
    asked: ListRequest,
    changes: Mapping[str, Any] | None,
    unavailable: tuple[str, ...],
) -> Ask:
    if asked.diversity is not None:
        changes = {"diversity": asked.diversity}
    return replace(
        as_changed(live, ask, changes),
        items=asked.items,
        genres=asked.genres,
        moods=asked.moods,
        k=asked.k,
        filters=Filters(
            unavailable + asked.filters.block, asked.filters.allow, asked.filters.rules
        ),
        explain=asked.explain,
        seed=secrets.randbits(32),  # looked at where places are left to chance
    )


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")
