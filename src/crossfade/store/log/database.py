"""`Database`: connections to SQLite or PostgreSQL, and one wording for all that goes wrong there."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from crossfade.errors import ConfigError, CrossfadeError, MissingExtraError, StoreError
from crossfade.store.log.migrations import migrate
from crossfade.store.log.writer import Job, Writer

T = TypeVar("T")

PATIENCE_S = 5
"""How long to wait for a lock or a connection, unless the URL says otherwise."""

N_CONNECTIONS = 16
"""Most at one time, of which half are kept."""

_LOCKED = "another process has locked it: wait for that process or stop it"
_FULL = "make room and try again"

MENDS = {
    "SQLITE_BUSY": _LOCKED,
    "SQLITE_CANTOPEN": "check that its folder exists and may be written",
    "SQLITE_CORRUPT": "restore it from a backup",
    "SQLITE_FULL": _FULL,
    "SQLITE_IOERR": "look whether the disk is full or failing, then try again",
    "SQLITE_NOTADB": "check the path, or restore it from a backup",
    "SQLITE_READONLY": "check that it and its folder may be written",
    "SQLITE_": "check that the file is an event log",
    "53100": _FULL,
    "55P03": _LOCKED,
    "": "check that the server runs and lets this user in, then try again",
}
"""By how SQLite names a fault and PostgreSQL numbers it; the first beginning that fits."""


class Database:
    """A database with the newest schema: many readers, one writer.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql://…``.

    Raises:
        ConfigError: If the URL is neither.
        MissingExtraError: If PostgreSQL is asked for and its driver is not installed.
        StoreError: If there can be no such database, or a newer crossfade made it.
    """

    def __init__(self, url: str) -> None:
        parsed = parsed_url(url)
        self.embedded = parsed.get_backend_name() == "sqlite"
        # For messages, without the password and whatever else is nobody's business.
        bare = parsed.set(query={}).render_as_string(hide_password=True)
        self.place = parsed.database or "" if self.embedded else bare
        self._engine = _sqlite(parsed) if self.embedded else postgres(parsed)
        self._writing = self._engine.execution_options(begin="BEGIN IMMEDIATE")
        try:
            with self._worded("opened"), self._writing.begin() as connection:
                migrate(connection, self.place)
        except BaseException:
            self._engine.dispose()
            raise
        self._writer = Writer[Connection](self._commit, self.place)

    def write(self, change: Callable[[Connection], T]) -> T:
        """Make a change and wait until it is durable; see `Writer`."""
        return self._writer(change)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection on which nothing is changed.

        Raises:
            StoreError: If the database cannot be read.
        """
        self._writer.check_open()
        with self._worded("read"), self._engine.connect() as connection:
            yield connection

    def check(self) -> None:
        """Read and write a little.

        Raises:
            StoreError: If that cannot be done.
        """

        def there_and_back(connection: Connection) -> None:
            # SQLite writes nothing where a value stays as it is, so a full disk would go unnoticed.
            connection.execute(text("UPDATE log_state SET last_sequence = last_sequence + 1"))
            connection.execute(text("UPDATE log_state SET last_sequence = last_sequence - 1"))

        self.write(there_and_back)

    def wipe(self) -> bool:
        """Bring everything committed into the file of SQLite itself; deleted bytes are then gone.

        Returns:
            Whether that was done: not while a reader holds an older state, nor on PostgreSQL.
        """
        if not self.embedded:
            return False
        with self._worded("written"), self._engine.connect() as connection:
            apart = connection.execution_options(begin="")
            is_busy: int = apart.scalars(text("PRAGMA wal_checkpoint(TRUNCATE)")).one()
            return not is_busy

    def close(self) -> None:
        """Settle what was handed in and let go of every connection."""
        self._writer.close()
        self._engine.dispose()

    def _commit(self, jobs: list[Job[Connection]]) -> None:
        settled: list[tuple[Job[Connection], Any]] = []
        failed: list[tuple[Job[Connection], CrossfadeError]] = []
        try:
            with self._worded("written"), self._writing.begin() as connection:
                if not self.embedded:
                    # One writer at a time, in all processes, as SQLite has it: what a change rests on
                    # stays as it was read, and sequences become visible in order.
                    connection.execute(text("SELECT 1 FROM log_state FOR UPDATE"))
                for job in jobs:
                    try:
                        settled.append((job, job.change(connection)))
                    except CrossfadeError as error:
                        failed.append((job, error))
        except StoreError as error:
            failed = [(job, StoreError(str(error))) for job in jobs]
            settled = []
        for job, result in settled:
            job.done.set_result(result)
        for job, fault in failed:
            job.done.set_exception(fault)

    @contextmanager
    def _worded(self, verb: str) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            cause, mend = cause_of(error)
            raise StoreError(
                f"{self.place}: the event log cannot be {verb} ({cause}); {mend}"
            ) from error


