"""Small logs for the feature tests: drawn ones and hand-written ones."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from hypothesis import strategies as st

from crossfade.data import Dataset
from crossfade.data.dataset import to_us
from crossfade.features import (
    SESSION_FEATURE_NAMES,
    Play,
    SessionFeatureConfig,
    SessionReference,
    fit_reference,
    session_features,
)
from crossfade.types import Doubles

START = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday
ITEMS = pl.DataFrame(
    {
        "item_id": ["a", "b", "c", "d", "e"],
        "genres": [["rock"], ["rock", "jazz"], ["folk"], None, ["jazz"]],
        "release_date": [None, date(2024, 1, 5), None, date(2024, 3, 1), date(1990, 1, 1)],
    }
)
CONFIG = SessionFeatureConfig(min_plays_for_type=3)


@dataclass(frozen=True)
class Event:
    """One event of a drawn log; ``minute`` counts from `START`."""

    user: str
    item: str
    minute: int
    session: str | None
    played_ms: int | None
    skipped: bool | None


def events(max_size: int = 40) -> st.SearchStrategy[list[Event]]:
    """Logs of three users in order of time: ties, gaps around 30 minutes, months, unknowns."""
    gap = st.one_of(st.integers(0, 65), st.integers(0, 3_000), st.integers(0, 80_000))
    drawn = st.tuples(
        st.sampled_from("uvw"),
        st.sampled_from("abcde"),
        gap,
        st.sampled_from(["s", "t", "u", None]),
        st.none() | st.integers(0, 4_000_000),
        st.none() | st.booleans(),
    )

    def in_order(rows: list[tuple[Any, ...]]) -> list[Event]:
        minutes = np.cumsum([row[2] for row in rows]).tolist()
        return [
            Event(row[0], row[1], minute, row[3], row[4], row[5])
            for row, minute in zip(rows, minutes, strict=True)
        ]

    return st.lists(drawn, min_size=1, max_size=max_size).map(in_order)


def dataset(log: list[Event], *, given_sessions: bool = False, times: bool = True) -> Dataset:
    """A data set over the five items and three users; session ids only where asked for.

    Data has session ids if any event has one, so a bystander brings one along: whether the
    drawn events have ids then changes nothing for the others.
    """
    if given_sessions:
        log = [Event("x", "a", 0, "bystander", None, None), *log]
    columns: dict[str, Any] = {
        "user_id": [x.user for x in log],
        "item_id": [x.item for x in log],
        "played_ms": [x.played_ms for x in log],
        "skipped": [x.skipped for x in log],
    }
    schema: dict[str, Any] = {"played_ms": pl.Int64, "skipped": pl.Boolean}
    if times:
        columns["timestamp"] = [START + timedelta(minutes=x.minute) for x in log]
    if given_sessions:
        columns["session_id"] = [x.session for x in log]
        schema["session_id"] = pl.String
    users = pl.DataFrame({"user_id": ["u", "v", "w"]})
    return Dataset.build(pl.DataFrame(columns, schema_overrides=schema), ITEMS, users)


def play(event: Event, data: Dataset, *, given_sessions: bool = False) -> Play:
    """The live spelling of one event."""
    return Play(
        item_row=data.item_ids.row(event.item),
        time_us=minute_us(event.minute),
        session=event.session if given_sessions else None,
        played_ms=event.played_ms,
        skipped=event.skipped,
    )


def minute_us(minute: int) -> int:
    """Microseconds of a minute after `START`."""
    return to_us(START + timedelta(minutes=minute))


def reference_of(log: list[Event]) -> SessionReference:
    """A reference fitted on the given events as base block."""
    return fit_reference(dataset(log), CONFIG)


def matrix(frame: pl.DataFrame) -> Doubles:
    """Feature columns of a frame."""
    return frame.select(SESSION_FEATURE_NAMES).to_numpy()


def features_of(
    log: list[Event],
    as_of_minute: int,
    reference: SessionReference | None = None,
    **kinds: bool,
) -> dict[str, float]:
    """Features of user ``u`` by name; the log itself is the base block unless told otherwise."""
    data = dataset(log, **kinds)
    reference = reference if reference is not None else fit_reference(data, CONFIG)
    moment = START + timedelta(minutes=as_of_minute) if data.has_times else None
    row = session_features(data, moment, reference).row(0, named=True)
    del row["user_row"]
    return row


def heard(
    *plays: tuple[str, int],
    user: str = "u",
    played_ms: int | None = None,
    skipped: bool | None = None,
) -> list[Event]:
    """Plays of one user as (item, minute)."""
    return [Event(user, item, minute, None, played_ms, skipped) for item, minute in plays]
