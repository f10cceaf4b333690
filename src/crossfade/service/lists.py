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

from crossfade.errors import BundleError, ConfigError
from crossfade.meta.serving import Filters
from crossfade.online import Answer, Ask, as_shown
from crossfade.service.asking import Running, needs
from crossfade.service.assigning import IN_NONE, Part
from crossfade.service.impressions import kept
from crossfade.service.interleaving import Made, interleaved
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
from crossfade.store.log import Impression

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
    made = await _answered(service, asked, now, request_id, features=features)
    service.impressions.add(_shown(service, made, request_id, asked, now))
    service.meters.lists.labels(made.answer.method).inc()
    service.meters.adapted_lists.inc(made.answer.adaptation_applied)
    return _told(request_id, made.version, made.answer, made.part)


async def looked_at(service: Service, asked: ListRequest, now: int) -> ListAnswer:
    """The list of somebody for whoever looks on: it is part of no experiment, and counts nowhere as shown."""
    version, answer = await service.answering.ask(ask_of(service, asked, now))
    return _told(uuid.uuid4().hex, version, answer, IN_NONE)


@router.get("/recommendations", response_model=ListAnswer)
async def recommend_to(asked: Annotated[ShortRequest, Query()], service: Running) -> Response:
    """The same for a user or a session, without a body."""
    return await recommend(ListRequest(**asked.model_dump()), service)


@router.post("/explanations", response_model=ItemAnswer)
async def explain(asked: ItemRequest, service: Running) -> Response:
    """What speaks for one item, whether it would be listed or not."""
    part = service.assigning.part(_who(asked))
    live = part.system or service.versions.current()
    make = ask_of(service, asked, now_us(), part)
    found = await asyncio.to_thread(lambda: live.explain(make(live), asked.item_id))
    return _json(ItemAnswer(version=live.version, item=found))


@router.post("/predictions", response_model=PairsAnswer)
async def predict(asked: PairsRequest, service: Running) -> Response:
    """Score and probability of some items for one person."""
    part = service.assigning.part(_who(asked))
    live = part.system or service.versions.current()
    make = ask_of(service, asked, now_us(), part)
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


def _shown(
    service: Service, made: Made, request_id: str, asked: ListRequest, now: int
) -> Impression:
    shown = as_shown(
        made.answer,
        request_id,
        made.version,
        now,
        user_id=asked.user_id,
        session_id=asked.session_id,
        experiment=made.part.experiment,
        arm=made.part.arm,
        # An arm says itself whether its lists adapt; nobody's are held back there, nor compared.
        adapts=None if made.part.experiment else 1 - service.config.adapt_held_back,
    )
    if not made.item_arms:
        return shown
    whose = zip(shown.items, made.item_arms, strict=True)
    return replace(shown, items=[replace(item, arm=arm) for item, arm in whose])


async def _answered(
    service: Service, asked: ListRequest, now: int, request_id: str, *, features: bool
) -> Made:
    """The list by the arm of the experiment that somebody is in, or by both."""
    # Who says how lists are to be made gets them so, and is part of no experiment.
    own = asked.diversity is not None
    part = IN_NONE if own else service.assigning.part(_who(asked))
    try:
        return await _made(service, asked, now, part, request_id, features=features)
    except (BundleError, ConfigError) as error:
        if part.experiment is None:
            raise
        for one in part.pair or (part,):
            if one.system is not None and isinstance(error, BundleError):
                service.assigning.beside.lose(one.system, error)
        # Raises the same once more where the request is at fault, not the arm.
        made = await _made(service, asked, now, IN_NONE, request_id, features=features)
        arm = part.arm or "both"
        service.meters.arms_refused.labels(part.experiment, arm).inc()
        logger.error("experiment %s, arm %s: %s", part.experiment, arm, error)  # noqa: TRY400
        return made


async def _made(
    service: Service, asked: ListRequest, now: int, part: Part, request_id: str, *, features: bool
) -> Made:
    if not part.pair:
        make = ask_of(service, asked, now, part, features=features)
        return Made(*await service.answering.ask(make, part.system), part)
    made = await asyncio.gather(
        *(service.answering.ask(ask_of(service, asked, now, one), one.system) for one in part.pair)
    )
    unit_id = str(asked.user_id or asked.session_id)
    return interleaved(part, made, unit_id, request_id, asked.k)


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
    part: Part = IN_NONE,
    *,
    features: bool = False,
) -> Callable[[System], Ask]:
    """Makes the request to a system in a thread, since it may read the log; for somebody in an arm, its way."""
    adapts = service.heads.adapts(part)

    def make(live: System) -> Ask:
        who = _who(asked)
        recent = Recent() if who == Who() else service.people.recent(who)
        ask = Ask(
            user_id=None if must_not_know(live, recent) else asked.user_id,
            events=recent.events,
            now_us=now,
            context=asked.context,
            features=features,
            head=None if who == Who() or not adapts else service.heads.of(who),
            withhold=part.experiment is None and who != Who() and service.heads.withheld(who, now),
        )
        if not isinstance(asked, ListRequest):
            return ask
        return _with_list(live, ask, asked, part.changes, service.unavailable.ids)

    return make


def as_changed(live: System, ask: Ask, changes: Mapping[str, Any]) -> Ask:
    """A request for a list by the settings of a system, some of them changed."""
    return replace(ask, ranking=live.ranking.changed(**changes) if changes else None)


def _with_list(
    live: System,
    ask: Ask,
    asked: ListRequest,
    changes: Mapping[str, Any],
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
