"""A PostgreSQL server for tests."""

import itertools
import os
import subprocess
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

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

    def new_place(self) -> str:
        """The URL of an empty schema, which takes less time to make than a database."""
        name = f"log{next(NAMES)}"
        self._do(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
        return f"{self._url('postgres')}&options=-csearch_path%3D{name}"

    def latin_database(self) -> str:
        """The URL of a database that keeps the letters of western Europe only."""
        self._do(sql.SQL("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"))
        return self._url("latin")

    def _url(self, database: str) -> str:
        return f"postgresql://crossfade@/{database}?host={self._folder}"

    def _do(self, statement: sql.SQL | sql.Composed) -> None:
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

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
