"""`Log`: the event log as the service uses it."""

import importlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, Self, get_args

from crossfade.errors import DataError, MissingExtraError
from crossfade.store.log.rows import (
    MOST,
    ApiKey,
    Appended,
    Forgotten,
    Impression,
    NewEvent,
    Role,
    StoredEvent,
    Tombstone,
    check_text,
    check_who,
    check_whole,
    shown,
)

if TYPE_CHECKING:
    from crossfade.store.log.catalogue import Catalogue
    from crossfade.store.log.database import Database
    from crossfade.store.log.experiments import Experiments
    from crossfade.store.log.heads import Heads
    from crossfade.store.log.monitoring import Monitoring
    from crossfade.store.log.traffic import Traffic


class Log:
    """Events, impressions and API keys in a database; any number of threads may use it at once.

    What changes something returns when the change is durable, all of it or nothing. It may be done
    again after a `StoreError`: events under a key and impressions are not doubled. Several processes may
    open the same database.

    Every method raises `StoreError` where the database cannot be read or written: it is locked for
    longer than 5 seconds, full, damaged or gone, or the log is closed. Once the cause is gone the log
    works again. Where the connection to PostgreSQL breaks during a commit, nobody knows whether that
    commit took place; handing in the same again under the same keys settles it.
    """

    # Methods import what they call: it is made of SQLAlchemy, which comes with an extra.

    def __init__(self, database: "Database") -> None:
        self._database = database

    @classmethod
    def open(cls, url: str) -> Self:
        """Open a log, making it where there is none and bringing its schema up to date.

        Args:
            url: ``sqlite:///FILE``, or ``postgresql://USER:PASSWORD@HOST/DATABASE``. SQLite's ``timeout``
                and PostgreSQL's ``connect_timeout`` (in seconds, both 5) may follow after a ``?``.

        Raises:
            ConfigError: If the URL is neither.
            MissingExtraError: If the extra ``serve`` is not installed, or ``postgres`` where it is needed.
            StoreError: If there can be no log, it is damaged, or a newer crossfade made it.
        """
        try:
            importlib.import_module("sqlalchemy")
        except ModuleNotFoundError as error:
            raise MissingExtraError("the event log", "serve") from error
        from crossfade.store.log.database import Database

        return cls(Database(url))

    def close(self) -> None:
        """Commit what was handed in, then let go of the database; a second time does nothing."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check(self) -> None:
        """Read and write a little.

        Raises:
            StoreError: If that cannot be done.
        """
        self._database.check()

    @property
    def catalogue(self) -> "Catalogue":
        """What is kept of items and users between fits."""
        from crossfade.store.log.catalogue import Catalogue

        return Catalogue(self._database)

    @property
    def experiments(self) -> "Experiments":
        """A/B experiments."""
        from crossfade.store.log.experiments import Experiments

        return Experiments(self._database)

    # -- events --------------------------------------------------------------------------

    def append(self, events: Sequence[NewEvent], received_us: int) -> list[Appended]:
        """Keep events, in their order; those of one call follow one another.

        Args:
            events: All are kept or none.
            received_us: When they came in.

        Returns:
            What became of each. One whose key is there already with the same content is a duplicate
            and is not kept twice; after `forget` its key is free again. The time is no part of that
            content where it is that of coming in: such an event is sent again later.

        Raises:
            ConflictError: If a key stands for another event, in the log or among these.
        """
        from crossfade.store.log.events import append

        check_whole("received_us", received_us, -MOST)
        batch = list(events)
        if not batch:
            return []
        return self._database.write(lambda connection: append(connection, batch, received_us))

    def events_of(
        self,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        after: int = 0,
        limit: int | None = None,
        newest: bool = False,
    ) -> list[StoredEvent]:
        """Events of a user, of a session, or of a user in a session, by sequence.

        Args:
            user_id: At least one of this
            session_id: and this.
            after: Only later sequences.
            limit: At most so many, the first ones,
            newest: or the last ones.
        """
        from crossfade.store.log.events import find_of

        check_who(user_id, session_id)
        check_whole("after", after, 0)
        _check_limit(limit)
        with self._database.read() as connection:
            return find_of(connection, user_id, session_id, after, limit, newest=newest)

    def events_after(self, sequence: int, limit: int) -> list[StoredEvent]:
        """The log after a sequence, in order, for replay.

        Sequences become visible in order: whoever has read up to one never misses an earlier one.
        Those of forgotten events are missing.
        """
        from crossfade.store.log.events import find_of

        check_whole("sequence", sequence, 0)
        _check_limit(limit)
        with self._database.read() as connection:
            return find_of(connection, None, None, sequence, limit)

    def last_sequence(self) -> int:
        """The last one given, whether its event is still there or was forgotten; 0 before the first."""
        from crossfade.store.log.events import last_sequence

        with self._database.read() as connection:
            return last_sequence(connection)

    # -- impressions ---------------------------------------------------------------------

    def add_impressions(self, impressions: Sequence[Impression]) -> None:
        """Keep what was shown, all or none; what is there already is not kept twice.

        Raises:
            ConflictError: If a request has another impression already.
        """
        from crossfade.store.log.impressions import add

        batch = list(impressions)
        if batch:
            self._database.write(lambda connection: add(connection, batch))

    def impression(self, request_id: str) -> Impression | None:
        """What was shown for a request; None where that is not known."""
        from crossfade.store.log.impressions import find_by_request

        check_text("request_id", request_id)
        with self._database.read() as connection:
            return find_by_request(connection, [request_id]).get(request_id)

    def impressions_of(
        self,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        limit: int | None = None,
    ) -> list[Impression]:
        """What was shown to a user, in a session, or to a user in a session, newest first.

        Args:
            user_id: At least one of this
            session_id: and this.
            limit: At most so many, the newest ones.
        """
        from crossfade.store.log.impressions import find_of

        check_who(user_id, session_id)
        _check_limit(limit)
        with self._database.read() as connection:
            return find_of(connection, user_id, session_id, limit)

    @property
    def monitoring(self) -> "Monitoring":
        """What was shown and done in a window of time, and reports on it."""
        from crossfade.store.log.monitoring import Monitoring

        return Monitoring(self._database)

    @property
    def traffic(self) -> "Traffic":
        """How many requests there were, and how long they took."""
        from crossfade.store.log.traffic import Traffic

        return Traffic(self._database)

    # -- heads ---------------------------------------------------------------------------

    @property
    def heads(self) -> "Heads":
        """What people's reactions made of a blend."""
        from crossfade.store.log.heads import Heads

        return Heads(self._database)

    # -- forgetting ----------------------------------------------------------------------

    def forget(
        self, *, user_id: str | None = None, session_id: str | None = None, now_us: int
    ) -> Forgotten:
        """Delete every row of a person, in every table.

        Args:
            user_id: All rows that name this user, and those that name nobody but a session which
                other rows give to this user: somebody who signed in late.
            session_id: All rows of this session, whoever they name. At least one of the two is given.
            now_us: For the tombstone.

        Returns:
            What was deleted. A tombstone per id stays, a salted hash; see `clean`.
        """
        from crossfade.store.log.forgetting import forget

        check_who(user_id, session_id)
        check_whole("now_us", now_us, -MOST)
        deleted = self._database.write(
            lambda connection: forget(connection, user_id, session_id, now_us)
        )
        return Forgotten(*deleted, wiped=self._database.wipe())

    def forgotten(self, *, user_id: str | None = None, session_id: str | None = None) -> int | None:
        """When a user or a session was last forgotten, in microseconds; None where they never were."""
        from crossfade.store.log.forgetting import when

        check_who(user_id, session_id)
        with self._database.read() as connection:
            return when(connection, user_id, session_id)

    def forgotten_among(
        self, kind: Literal["user", "session"], ids: Iterable[str]
    ) -> dict[str, int]:
        """Those of many users or sessions that were ever forgotten, and when last, in microseconds."""
        from crossfade.store.log.forgetting import among

        with self._database.read() as connection:
            return among(connection, kind, ids)

    def tombstones(self) -> list[Tombstone]:
        """Of everybody who was forgotten, oldest first; keep them apart from backups."""
        from crossfade.store.log.forgetting import every

        with self._database.read() as connection:
            return every(connection)

    def clean(self, tombstones: Sequence[Tombstone]) -> Forgotten:
        """Forget again, in a log restored from a backup, who was forgotten after the backup.

        What came in later than a tombstone stays: its person came back.
        """
        from crossfade.store.log.forgetting import clean

        stones = list(tombstones)
        deleted = self._database.write(lambda connection: clean(connection, stones))
        return Forgotten(*deleted, wiped=self._database.wipe())

    # -- API keys ------------------------------------------------------------------------

    def add_key(self, name: str, role: Role, now_us: int, expires_us: int | None = None) -> str:
        """Make an API key.

        Args:
            name: Whose it is.
            role: What it is good for.
            now_us: For the record.
            expires_us: From when on it is worth nothing; None is never.

        Returns:
            ``cf_ID_SECRET``. It is not kept and cannot be told a second time.

        Raises:
            DataError: If there is no such role.
        """
        from crossfade.store.log.keys import add

        check_text("name", name)
        check_whole("now_us", now_us, -MOST)
        if role not in get_args(Role):
            raise DataError(f"role must be one of {', '.join(get_args(Role))}, got {shown(role)}")
        if expires_us is not None:
            check_whole("expires_us", expires_us, -MOST)
        return self._database.write(
            lambda connection: add(connection, name, role, now_us, expires_us)
        )

    def key(self, presented: str, now_us: int) -> ApiKey | None:
        """Whose key this is; None where it is unknown, wrong, revoked or expired."""
        from crossfade.store.log.keys import find

        with self._database.read() as connection:
            return find(connection, presented, now_us)

    def keys(self) -> list[ApiKey]:
        """All keys that were ever made, oldest first."""
        from crossfade.store.log.keys import every

        with self._database.read() as connection:
            return every(connection)

    def revoke_key(self, id: str, now_us: int) -> bool:  # noqa: A002  (what a key calls it)
        """Take a key back for good.

        Returns:
            Whether there was such a key and it was not revoked yet.
        """
        from crossfade.store.log.keys import revoke

        check_text("id", id)
        check_whole("now_us", now_us, -MOST)
        return self._database.write(lambda connection: revoke(connection, id, now_us))


def _check_limit(limit: int | None) -> None:
    if limit is not None:
        check_whole("limit", limit, 0)
