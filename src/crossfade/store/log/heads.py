"""Heads: of each person at most one, what their reactions made of a blend; opaque text here."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from crossfade.errors import DataError
from crossfade.store.log.database import Database
from crossfade.store.log.events import naming
from crossfade.store.log.forgetting import when
from crossfade.store.log.rows import MOST, check_text, check_who, check_whole
from crossfade.store.log.tables import heads


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
