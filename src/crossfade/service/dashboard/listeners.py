"""Finding a listener or starting one, their list, and the crossfader."""

import asyncio
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query, Request
from pydantic import ConfigDict, Field, StringConstraints, model_validator
from starlette.responses import Response

from crossfade.meta.recommendation import Recommendation
from crossfade.service.dashboard.charts import mean_weights, segments
from crossfade.service.dashboard.moves import moves
from crossfade.service.dashboard.pages import Looks, Running, read, render, url
from crossfade.service.faults import Refusal
from crossfade.service.lists import ask_of, looked_at
from crossfade.service.messages import Id, Ids, ListAnswer, ListRequest, Person
from crossfade.service.people import Who
from crossfade.service.state import Service, now_us

router = APIRouter(dependencies=[Looks])

N_FOUND = 12
WEIGHT = "w."
"""Before the label of a base, in the fields of the crossfader; 0 to 100."""

Words = Annotated[str, Query(max_length=200)]


class Asked(Person):
    """Whose list, as addresses and forms say it."""

    model_config = ConfigDict(extra="ignore")

    items: Ids = Field((), max_length=50)
    genres: Ids = Field((), max_length=50)
    moods: Ids = Field((), max_length=50)
    k: int = Field(10, ge=1, le=50)

    def request(self) -> ListRequest:
        """What the system is asked; with reasons."""
        return ListRequest(**self._given(), explain=True)

    def fields(self) -> list[tuple[str, str]]:
        """The same as fields of a form."""
        return [
            (name, str(one))
            for name, given in self._given().items()
            for one in (given if isinstance(given, tuple) else (given,))
        ]

    def url(self, place: str) -> str:
        """The address of a page about the same person."""
        return url(place, **self._given())

    def _given(self) -> dict[str, Any]:
        return self.model_dump(include=set(Asked.model_fields), exclude_defaults=True)


class Somebody(Asked):
    """Whose list, where a page is about somebody."""

    @model_validator(mode="after")
    def _is_named(self) -> Self:
        if self.user_id is None and self.session_id is None:
            raise ValueError("name a user_id or a session_id")
        return self


class Fader(Somebody):
    """What the crossfader sends beside its weights."""

    at: int = Field(ge=0, le=2**53, description="When the list was made, in microseconds.")
    before: Annotated[tuple[Id, ...], Field(max_length=50)] = ()
    adapted: bool = Field(False, description="Whether their own reactions had a part in the list.")


class Start(Asked):
    """A newcomer as far as they are described."""

    q: Annotated[str, StringConstraints(max_length=200)] = ""
    without: Ids = ()


@router.get("/")
async def home(request: Request, service: Running, q: Words = "") -> Response:
    """Search."""
    live = service.versions.current()
    found = await asyncio.to_thread(live.users, q, N_FOUND)
    return render(request, "home.html.j2", q=q, found=found, exact=q.strip() in found)


@router.get("/start")
async def start(request: Request, service: Running) -> Response:
    """Describe a newcomer by a few likes."""
    asked = read(Start, request.query_params.multi_items())
    live = service.versions.current()
    chosen = [one for one in dict.fromkeys(asked.items) if one not in asked.without]
    found = await asyncio.to_thread(live.items, asked.q, N_FOUND)
    return render(
        request,
        "start.html.j2",
        asked=asked,
        session_id=asked.session_id or uuid.uuid4().hex,
        chosen=await asyncio.to_thread(live.named, chosen),
        found=[one for one in found if one.item_id not in chosen],
        labels=await asyncio.to_thread(live.labels),
    )


@router.get("/listener")
async def listener(request: Request, service: Running) -> Response:
    """Somebody's list."""
    asked = read(Somebody, request.query_params.multi_items())
    return render(request, "listener.html.j2", **await work(service, asked))


@router.get("/what-if")
async def what_if(request: Request, service: Running) -> Response:
    """The list as it would be with other weights, beside the one that was served."""
    pairs = request.query_params.multi_items()
    asked = read(Fader, pairs)
    weights = {name.removeprefix(WEIGHT): value for name, value in pairs if name.startswith(WEIGHT)}
    given = {label: _level(value) for label, value in weights.items()}
    live = service.versions.current()
    bases = live.bases()
    faders = _faders(bases, {label: given.get(label, 0.0) for label in bases})
    told: dict[str, Any] = {"asked": asked, "faders": faders, "mix": segments(bases, given)}
    if not any(given.values()):
        return render(request, "silent.html.j2", **told)
    # As of the moment of the list that was served, so that nothing but the weights differs.
    make = ask_of(service, asked.request(), asked.at)
    found = await asyncio.to_thread(lambda: live.what_if(make(live), given))
    moved = moves([line.item_id for line in found], asked.before)
    gone = await asyncio.to_thread(live.named, moved.gone)
    return render(request, "what_if.html.j2", lines=found, moved=moved, gone=gone, **told)


async def work(service: Service, asked: Somebody, before: Sequence[str] = ()) -> dict[str, Any]:
    """What the part of the page that is worked with needs: a new list, and how the last one differs.

    Args:
        service: What answers.
        asked: Whose list.
        before: Ids of the last list; nothing is compared with an empty one.
    """
    now = now_us()
    answer = await looked_at(service, asked.request(), now)
    live = service.versions.current()
    bases = live.bases()
    weights = mean_weights(line.weights for line in answer.items)
    moved = moves([line.item_id for line in answer.items], before) if before else None
    gone = [] if moved is None else await asyncio.to_thread(live.named, moved.gone)
    shares = {label: weights.get(label, 0.0) for label in bases}
    return {
        "asked": asked,
        "answer": answer,
        "part": service.assigning.part(Who(asked.user_id, asked.session_id)),
        "lines": _lines(answer, bases),
        "moved": moved,
        "gone": gone,
        "at": now,
        "faders": _faders(bases, shares) if weights else [],
        "mix": segments(bases, shares),
    }


def _lines(answer: ListAnswer, bases: Sequence[str]) -> list[tuple[Recommendation, Any]]:
    return [(line, segments(bases, line.weights)) for line in answer.items]


def _faders(bases: Sequence[str], given: dict[str, float]) -> list[dict[str, Any]]:
    """One slider for each base: where it stands (0 to 100), and the share that this is of all."""
    total = sum(given.values())
    return [
        {
            "label": label,
            "at": at,
            "level": round(100 * given[label]),
            "share": given[label] / total if total > 0 else 0.0,
        }
        for at, label in enumerate(bases)
    ]


def _level(text: str) -> float:
    level = float(text) if text.isascii() and text.isdigit() else -1.0
    if not 0 <= level <= 100:
        raise Refusal(422, "a weight must be a whole number from 0 to 100")
    return level / 100
