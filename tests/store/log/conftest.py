"""One suite for all databases: a fresh SQLite file, or a fresh database of a PostgreSQL server of our own."""

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from crossfade.store.log import Log

NAMES = itertools.count()


class Server:
    """A PostgreSQL server on a socket in a folder of its own; it flushes, as real ones do.

    Args:
        programs: Where ``initdb`` and ``pg_ctl`` are.
        folder: Empty, and its owner's the server becomes: PostgreSQL refuses to run as root.
    """

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder = programs, folder
        self._run("initdb", "--auth=trust", "--username=crossfade", "--encoding=UTF8", "--no-sync")

    def start(self) -> None:
        options = f"-k {self._folder} -c listen_addresses= -c shared_buffers=16MB"
        log = str(self._folder / "server.log")
        self._run("pg_ctl", "start", "--wait", "--timeout=120", f"--log={log}", f"--options={options}")  # fmt: skip

    def stop(self, mode: str = "fast") -> None:
        """Stop it; with mode ``immediate`` as if it had crashed."""
        self._run("pg_ctl", "stop", "--wait", "--timeout=120", f"--mode={mode}")

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"log{next(NAMES)}"
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type, unused-ignore]
        return self._url(name)

    def _url(self, database: str) -> str:
        return f"postgresql://crossfade@/{database}?host={self._folder}"

    def _run(self, program: str, *arguments: str) -> None:
        owner = self._folder.stat()
        who: dict[str, Any] = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
        done = subprocess.run(
            [self._programs / program, f"--pgdata={self._folder / 'data'}", *arguments],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,  # a pipe would stay open as long as the server runs
            stderr=subprocess.DEVNULL,
            check=False,
            **(who if os.getuid() == 0 else {}),
        )
        if done.returncode:
            log = self._folder / "server.log"
            raise RuntimeError(f"{program}: {log.read_text() if log.exists() else 'failed'}")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    there = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))  # where Debian hides it
    found = shutil.which("initdb") or (str(there[-1]) if there else None)
    if found is None:
        pytest.skip("needs a PostgreSQL server (initdb, pg_ctl): install the package postgresql")
    with tempfile.TemporaryDirectory(prefix="crossfade-pg-") as folder:
        if os.getuid() == 0:
            names = {user.pw_name: user for user in pwd.getpwall()}
            owner = names.get("postgres") or names["nobody"]
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        server = Server(Path(found).resolve().parent, Path(folder))
        server.start()
        yield server
        server.stop("immediate")  # nobody needs what is in it


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a log may be opened that nobody has opened before."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'log.db'}"
    server: Server = request.getfixturevalue("server")
    return server.new_database()


@pytest.fixture
def log(url: str) -> Iterator[Log]:
    with Log.open(url) as opened:
        yield opened
