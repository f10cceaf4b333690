"""What is kept of items and users between fits, of what reactions made of a blend, and of requests."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from crossfade.errors import DataError
from crossfade.store.log.rows import MOST, check_text, check_who, check_whole, shown

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.2, 0.5, 1, 2, 5, 10)
"""Times of requests are counted up to each of these."""

Outcome = Literal["done", "refused", "failed"]
"""What became of a request: a status below 400, below 500, or not."""

Value = str | float | bool | Sequence[str]

MAX_COLUMNS = 100_000
"""Characters of all columns of one row together, as JSON."""


@dataclass(frozen=True)
class Item:
    """One item of the catalogue.

    Attributes:
        item_id: Its id.
        columns: What is known of it, by column of the event contract or any other.
        available: Whether it may be in a list.
        changed_us: When it was last changed; 0 where it is not kept yet.

    Raises:
        DataError: If there is a value that a database cannot keep.
    """

    item_id: str
    columns: Mapping[str, Value] = field(default_factory=dict, hash=False)
    available: bool = True
    changed_us: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        check_text("item_id", self.item_id)
        written(self.columns)


@dataclass(frozen=True)
class User:
    """The profile of one user.

    Attributes:
        user_id: Their id.
        columns: What is known of them, by column.
        changed_us: When it was last changed; 0 where it is not kept yet.

    Raises:
        DataError: If there is a value that a database cannot keep.
    """

    user_id: str
    columns: Mapping[str, Value] = field(default_factory=dict, hash=False)
    changed_us: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        check_text("user_id", self.user_id)
        written(self.columns)


def written(columns: Mapping[str, Value]) -> str:
    """Columns as one text, the same for the same columns.

    Raises:
        DataError: If they are none, or too long.
    """
    for name in columns:
        check_text("the name of a column", name)
    try:
        text = json.dumps(columns, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError):
        raise DataError(
            f"columns must hold texts, finite numbers, true, false and lists of texts, got {shown(columns)}"
        ) from None
    if len(text) > MAX_COLUMNS:
        raise DataError(
            f"columns may have {MAX_COLUMNS:,} characters together, got {len(text):,}; leave some out"
        )
    return text


@dataclass(frozen=True)
class StoredHead:
    """The head of a user, or of a session of nobody in particular.

    Attributes:
        version: Of the system that it belongs to.
        created_us: When the events that it was learned from were read.
        expires_us: From when on it is worth nothing.
        content: What it says.
        user_id: Exactly one of this
        session_id: and this.

    Raises:
        DataError: If both are given or none, or one of the others cannot be kept.
    """

    version: str
    created_us: int
    expires_us: int
    content: str
    user_id: str | None = None
    session_id: str | None = None

    def __post_init__(self) -> None:
        check_who(self.user_id, self.session_id)
        if self.user_id is not None and self.session_id is not None:
            raise DataError("a head is of a user or of a session, not of both; give one of them")
        check_text("version", self.version)
        check_whole("created_us", self.created_us, -MOST)
        check_whole("expires_us", self.expires_us, -MOST)


@dataclass(frozen=True)
class Answered:
    """How many requests of one kind took about as long as one another.

    Attributes:
        hour_us: When the hour began in which they were answered.
        route: Which of the app, with its method; ``none`` for what there is not.
        outcome: What became of them.
        at_most_us: The least of `SECONDS` that none of them took longer than, in microseconds; 2⁶³ - 1 is
            none of these.
        n: So many.
    """

    hour_us: int
    route: str
    outcome: Outcome
    at_most_us: int
    n: int