def parsed_url(url: str) -> URL:
    """A URL with its driver.

    Raises:
        ConfigError: If it is none of a database that logs are kept in.
    """
    try:
        parsed = make_url(url)
        name = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError):
        name = ""
    if name == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if name == "sqlite" and parsed.database not in {None, "", ":memory:"}:
        seconds = str(parsed.query.get("timeout", PATIENCE_S))
        if parsed.query.keys() <= {"timeout"} and re.fullmatch(r"\d+(\.\d+)?", seconds):
            return parsed.set(drivername="sqlite")
    raise ConfigError(  # which is not shown: it may hold a password
        "the URL of the event log is none; write sqlite:///FILE, sqlite:///FILE?timeout=SECONDS or "
        "postgresql://USER@HOST/DATABASE"
    )


def _sqlite(url: URL) -> Engine:
    file = Path(url.database or "")
    if not file.exists() and file.parent.is_dir():
        with suppress(OSError):  # SQLite will say what is the matter
            file.touch(mode=0o600)  # what people listen to is nobody else's business
    engine = create_engine(url, connect_args=_unless_said(url, timeout=PATIENCE_S), **_POOL)

    @event.listens_for(engine, "connect")
    def connected(driver: Any, _: object) -> None:
        driver.isolation_level = None  # transactions begin where `begun` says, nowhere else
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            driver.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        statement = connection.get_execution_options().get("begin", "BEGIN")
        if statement:
            connection.exec_driver_sql(statement)

    return engine


def postgres(url: URL) -> Engine:
    """Connections to a server; every commit is flushed there, whatever it does for others."""
    try:
        engine = create_engine(
            url,
            connect_args={
                "client_encoding": "utf8",
                **_unless_said(url, connect_timeout=PATIENCE_S),
            },
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,  # a server that was restarted is noticed before anything is handed in
            **_POOL,
        )
    except ImportError as error:
        raise MissingExtraError("the event log on PostgreSQL", "postgres") from error

    @event.listens_for(engine, "connect")
    def connected(driver: Any, _: object) -> None:
        driver.execute(f"SET lock_timeout = '{PATIENCE_S}s'")
        # What is acknowledged is on a disk, whatever the server does for others.
        driver.execute(
            "SELECT set_config('synchronous_commit', 'on', false) "
            "WHERE current_setting('synchronous_commit') = 'off'"
        )
        driver.commit()

    return engine


_POOL: dict[str, Any] = {
    "pool_size": N_CONNECTIONS // 2,
    "max_overflow": N_CONNECTIONS // 2,
    "pool_timeout": PATIENCE_S,
    "hide_parameters": True,  # they are people's data, and messages end in logs
}


def _unless_said(url: URL, **arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in url.query}


def cause_of(error: SQLAlchemyError) -> tuple[str, str]:
    """What happened, on one line, and the mend."""
    if not isinstance(error, DBAPIError) or error.orig is None:
        return "all its connections are busy", "ask less at one time, or try again"
    cause = (str(error.orig).splitlines() or [type(error.orig).__name__])[0]
    name = getattr(error.orig, "sqlite_errorname", getattr(error.orig, "sqlstate", None)) or ""
    return cause, next(mend for beginning, mend in MENDS.items() if name.startswith(beginning))
