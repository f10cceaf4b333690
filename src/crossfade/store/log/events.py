"""Events: written once, in order, and read by place, by user or by session."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, Table, bindparam, insert, select, update

from crossfade.errors import ConflictError
from crossfade.store.log.rows import Appended, NewEvent, StoredEvent
from crossfade.store.log.tables import events, log_state

T = TypeVar("T")

N_NAMES = 1000
"""Values looked up in one statement; databases take about 32,000."""


def append(connection: Connection, new: Sequence[NewEvent], received_us: int) -> list[Appended]:
    """Write the events that are not there yet.

    Raises:
        ConflictError: If a key stands for another event; nothing was written then.
    """
    sequence = last_sequence(connection)
    known = _by_key(connection, [event.key for event in new if event.key is not None])
    appended, rows = list[Appended](), list[dict[str, Any]]()
    for event in new:
        first = known.get(event.key) if event.key is not None else None
        if first is None:
            sequence += 1
            rows.append(_row(sequence, received_us, event))
            if event.key is not None:
                known[event.key] = StoredEvent(sequence, received_us, event)
            appended.append(Appended(sequence, duplicate=False))
        elif _same(first, event, received_us):
            appended.append(Appended(first.sequence, duplicate=True))
        else:
            raise ConflictError(
                f'key "{event.key}" already stands for another event (sequence {first.sequence}); '
                "give each event a key of its own"
            )
    if rows:
        connection.execute(insert(events), rows)
        connection.execute(update(log_state).values(last_sequence=sequence))
    return appended


def _same(first: StoredEvent, event: NewEvent, received_us: int) -> bool:
    """Whether an event is there already; one that happened as it came in comes in later when it is sent again."""
    if first.event.time_us == first.received_us and event.time_us == received_us:
        event = replace(event, time_us=first.event.time_us)
    return first.event == event


def find_of(
    connection: Connection,
    user_id: str | None,
    session_id: str | None,
    after: int,
    limit: int | None,
    *,
    newest: bool = False,
) -> list[StoredEvent]:
    """Events after a sequence that name all who are given, in order; of too many the first, or the newest."""
    who = {"user_id": user_id, "session_id": session_id}
    named = {name: id_ for name, id_ in who.items() if id_ is not None}
    said = {**named, "after": after} | ({} if limit is None else {"most": limit})
    query = _search(tuple(named), limited=limit is not None, newest=newest)
    rows = [stored(row._asdict()) for row in connection.execute(query, said)]
    return rows[::-1] if newest else rows


@cache  # a statement takes longer to put together than to carry out
def _search(named: tuple[str, ...], *, limited: bool, newest: bool) -> Select[Any]:
    where = [events.c[name] == bindparam(name) for name in named]
    query = select(events).where(events.c.sequence > bindparam("after"), *where)
    query = query.order_by(events.c.sequence.desc() if newest else events.c.sequence)
    return query.limit(bindparam("most")) if limited else query


def last_sequence(connection: Connection) -> int:
    """The last one given; 0 before the first."""
    last: int = connection.scalars(select(log_state.c.last_sequence)).one()
    return last


def naming(table: Table, user_id: str | None, session_id: str | None) -> list[ColumnElement[bool]]:
    """Conditions on a row: that it names all who are given."""
    named = {"user_id": user_id, "session_id": session_id}
    return [table.c[name] == id_ for name, id_ in named.items() if id_ is not None]


def pieces(values: Iterable[T]) -> Iterator[list[T]]:
    """Few enough at a time for one statement."""
    whole = list(values)
    for start in range(0, len(whole), N_NAMES):
        yield whole[start : start + N_NAMES]


def _by_key(connection: Connection, keys: list[str]) -> dict[str, StoredEvent]:
    found = {}
    for some in pieces(keys):
        rows = connection.execute(select(events).where(events.c.key.in_(some)))
        found.update({row.key: stored(row._asdict()) for row in rows})
    return found


def _row(sequence: int, received_us: int, event: NewEvent) -> dict[str, Any]:
    context = json.dumps(event.context, allow_nan=False)
    return {**vars(event), "sequence": sequence, "received_us": received_us, "context": context}


def stored(row: dict[str, Any]) -> StoredEvent:
    """The event of a whole row."""
    fields = {**row, "context": json.loads(row["context"])}
    return StoredEvent(fields.pop("sequence"), fields.pop("received_us"), NewEvent(**fields))
