"""What a live system is asked, and what it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from crossfade.errors import DataError
from crossfade.meta.recommendation import Recommendations
from crossfade.meta.serving import Filters
from crossfade.online.heads import Head
from crossfade.ranking import RankingConfig
from crossfade.store.log import Features

YEARS_US = (-62_135_596_800_000_000, 253_402_300_799_999_999)
"""The years 1 to 9999 in microseconds since 1970."""

_MOST = {"value": float(np.finfo(np.float32).max), "played_ms": 2**63 - 1}


def check_time(name: str, time_us: int) -> None:
    """Raise unless a moment lies in a year that calendars know.

    Raises:
        DataError: If it does not.
    """
    if not YEARS_US[0] <= time_us <= YEARS_US[1]:
        raise DataError(f"{name} must lie in the years 1 to 9999, got {time_us}; give microseconds")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing somebody did, as it came in; see the event contract.

    Attributes:
        item_id: With what.
        time_us: When, in microseconds since 1970.
        event: Its kind, such as ``play`` or ``skip``.
        value: A rating or a count; None where it has none.
        played_ms: How long it was played; None where that is not known.
        skipped: Whether the play was skipped; None where that is not known.
        session_id: Its session; looked at where the system's log has session ids.
        context: The situation it happened in, by column.

    Raises:
        DataError: If a number is so large that no log could keep it.
    """

    item_id: str
    time_us: int
    event: str = "play"
    value: float | None = None
    played_ms: int | None = None
    skipped: bool | None = None
    session_id: str | None = None
    context: Mapping[str, float | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_time("time_us of an event", self.time_us)
        for name, most in _MOST.items():
            given = getattr(self, name)
            if given is not None and abs(given) > most:
                raise DataError(
                    f"{name} of an event on {self.item_id} must be at most {most:g}, got {given}; leave it out"
                )


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for a list by somebody whom a log may not know yet.

    Attributes:
        user_id: Who, known to the system or not; None for a session without a user.
        events: What is known of this person or session beyond the log, in any order; what the log
            holds as well does not count twice.
        items: Ids of items the person says they like.
        genres: Genres the person says they like.
        moods: Moods the person says they like.
        k: How many items, 1 or more.
        now_us: Time of the request in microseconds since 1970: only what happened strictly before
            it counts. None takes everything, and leaves the request without a time.
        context: The situation of the request; it takes the place of the latest known one.
        filters: What must hold for every item; None asks for nothing.
        ranking: How candidates become a list; None takes the settings of the system.
        explain: Whether to say why each item is there.
        seed: Of places left to chance; needed where ``ranking.explore`` is above 0.
        features: Whether to say what the learned blend was told.
        head: What the person's reactions made of the blend; see `LiveSystem.adapt`. One that does not
            count, of another version, or out of its time changes nothing.
        withhold: Whether to leave the head out all the same, and say what it would have shown.

    Raises:
        DataError: If the time lies in no year that calendars know.
    """

    user_id: str | None = None
    events: Sequence[Event] = ()
    items: Sequence[str] = ()
    genres: Sequence[str] = ()
    moods: Sequence[str] = ()
    k: int = 10
    now_us: int | None = None
    context: Mapping[str, float | str] | None = None
    filters: Filters | None = None
    ranking: RankingConfig | None = None
    explain: bool = False
    seed: int | None = None
    features: bool = False
    head: Head | None = None
    withhold: bool = False

    def __post_init__(self) -> None:
        if self.now_us is not None:
            check_time("now_us", self.now_us)


@dataclass(frozen=True)
class Answer:
    """The list of one request.

    Attributes:
        recommendations: Best first.
        n_history: Events that it rests on, of the log and live; stated likes are none.
        n_live: How many of them the log does not hold.
        unknown: A sentence for whatever was said that the system does not know.
        method: What gave the scores: the name of the learned blend, or ``static``.
        features: What the learned blend was told of the request and of each item of the list; None
            where nobody asked for that, and where no learned blend answered.
        adaptation: What the head of the request added to the scores: by base, in spreads of the
            blend per spread of the base among the candidates. None where it changed no score.
        shadow: Ids of the list that somebody with a head that counts was not shown, best first: the
            one without it, or with it where it was withheld. None for everybody else.
    """

    recommendations: Recommendations
    n_history: int
    n_live: int
    unknown: tuple[str, ...]
    method: str
    features: Features | None = None
    adaptation: Mapping[str, float] | None = None
    shadow: Sequence[str] | None = None

    @property
    def adaptation_applied(self) -> bool:
        """Whether a head changed the scores."""
        return self.adaptation is not None


@dataclass(frozen=True)
class Prediction:
    """What is said of one item for one request.

    Attributes:
        item_id: The item.
        score: Blended; comparable within one request only.
        probability: That the person wants it; None where no calibrated model gave the score.
        uncertainty: How unsure the score is; None where nothing is said of that.
    """

    item_id: str
    score: float
    probability: float | None
    uncertainty: float | None


Outcome = Literal["counts", "loses", "too_few", "nothing_new", "late", "no_model"]
"""How an adaptation ended: the head counts; it does not win on what was held back; there were too few
reactions for that; none was new on a candidate; time ran out before all were learned from; or no
learned blend or no time is there to adapt."""


@dataclass(frozen=True)
class Adaptation:
    """What became of the head of a request.

    Attributes:
        head: The newest one, to be kept whether it counts or not; None where there can be none.
        outcome: How it went.
    """

    head: Head | None
    outcome: Outcome
