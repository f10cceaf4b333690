"""One suite for all databases: a fresh SQLite file, or a fresh place on a PostgreSQL server of our own."""

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.store.log.server import Server

from crossfade.store.log import Log


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
    return server.new_place()


@pytest.fixture
def log(url: str) -> Iterator[Log]:
    with Log.open(url) as opened:
        yield opened
