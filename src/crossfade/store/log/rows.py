"""What the event log takes and gives: frozen rows that any database can keep as they are.

Times are microseconds since 1970-01-01 UTC.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from crossfade.errors import DataError
from crossfade.store.log.features import Features

Role = Literal["read", "write", "admin"]

MAX_CHARACTERS = 512
"""Of ids, keys and names: PostgreSQL cannot index a text of more than about 2,700 bytes."""

MOST = 2**63 - 1
"""What a database calls an integer ends here."""


@dataclass(frozen=True)
class NewEvent:
    """One reaction, in ids of the outside world.

    Attributes:
        item_id: What it was about.
        time_us: When it happened.
        user_id: Who; at least one of ``user_id`` and ``session_id`` is given.
        session_id: In which session.
        event: What was done.
        value: A rating.
        played_ms: How long it was played, 0 or more.
        skipped: Whether it was skipped.
        context: Where and how, such as ``{"device": "phone"}``.
        request_id: Of the recommendation it reacts to.
        key: Idempotency key: the log keeps one event under it.

    Raises:
        DataError: If there is a value that a database cannot keep.
    """

    item_id: str
    time_us: int
    user_id: str | None = None
    session_id: str | None = None
    event: str = "play"
    value: float | None = None
    played_ms: int | None = None
    skipped: bool | None = None
    context: Mapping[str, float | str] = field(default_factory=dict, hash=False)
    request_id: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        for name in ("item_id", "event"):
            check_text(name, getattr(self, name))
        check_who(self.user_id, self.session_id)
        check_texts(request_id=self.request_id, key=self.key)
        check_whole("time_us", self.time_us, -MOST)
        if self.value is not None:
            object.__setattr__(self, "value", as_float("value", self.value))
        if self.played_ms is not None:
            check_whole("played_ms", self.played_ms, 0)
        if self.skipped is not None and type(self.skipped) is not bool:
            raise DataError(
                f"skipped must be true or false, got {shown(self.skipped)}; leave it out if unknown"
            )
        object.__setattr__(self, "context", dict(self.context))
        for name, value in self.context.items():
            check_text("a name in context", name)
            if not isinstance(value, str):
                as_float(f'context "{name}"', value)


@dataclass(frozen=True)
class StoredEvent:
    """An event of the log.

    Attributes:
        sequence: Its place in the log, from 1; never given twice, not even after it was forgotten.
        received_us: When it was handed in.
        event: As it was handed in.
    """

    sequence: int
    received_us: int
    event: NewEvent


@dataclass(frozen=True)
class Appended:
    """What became of one event.

    Attributes:
        sequence: Its place in the log; of a duplicate, that of the first one.
        duplicate: Whether the same event was there before under its key.
    """

    sequence: int
    duplicate: bool


@dataclass(frozen=True)
class ImpressionItem:
    """One place of a list that was shown.

    Attributes:
        item_id: What stood there.
        place: From 1.
        score: Of the blend.
        probability: Of the named event, in [0, 1]; None where nothing is calibrated.
        propensity: Chance that it was shown there; None where it is not known.
        weights: Of each base that could score it.
        arm: Of the experiment, that put it there; None but in an interleaved list.

    Raises:
        DataError: If there is a value that a database cannot keep.
    """

    item_id: str
    place: int
    score: float
    probability: float | None = None
    propensity: float | None = None
    weights: Mapping[str, float] = field(default_factory=dict, hash=False)
    arm: str | None = None

    def __post_init__(self) -> None:
        check_text("item_id", self.item_id)
        check_texts(arm=self.arm)
        check_whole("place", self.place, 1)
        for name in ("score", "probability", "propensity"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, as_float(name, value))
        weights = {name: as_float(f"weight of {name}", w) for name, w in self.weights.items()}
        object.__setattr__(self, "weights", weights)


@dataclass(frozen=True)
class Shadow:
    """The list that was not shown to somebody whose reactions changed the blend.

    Attributes:
        items: Ids in its order.
        adapted: Whether the list that was shown is the one with these changes; the other is without.
        chance: That the lists were not the other way round, above 0, at most 1.

    Raises:
        DataError: If there is a value that a database cannot keep.
    """

    items: Sequence[str]
    adapted: bool
    chance: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", tuple(self.items))
        for item_id in self.items:
            check_text("item_id", item_id)
        if not 0 < as_float("chance", self.chance) <= 1:
            raise DataError(f"chance must be above 0 and at most 1, got {self.chance}")


@dataclass(frozen=True)
class Impression:
    """One list as it was shown.

    Attributes:
        request_id: Of the request it answers; there is one impression to each.
        time_us: When it was shown.
        version: Of the system that answered.
        method: How it came about, such as ``"blend"``.
        items: In the order shown.
        user_id: To whom.
        session_id: In which session.
        experiment: Which experiment the request took part in.
        arm: In which arm of it.
        features: What the learned blend was told; None where that was not kept.
        shadow: What would have been shown without adaptation, or with it; None where none counted.

    Raises:
        DataError: If there is a value that a database cannot keep.
    """

    request_id: str
    time_us: int
    version: str
    method: str
    items: Sequence[ImpressionItem]
    user_id: str | None = None
    session_id: str | None = None
    experiment: str | None = None
    arm: str | None = None
    features: Features | None = None
    shadow: Shadow | None = None

    def __post_init__(self) -> None:
        for name in ("request_id", "version", "method"):
            check_text(name, getattr(self, name))
        check_texts(user_id=self.user_id, session_id=self.session_id)
        check_texts(experiment=self.experiment, arm=self.arm)
        check_whole("time_us", self.time_us, -MOST)
        object.__setattr__(self, "items", tuple(self.items))


@dataclass(frozen=True)
class Forgotten:
    """What was deleted.

    Attributes:
        events: So many rows.
        impressions: So many rows.
        profiles: So many rows.
        heads: So many rows.
        wiped: Whether the bytes are gone from the files too. Always False on PostgreSQL, whose
            server frees them in its own time; on SQLite False where a reader held the old state
            for too long, and then they go with the next `Log.forget` or when the log is closed.
    """

    events: int
    impressions: int
    profiles: int
    heads: int
    wiped: bool


@dataclass(frozen=True)
class StoredReport:
    """A report as it was stored.

    Attributes:
        time_us: When.
        version: Of the system it is about.
        report: JSON.
    """

    time_us: int
    version: str
    report: str


@dataclass(frozen=True)
class Tombstone:
    """That somebody was forgotten: tells an id only to who already knows it and asks.

    Attributes:
        salt: Of the log that forgot.
        digest: HMAC-SHA256 of the id, hex.
        time_us: When that was.
    """

    salt: str
    digest: str
    time_us: int


@dataclass(frozen=True)
class ApiKey:
    """Who may ask for what; the secret itself is not kept.

    Attributes:
        id: The public part of the key.
        name: Whose it is.
        role: What it is good for.
        created_us: Since when.
        expires_us: From when on it is worth nothing; None is never.
        revoked_us: When it was taken back; None is not.
    """

    id: str
    name: str
    role: Role
    created_us: int
    expires_us: int | None
    revoked_us: int | None


# -- what a database can keep ------------------------------------------------------------


def check_text(name: str, value: object) -> None:
    """Refuse what cannot be kept and found again as text."""
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_CHARACTERS:
        mend = f"give a text of 1 to {MAX_CHARACTERS} characters"
    elif "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        mend = "take out NUL and half characters, which no database keeps"
    else:
        return
    raise DataError(f"{name} cannot be kept, got {shown(value)}; {mend}")


def check_texts(**values: object) -> None:
    """The same of those that are given at all."""
    for name, value in values.items():
        if value is not None:
            check_text(name, value)


def check_who(user_id: str | None, session_id: str | None) -> None:
    """Refuse what belongs to nobody."""
    if user_id is None and session_id is None:
        raise DataError("neither user_id nor session_id is given; give at least one")
    check_texts(user_id=user_id, session_id=session_id)


def check_whole(name: str, value: object, low: int) -> None:
    """Refuse what is no whole number from ``low`` on that fits into 64 bits."""
    if type(value) is not int or not low <= value <= MOST:
        raise DataError(f"{name} must be a whole number from {low} to 2⁶³ − 1, got {shown(value)}")


def as_float(name: str, value: object) -> float:
    """The number as it will be kept."""
    try:
        if isinstance(value, int | float) and math.isfinite(value):
            return float(value)
    except OverflowError:  # a whole number beyond every float
        pass
    raise DataError(
        f"{name} must be a finite number, got {shown(value)}; leave it out where there is none"
    )


def shown(value: object) -> str:
    """A value as messages show it, on one line, not too long."""
    if isinstance(value, int) and value.bit_length() > 200:
        return "a number of many digits"  # which Python may refuse to write out
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
