"""Forgetting: every row of a person goes; a tombstone stays that tells an id only to who knows it."""

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from typing import Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    union,
)

from crossfade.store.log.rows import MOST, Tombstone
from crossfade.store.log.tables import events, heads, impressions, log_state, tombstones, users

Kind = Literal["user", "session", "nameless"]
"""All rows of a user, all of a session, or those of a session that name no user."""

TIMES = {
    events: events.c.received_us,
    impressions: impressions.c.time_us,
    users: users.c.changed_us,
    heads: heads.c.created_us,
}
"""Where a person's rows are, and since when they are there."""

# Made once: a statement takes longer to put together than to carry out.
_SALTS = select(tombstones.c.salt).distinct()
_LAST = select(func.max(tombstones.c.time_us)).where(
    tombstones.c.digest.in_(bindparam("digests", expanding=True))
)

Counts = tuple[int, int, int, int]
"""Rows that were deleted: events, impressions, profiles, heads."""


def forget(
    connection: Connection, user_id: str | None, session_id: str | None, now_us: int
) -> Counts:
    """Delete a user's rows with the nameless ones of their sessions, and all rows of a session.

    Returns:
        How many rows were deleted.
    """
    targets: list[tuple[Kind, str]] = []
    if user_id is not None:
        targets += [("user", user_id)]
        targets += [("nameless", session) for session in _sessions(connection, user_id)]
    if session_id is not None:
        targets += [("session", session_id)]
    salt = connection.scalars(select(log_state.c.salt)).one()
    stones = [
        Tombstone(salt, _digest(salt, *target), max(now_us, _newest(connection, *target)))
        for target in targets
    ]
    _bury(connection, stones)
    return _delete(connection, [(*target, MOST) for target in targets])


def clean(connection: Connection, stones: Iterable[Tombstone]) -> Counts:
    """Delete again what was there when it was forgotten: a backup from before may hold it."""
    until = {(stone.salt, stone.digest): stone.time_us for stone in stones}
    _bury(connection, [Tombstone(*name, time_us) for name, time_us in until.items()])
    salts = {salt for salt, _ in until}
    targets = [
        (kind, id_, until[salt, digest])
        for kind, id_ in _everybody(connection)
        for salt in salts
        if (salt, digest := _digest(salt, kind, id_)) in until
    ]
    return _delete(connection, targets)


def every(connection: Connection) -> list[Tombstone]:
    """All tombstones, oldest first."""
    query = select(tombstones).order_by(tombstones.c.time_us, tombstones.c.digest)
    return [Tombstone(**row._asdict()) for row in connection.execute(query)]


def when(
    connection: Connection,
    user_id: str | None,
    session_id: str | None,
    *,
    in_part: bool = False,
) -> int | None:
    """When a user or a session was last forgotten; None where they never were.

    ``in_part`` counts also when somebody was who had been in the session.
    """
    salts = connection.scalars(_SALTS).all()
    if not salts:  # nobody was ever forgotten
        return None
    people: list[tuple[Kind, str]] = [] if user_id is None else [("user", user_id)]
    people += [] if session_id is None else [("session", session_id)]
    people += [] if session_id is None or not in_part else [("nameless", session_id)]
    digests = [_digest(salt, *who) for salt in salts for who in people]
    last: int | None = connection.scalar(_LAST, {"digests": digests})
    return last


def among(connection: Connection, kind: Kind, ids: Iterable[str]) -> dict[str, int]:
    """Those of some ids that were ever forgotten, and when last."""
    times = {(stone.salt, stone.digest): stone.time_us for stone in every(connection)}
    salts, found = {salt for salt, _ in times}, {}
    for id_ in ids if times else ():
        names = [(salt, _digest(salt, kind, id_)) for salt in salts]
        when_us = [times[name] for name in names if name in times]
        if when_us:
            found[id_] = max(when_us)
    return found


def _sessions(connection: Connection, user_id: str) -> list[str]:
    """Sessions that name a user anywhere."""
    parts = [
        select(table.c.session_id).where(
            table.c.user_id == user_id, table.c.session_id.is_not(None)
        )
        for table in _naming("session_id")
    ]
    return sorted(connection.scalars(union(*parts)))


def _everybody(connection: Connection) -> Iterator[tuple[Kind, str]]:
    """Whoever may have been forgotten, in every way they may have been."""
    for name in ("user_id", "session_id"):
        parts = [select(table.c[name]).where(table.c[name].is_not(None)) for table in _naming(name)]
        kinds: tuple[Kind, ...] = ("user",) if name == "user_id" else ("session", "nameless")
        for id_ in connection.scalars(union(*parts)):
            yield from ((kind, id_) for kind in kinds)


def _naming(column: str) -> list[Table]:
    """The tables whose rows may name a user, or a session."""
    return [table for table in TIMES if column in table.c]


def _delete(connection: Connection, targets: Iterable[tuple[Kind, str, int]]) -> Counts:
    n = dict.fromkeys(TIMES, 0)
    for kind, id_, until_us in targets:
        for table in _naming("user_id" if kind == "user" else "session_id"):
            where = (*_rows_of(table, kind, id_), TIMES[table] <= until_us)
            n[table] += connection.execute(delete(table).where(*where)).rowcount
    return n[events], n[impressions], n[users], n[heads]


def _newest(connection: Connection, kind: Kind, id_: str) -> int:
    """When the newest row came: where a clock went back since, a backup's rows must not outlive it."""
    tables = _naming("user_id" if kind == "user" else "session_id")
    queries = [select(func.max(TIMES[one])).where(*_rows_of(one, kind, id_)) for one in tables]
    times = [connection.scalar(query) for query in queries]
    return max((time for time in times if time is not None), default=-MOST)


def _rows_of(table: Table, kind: Kind, id_: str) -> list[ColumnElement[bool]]:
    if kind == "user":
        return [table.c.user_id == id_]
    nameless = [table.c.user_id.is_(None)] if kind == "nameless" else []
    return [table.c.session_id == id_, *nameless]


def _bury(connection: Connection, stones: Iterable[Tombstone]) -> None:
    """Keep tombstones; of two for the same, the later."""
    for stone in stones:
        same = (tombstones.c.salt == stone.salt, tombstones.c.digest == stone.digest)
        before = connection.scalar(select(tombstones.c.time_us).where(*same))
        if before is None or before < stone.time_us:
            connection.execute(delete(tombstones).where(*same))
            connection.execute(insert(tombstones), vars(stone))


def _digest(salt: str, kind: Kind, id_: str) -> str:
    return hmac.new(salt.encode(), f"{kind}\0{id_}".encode(), hashlib.sha256).hexdigest()
