"""Backups of a log in a SQLite file, taken while it is written, and what brings one back.

A PostgreSQL server has programs of its own for both; tombstones serve there too.
"""

import json
import os
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crossfade.errors import ConfigError, DataError, StoreError
from crossfade.files import flush_names
from crossfade.store.log.database import MENDS, parsed_url
from crossfade.store.log.log import Log
from crossfade.store.log.rows import Forgotten, Tombstone, check_text, check_whole

PATIENCE_S = 60
"""How long to wait for a lock: nobody waits for a backup."""


@dataclass(frozen=True)
class Backup:
    """What a backup holds.

    Attributes:
        events: So many rows.
        last_sequence: The last one given when it was taken.
        n_bytes: Of the file.
    """

    events: int
    last_sequence: int
    n_bytes: int


def backup(url: str, file: Path) -> Backup:
    """Copy a log as it is at one moment, however much it is written meanwhile.

    The file is whole and checked, or not there. It holds nothing of rows that were deleted.

    Args:
        url: Of a SQLite file.
        file: Which is not there yet.

    Raises:
        ConfigError: If the file is there, or the log is on PostgreSQL.
        StoreError: If the log cannot be read, or the copy is damaged.
    """
    source = _file_of(url, f"pg_dump --format=custom --file={file} URL")
    with _pending(file) as pending:
        _copy(source, pending)
        return _checked(pending)


def restore(file: Path, url: str, tombstones: Sequence[Tombstone]) -> Forgotten:
    """Make a log of a backup, without those who were forgotten since; the log is whole or not there.

    Args:
        file: The backup.
        url: Of a SQLite file that is not there yet.
        tombstones: Of all who were forgotten; see `Log.tombstones`.

    Returns:
        What was deleted of them.

    Raises:
        ConfigError: If the log is there, or is to be on PostgreSQL.
        StoreError: If the backup is damaged, or no event log, or made by a newer crossfade.
    """
    target = _file_of(url, f"pg_restore --dbname=URL {file}")
    with _pending(target) as pending:
        _copy(file, pending)
        _checked(pending)
        with Log.open(f"sqlite:///{pending}") as log:  # which brings its schema up to date
            return log.clean(tombstones)


def write_tombstones(tombstones: Sequence[Tombstone], file: Path) -> None:
    """Write tombstones as JSON; readers see the old file or the new one.

    Raises:
        OSError: If the disk refuses.
    """
    pending = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    pending.touch(mode=0o600)  # whoever guesses an id can try it here
    try:
        pending.write_text(json.dumps({"tombstones": [asdict(stone) for stone in tombstones]}))
        _flush(pending)
        pending.replace(file)
    finally:
        pending.unlink(missing_ok=True)
    flush_names(file.parent)


def read_tombstones(file: Path) -> list[Tombstone]:
    """Tombstones that were written before.

    Raises:
        DataError: If the file is missing or holds anything else.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        stones = [Tombstone(**stone) for stone in found["tombstones"]]
        for stone in stones:
            check_text("salt", stone.salt)
            check_text("digest", stone.digest)
            check_whole("time_us", stone.time_us, 0)
    except (OSError, ValueError, TypeError, KeyError, DataError) as error:
        raise DataError(
            f"{file}: holds no tombstones ({type(error).__name__}); give what "
            "`crossfade tombstones export` wrote"
        ) from None
    return stones


def _file_of(url: str, instead: str) -> Path:
    parsed = parsed_url(url)
    if parsed.get_backend_name() != "sqlite":
        raise ConfigError(f"PostgreSQL has a program for this: {instead}")
    return Path(parsed.database or "")


@contextmanager
def _pending(file: Path) -> Iterator[Path]:
    """A place beside a file that takes its name once it is done."""
    pending = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    try:
        _refuse_there(file)
        pending.touch(mode=0o600)  # what people listen to is nobody else's business
        yield pending
        _flush(pending)
        _refuse_there(file)
        pending.rename(file)
        flush_names(file.parent)
    finally:
        for end in ("", "-wal", "-shm", "-journal"):
            Path(f"{pending}{end}").unlink(missing_ok=True)


def _refuse_there(file: Path) -> None:
    # Changes left in a -wal would be taken for those of the new file.
    for there in (file, Path(f"{file}-wal")):
        if there.exists():
            raise ConfigError(f"{there} is there already; move it away or choose another name")


def _flush(file: Path) -> None:
    with file.open("r+b") as handle:
        os.fsync(handle.fileno())


def _copy(source: Path, target: Path) -> None:
    with _reading(source) as connection:
        connection.execute("VACUUM INTO ?", [str(target)])


def _checked(file: Path) -> Backup:
    with _reading(file) as connection:
        (said,) = connection.execute("PRAGMA integrity_check").fetchone()
        if said != "ok":
            raise StoreError(f"{file}: the copy is damaged ({said}); restore an older backup")
        (last,) = connection.execute("SELECT last_sequence FROM log_state").fetchone()
        (n,) = connection.execute("SELECT count(*) FROM events").fetchone()
    return Backup(n, last, file.stat().st_size)


@contextmanager
def _reading(file: Path) -> Iterator[Any]:
    try:
        uri = f"{file.resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=PATIENCE_S)) as connection:
            yield connection
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "") or ""
        mend = next(mend for beginning, mend in MENDS.items() if name.startswith(beginning))
        raise StoreError(f"{file}: the event log cannot be copied ({error}); {mend}") from error
