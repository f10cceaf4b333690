"""The schema, as numbered steps; a database remembers which it has taken.

A step that has been released is never changed: the next one mends it.
"""

import secrets
from collections.abc import Callable

from sqlalchemy import Connection, text

from crossfade.errors import StoreError

TYPES = {
    "sqlite": {"integer": "INTEGER", "real": "REAL", "ordered": "TEXT", "bytes": "BLOB"},
    "postgresql": {
        "integer": "BIGINT",
        "real": "DOUBLE PRECISION",
        "ordered": 'TEXT COLLATE "C"',
        "bytes": "BYTEA",
    },
}
"""64 bits, a double, text in the order of its UTF-8, which pages rely on, and bytes."""


def _first(connection: Connection) -> None:
    _run(
        connection,
        """CREATE TABLE events (
            sequence {integer} PRIMARY KEY, received_us {integer} NOT NULL, time_us {integer} NOT NULL,
            item_id TEXT NOT NULL, user_id TEXT, session_id TEXT, event TEXT NOT NULL, value {real},
            played_ms {integer}, skipped BOOLEAN, context TEXT NOT NULL, request_id TEXT, key TEXT)""",
        "CREATE UNIQUE INDEX events_key ON events (key) WHERE key IS NOT NULL",
        "CREATE INDEX events_user ON events (user_id, sequence) WHERE user_id IS NOT NULL",
        "CREATE INDEX events_session ON events (session_id, sequence) WHERE session_id IS NOT NULL",
        """CREATE TABLE impressions (
            request_id TEXT PRIMARY KEY, time_us {integer} NOT NULL, user_id TEXT, session_id TEXT,
            version TEXT NOT NULL, method TEXT NOT NULL, experiment TEXT, arm TEXT, items TEXT NOT NULL)""",
        "CREATE INDEX impressions_user ON impressions (user_id, time_us) WHERE user_id IS NOT NULL",
        "CREATE INDEX impressions_session ON impressions (session_id, time_us) WHERE session_id IS NOT NULL",
        """CREATE TABLE api_keys (
            id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, digest TEXT NOT NULL,
            created_us {integer} NOT NULL, expires_us {integer}, revoked_us {integer})""",
        """CREATE TABLE tombstones (
            salt TEXT, digest TEXT, time_us {integer} NOT NULL, PRIMARY KEY (salt, digest))""",
        "CREATE TABLE log_state (last_sequence {integer} NOT NULL, salt TEXT NOT NULL)",
    )
    salt = {"salt": secrets.token_hex(16)}
    connection.execute(text("INSERT INTO log_state VALUES (0, :salt)"), salt)


def _catalogue(connection: Connection) -> None:
    _run(
        connection,
        """CREATE TABLE items (
            item_id {ordered} PRIMARY KEY, available BOOLEAN NOT NULL, deleted BOOLEAN NOT NULL,
            change {integer} NOT NULL, changed_us {integer} NOT NULL, columns TEXT NOT NULL)""",
        "CREATE UNIQUE INDEX items_change ON items (change)",
        """CREATE TABLE users (
            user_id {ordered} PRIMARY KEY, changed_us {integer} NOT NULL, columns TEXT NOT NULL)""",
    )


def _experiments(connection: Connection) -> None:
    _run(
        connection,
        "CREATE TABLE experiments (name TEXT PRIMARY KEY, settings TEXT NOT NULL, created_us {integer} NOT NULL)",
        """CREATE TABLE experiment_traffic (
            name TEXT, number {integer}, time_us {integer} NOT NULL, traffic {real} NOT NULL,
            PRIMARY KEY (name, number))""",
        "CREATE INDEX impressions_experiment ON impressions (experiment, time_us) WHERE experiment IS NOT NULL",
        "CREATE INDEX events_request ON events (request_id) WHERE request_id IS NOT NULL",
    )


def _monitoring(connection: Connection) -> None:
    _run(
        connection,
        "ALTER TABLE impressions ADD COLUMN features {bytes}",
        "CREATE INDEX impressions_time ON impressions (time_us)",
        "CREATE TABLE feature_names (version TEXT PRIMARY KEY, request TEXT NOT NULL, item TEXT NOT NULL)",
        """CREATE TABLE monitor_reports (
            time_us {integer} PRIMARY KEY, version TEXT NOT NULL, report TEXT NOT NULL)""",
    )


def _heads(connection: Connection) -> None:
    _run(
        connection,
        """CREATE TABLE heads (
            user_id TEXT, session_id TEXT, version TEXT NOT NULL, created_us {integer} NOT NULL,
            expires_us {integer} NOT NULL, content TEXT NOT NULL)""",
        "CREATE UNIQUE INDEX heads_user ON heads (user_id) WHERE user_id IS NOT NULL",
        "CREATE UNIQUE INDEX heads_session ON heads (session_id) WHERE session_id IS NOT NULL",
        "CREATE INDEX heads_expires ON heads (expires_us)",
    )


def _shadows(connection: Connection) -> None:
    _run(connection, "ALTER TABLE impressions ADD COLUMN shadow TEXT")


def _traffic(connection: Connection) -> None:
    _run(
        connection,
        """CREATE TABLE traffic (
            hour_us {integer}, route TEXT, outcome TEXT, at_most_us {integer}, n {integer} NOT NULL,
            PRIMARY KEY (hour_us, route, outcome, at_most_us))""",
    )


STEPS: tuple[Callable[[Connection], None], ...] = (
    _first,
    _catalogue,
    _experiments,
    _monitoring,
    _heads,
    _shadows,
    _traffic,
)


def migrate(connection: Connection, place: str) -> None:
    """Take the steps that a database has not taken yet, all or none.

    Args:
        connection: In a transaction that nobody else can write beside.
        place: The database, for the message.

    Raises:
        StoreError: If the database has taken steps that are not known here, or cannot keep every text.
    """
    if connection.dialect.name == "postgresql":
        if connection.scalar(text("SHOW server_encoding")) != "UTF8":
            raise StoreError(
                f"{place}: does not keep UTF-8; make the database WITH ENCODING 'UTF8'"
            )
        # For two that open a new database at once.
        connection.execute(text("SELECT pg_advisory_xact_lock(6075990021)"))
    _run(connection, "CREATE TABLE IF NOT EXISTS schema_version (version {integer} NOT NULL)")
    version = connection.scalar(text("SELECT version FROM schema_version")) or 0
    if version > len(STEPS):
        raise StoreError(
            f"{place}: has schema {version}, this crossfade knows up to {len(STEPS)}; upgrade crossfade"
        )
    for step in STEPS[version:]:
        step(connection)
    if version < len(STEPS):
        connection.execute(text("DELETE FROM schema_version"))
        connection.execute(text("INSERT INTO schema_version VALUES (:n)"), {"n": len(STEPS)})


def _run(connection: Connection, *statements: str) -> None:
    """Statements in which types are written as in `TYPES`."""
    types = TYPES[connection.dialect.name]
    for statement in statements:
        connection.execute(text(statement.format_map(types)))
