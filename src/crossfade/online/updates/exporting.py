"""From the event log of a service to a data set that the next version learns from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from crossfade.data import Dataset
from crossfade.data.continuing import continued, has_session_ids
from crossfade.data.schema import EVENT_COLUMNS, PLAY, TIMESTAMP
from crossfade.features.situation import PREFIX
from crossfade.online.asks import YEARS_US
from crossfade.online.catalogue import kept_rows
from crossfade.progress import task
from crossfade.store.log import Log, StoredEvent

PAGE = 10_000
"""Events that are read from the log at once."""

_MOST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Export:
    """A data set with the events of a log, and what was left out.

    Attributes:
        dataset: The data set.
        n_read: Events of the log.
        n_nameless: Those of sessions without a user.
        n_untimely: Those of a time that is yet to come, or of no year that calendars know.
        n_forgotten: People of the data set before who were forgotten.
    """

    dataset: Dataset
    n_read: int
    n_nameless: int
    n_untimely: int
    n_forgotten: int


def export(
    log: Log,
    dataset: Dataset,
    now_us: int,
    *,
    page: int = PAGE,
) -> Export:
    """What a service's lists rest on as a data set: an older one, and every live event since.

    An event that the data set holds already (same user, item and time) counts once. An event of a
    session without a user is nobody's history and stays out; so does, until then, one that says it
    happened after ``now_us``: it would make everything else old. Of the optional columns events have
    those of the data set, and ``event`` and ``skipped`` wherever they say anything.

    Whoever was forgotten is left out, with every event, tagging, friendship and attribute that the
    data set has of them; what came in after that is taken from the log. Items and people are as the
    service was told of them; see `kept_rows`.

    Args:
        log: Read page by page.
        dataset: What the version before learned from, or the same imported again.
        now_us: Now, in microseconds since 1970.
        page: Events that are objects in memory at one time.

    Raises:
        DataError: If the data set has no times, or no event is left.
        StoreError: If the log cannot be read.
    """
    pages = list(_pages(log, _contexts(dataset), page))
    live = pl.concat(pages)
    named = live.filter(pl.col("user_id").is_not_null())
    timely = named.filter(pl.col("time_us").is_between(YEARS_US[0], now_us))
    # Asked after the log was read: whoever is forgotten meanwhile is left out too.
    people = dataset.user_ids.ids
    forgotten = log.forgotten_among("user", {*people, *timely["user_id"]})
    sessions = log.forgotten_among("session", _sessions(dataset) | {*timely["session_id"]} - {None})
    for name, times in (("user_id", forgotten), ("session_id", sessions)):
        until = pl.col(name).replace_strict(times, default=None, return_dtype=pl.Int64)
        timely = timely.filter((pl.col("received_us") > until).fill_null(value=True))
    items, users = kept_rows(log, dataset, without_users=forgotten)
    grown = continued(
        dataset,
        _as_events(timely, dataset),
        items=items,
        users=users,
        without_users=forgotten,
        without_sessions=sessions,
    )
    return Export(
        grown,
        n_read=live.height,
        n_nameless=live.height - named.height,
        n_untimely=int((~named["time_us"].is_between(YEARS_US[0], now_us)).sum()),
        n_forgotten=sum(user in forgotten for user in people),
    )


def _contexts(dataset: Dataset) -> dict[str, bool]:
    """Columns of situations that live events can fill, and whether each holds numbers."""
    return {
        name: kind.is_numeric()
        for name, kind in dataset.events.schema.items()
        if name.startswith(PREFIX) and (kind.is_numeric() or kind == pl.String)
    }


def _sessions(dataset: Dataset) -> set[str]:
    return set(dataset.events["session_id"].drop_nulls()) if has_session_ids(dataset) else set()


def _pages(log: Log, contexts: Mapping[str, bool], page: int) -> Iterator[pl.DataFrame]:
    """The log up to its end of now, as tables; an empty one last."""
    last, after = log.last_sequence(), 0
    with task("read the event log", last) as progress:
        while stored := log.events_after(after, page):
            yield _frame([one for one in stored if one.sequence <= last], contexts)
            progress.advance(stored[-1].sequence - after)
            after = stored[-1].sequence
            if after >= last:
                break
    yield _frame([], contexts)


def _frame(stored: Sequence[StoredEvent], contexts: Mapping[str, bool]) -> pl.DataFrame:
    schema: dict[str, Any] = {
        name: kind for name, kind in EVENT_COLUMNS.items() if name != "timestamp"
    }
    schema |= {"value": pl.Float64, "time_us": pl.Int64, "received_us": pl.Int64}
    schema |= {name: pl.Float64 if number else pl.String for name, number in contexts.items()}
    rows = [_row(one, schema, contexts) for one in stored]
    return pl.DataFrame(rows, schema, orient="row")


def _row(
    stored: StoredEvent, schema: Mapping[str, Any], contexts: Mapping[str, bool]
) -> tuple[Any, ...]:
    event = stored.event
    told = {PREFIX + name.removeprefix(PREFIX): value for name, value in event.context.items()}
    read = {name: _read(told.get(name), number=number) for name, number in contexts.items()}
    given = {**vars(event), "received_us": stored.received_us, **read}
    return tuple(given[name] for name in schema)


def _read(value: float | str | None, *, number: bool) -> float | str | None:
    """What an event says of a situation, as its column holds it; None where it cannot."""
    if number or value is None:
        return None if isinstance(value, str) else value
    return value if isinstance(value, str) else f"{value:g}"


def _as_events(live: pl.DataFrame, dataset: Dataset) -> pl.DataFrame:
    """As `continued` takes them, without columns that would tell a data set nothing."""
    has = dataset.events.columns
    value = pl.col("value")
    events = live.select(
        pl.exclude("received_us", "time_us"),
        timestamp=pl.col("time_us").cast(TIMESTAMP),
    ).with_columns(value=pl.when(value.abs() <= _MOST).then(value))
    says_nothing = {
        "event": (events["event"] == PLAY).all(),
        "skipped": not events["skipped"].count(),
        # A target that looks at these is refused where the data set lacks them.
        "value": True,
        "played_ms": True,
    }
    return events.drop(
        name for name, nothing in says_nothing.items() if nothing and name not in has
    )
