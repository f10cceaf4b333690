"""Heads: of each person at most one, what their reactions made of a blend; opaque text here."""

from sqlalchemy import Connection, delete, insert, select

from crossfade.store.log.database import Database
from crossfade.store.log.entries import StoredHead
from crossfade.store.log.events import naming
from crossfade.store.log.forgetting import when
from crossfade.store.log.rows import check_who
from crossfade.store.log.tables import heads


class Heads:
    """The heads in a database; see `Log` for what holds of all its parts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, head: StoredHead) -> bool:
        """Keep a head in place of the one before.

        Returns:
            Whether it is kept: not where its person was forgotten since ``created_us``, as it was
            learned from what must not be known any more.
        """
        return self._database.write(lambda connection: _put(connection, head))

    def get(
        self, *, user_id: str | None = None, session_id: str | None = None
    ) -> StoredHead | None:
        """The head of somebody; None where there is none."""
        check_who(user_id, session_id)
        with self._database.read() as connection:
            query = select(heads).where(*naming(heads, user_id, session_id))
            row = connection.execute(query).first()
        return None if row is None else StoredHead(**row._asdict())

    def drop_expired(self, now_us: int) -> int:
        """Delete what is worth nothing any more; returns how many those were."""
        over = delete(heads).where(heads.c.expires_us <= now_us)
        return self._database.write(lambda connection: connection.execute(over).rowcount)


def _put(connection: Connection, head: StoredHead) -> bool:
    forgotten_us = when(connection, head.user_id, head.session_id, in_part=True)
    if forgotten_us is not None and forgotten_us >= head.created_us:
        return False
    connection.execute(delete(heads).where(*naming(heads, head.user_id, head.session_id)))
    connection.execute(insert(heads), vars(head))
    return True
