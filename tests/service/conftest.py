"""A service over a small system, with a log of its own for every test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from crossfade.hybrid import HybridModel
from crossfade.online import LiveSystem
from crossfade.service.app import create_app
from crossfade.service.config import ServiceConfig
from crossfade.service.state import Service, now_us
from crossfade.service.versions import Source


@dataclass(frozen=True)
class Running:
    """A service and clients with keys of each role."""

    service: Service
    read: TestClient
    write: TestClient
    admin: TestClient
    nobody: TestClient

    @property
    def model(self) -> HybridModel:
        """What answers, here in this process."""
        live = self.service.versions.current()
        assert isinstance(live, LiveSystem)
        return live.model


Start = Callable[..., Running]


@pytest.fixture
def start(bundle: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts services; settings as keywords, ``registry`` instead of the bundle."""
    with ExitStack() as stack:

        def make(registry: Path | None = None, **settings: Any) -> Running:
            database = f"sqlite:///{tmp_path / 'log.db'}"
            config = ServiceConfig(**{"database": database, "workers": 0, **settings})
            source = Source(None if registry else bundle, registry)
            service = Service.start(config, source)
            app = create_app(service)
            nobody = stack.enter_context(TestClient(app, raise_server_exceptions=False))
            clients = {}
            for role in ("read", "write", "admin"):
                key = service.log.add_key(role, role, now_us())
                headers = {"Authorization": f"Bearer {key}"}
                clients[role] = TestClient(app, headers=headers, raise_server_exceptions=False)
            return Running(service, **clients, nobody=nobody)

        yield make


@pytest.fixture
def running(start: Start) -> Running:
    """One with the defaults."""
    return start()
