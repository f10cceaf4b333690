"""What goes over the wire: every request and every answer, checked where it comes in."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from crossfade.meta.recommendation import Recommendation

MAX_K, MAX_IDS, MAX_EVENTS, MAX_CONTEXT = 500, 1_000, 1_000, 20
WEEK_MS = 7 * 86_400_000
FIRST = datetime(1970, 1, 1, tzinfo=UTC)
LAST = datetime(2200, 1, 1, tzinfo=UTC)


def plain_text(text: str) -> str:
    """Text that every database and every log can hold."""
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must be text without NUL and without halves of characters")
    return text


def _in_time(moment: datetime) -> datetime:
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    if not FIRST <= moment < LAST:
        raise ValueError(f"must lie between {FIRST.year} and {LAST.year}")
    return moment


Id = Annotated[str, StringConstraints(min_length=1, max_length=512), AfterValidator(plain_text)]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Moment = Annotated[datetime, AfterValidator(_in_time)]
Situation = Annotated[dict[Word, float | Id], Field(max_length=MAX_CONTEXT)]
Ids = Annotated[tuple[Id, ...], Field(max_length=MAX_IDS)]


class Message(BaseModel):
    """Unknown keys and numbers that are none are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Person(Message):
    """Somebody, a session of nobody in particular, or a newcomer."""

    user_id: Id | None = Field(None, description="Somebody, known or not.")
    session_id: Id | None = Field(None, description="A session without a user.")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.user_id is not None and self.session_id is not None:
            raise ValueError("name a user or a session, not both")
        return self


class Conditions(Message):
    """What must hold for every item of a list."""

    rules: Annotated[
        tuple[Annotated[str, StringConstraints(max_length=1_000)], ...], Field(max_length=20)
    ] = ()
    block: Ids = ()
    allow: Ids | None = None


class PersonRequest(Person):
    """What every request for somebody may say."""

    context: Situation | None = Field(None, description="The situation now, such as the device.")


class ListRequest(PersonRequest):
    """A list for a user, a session, or what a newcomer says they like."""

    k: int = Field(10, ge=1, le=MAX_K, description="How many items.")
    items: Ids = Field((), description="Items the person says they like.")
    genres: Ids = Field((), description="Genres the person says they like.")
    moods: Ids = Field((), description="Moods the person says they like.")
    filters: Conditions = Field(Conditions(), description="What must hold for every item.")
    diversity: float | None = Field(
        None,
        ge=0,
        le=1,
        description="0 ranks by score alone; unset takes the setting of the system.",
    )
    explain: bool = Field(False, description="Whether to say why each item is there.")


class ShortRequest(Person):
    """A list without a body."""

    k: int = Field(10, ge=1, le=MAX_K)
    explain: bool = False


class ItemRequest(PersonRequest):
    """One item for one person."""

    item_id: Id


class PairsRequest(PersonRequest):
    """Some items for one person."""

    item_ids: Annotated[tuple[Id, ...], Field(min_length=1, max_length=MAX_IDS)]


class EventMessage(Message):
    """One reaction."""

    item_id: Id
    user_id: Id | None = None
    session_id: Id | None = None
    event: Word = Field("play", description="play, like, dislike, skip, save, rating, purchase, …")
    timestamp: Moment | None = Field(None, description="When; now, where it is left out.")
    value: float | None = Field(None, ge=-1e9, le=1e9, description="A rating.")
    played_ms: int | None = Field(None, ge=0, le=WEEK_MS)
    skipped: bool | None = None
    context: Situation = Field(default_factory=dict)
    request_id: Word | None = Field(None, description="Of the list it reacts to.")
    key: Id | None = Field(None, description="Sent again under the same key, it counts once.")

    @model_validator(mode="after")
    def _of_somebody(self) -> Self:
        if self.user_id is None and self.session_id is None:
            raise ValueError("an event needs a user_id or a session_id")
        return self


class EventBatch(Message):
    """Several reactions; all of them are taken, or none."""

    events: Annotated[tuple[EventMessage, ...], Field(min_length=1, max_length=MAX_EVENTS)]


class Promotion(Message):
    """Which version is to serve."""

    version: Word


# -- answers -------------------------------------------------------------------------------


class ListAnswer(BaseModel):
    """A list, and what it rests on."""

    request_id: str = Field(description="To be named by the events that react to this list.")
    version: str = Field(
        description="Of the system that answered; both with a + between them, if two were interleaved."
    )
    method: str = Field(description="What answered: the learned blend, or the static one.")
    n_history: int = Field(description="Events the list rests on.")
    n_live: int = Field(description="How many of them came in after the system was fitted.")
    adaptation_applied: bool = Field(
        description="Whether the person's own reactions changed how far each base is trusted."
    )
    adaptation: Mapping[str, float] | None = Field(
        description="By how much, by base: spreads of the blended scores per spread of the base's. "
        "On top of the weights of each item, which are those of the blend."
    )
    notes: Sequence[str] = Field(description="What is unknown and was left out.")
    experiment: str | None = Field(None, description="That the list is part of.")
    arm: str | None = Field(
        None, description="Of that experiment, which made the list; null where both made it."
    )
    items: Sequence[Recommendation]


class ItemAnswer(BaseModel):
    """One item for one person; null where nobody can score it."""

    version: str
    item: Recommendation | None


class Prediction(BaseModel):
    """How likely one item is wanted; null where nobody can score it."""

    item_id: str
    score: float | None
    probability: float | None


class PairsAnswer(BaseModel):
    """Predictions in the order they were asked for."""

    version: str
    items: Sequence[Prediction]


class SimilarAnswer(BaseModel):
    """Items like one item."""

    version: str
    base: str = Field(description="Label of the base that knows.")
    items: Sequence[Recommendation]


class EventAnswer(BaseModel):
    """What became of an event."""

    sequence: int = Field(description="Its place in the log.")
    duplicate: bool = Field(description="Whether it had been there before under the same key.")


class BatchAnswer(BaseModel):
    """What became of several events, in their order."""

    events: Sequence[EventAnswer]


class ForgetAnswer(BaseModel):
    """How much of a person was deleted."""

    events: int
    impressions: int
    profiles: int
    heads: int = Field(description="What had been learned from the reactions.")
    wiped: bool = Field(
        description="Whether the bytes are gone from the files of the database too; see `Forgotten`."
    )


class VersionLine(BaseModel):
    """One version of the system."""

    version: str
    serves: bool
    promoted: bool
    added: str | None
    n_events: int | None
    metrics: dict[str, float]
    problem: str | None


class ModelsAnswer(BaseModel):
    """The version that answers, and the others of the registry."""

    version: str
    versions: Sequence[VersionLine]


class State(BaseModel):
    """Whether the service can answer, and what is wrong otherwise."""

    status: str
    version: str | None = None
    problems: Sequence[str] = ()


class Problem(BaseModel):
    """One thing that is wrong with a request."""

    where: str
    problem: str


class Fault(BaseModel):
    """Why there is no answer."""

    code: str
    message: str
    request_id: str
    details: Sequence[Problem] = ()


class FaultAnswer(BaseModel):
    """The one shape of every error."""

    error: Fault
