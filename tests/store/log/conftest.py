"""One suite for all databases: a fresh SQLite file, or a fresh database of a PostgreSQL server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from crossfade.store.log import Log


@pytest.fixture(params=["sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a log may be opened that nobody has opened before."""
    return f"sqlite:///{tmp_path / 'log.db'}"


@pytest.fixture
def log(url: str) -> Iterator[Log]:
    with Log.open(url) as opened:
        yield opened
