"""A service over a small system, with a log of its own for every test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.online.systems import cut, fit, world

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


@contextmanager
def serving(
    bundle: Path | None, folder: Path, registry: Path | None = None, **settings: Any
) -> Iterator[Running]:
    """A service with a log in a folder; settings as keywords, ``registry`` instead of the bundle."""
    database = f"sqlite:///{folder / 'log.db'}"
    config = ServiceConfig(**{"database": database, "workers": 0, **settings})
    service = Service.start(config, Source(bundle, registry))
    app = create_app(service)
    with TestClient(app, raise_server_exceptions=False) as nobody:
        clients = {}
        for role in ("read", "write", "admin"):
            key = service.log.add_key(role, role, now_us())
            headers = {"Authorization": f"Bearer {key}"}
            clients[role] = TestClient(app, headers=headers, raise_server_exceptions=False)
        yield Running(service, **clients, nobody=nobody)


@pytest.fixture
def start(bundle: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts services, as `serving` does."""
    with ExitStack() as stack:

        def make(registry: Path | None = None, **settings: Any) -> Running:
            source = None if registry else bundle
            return stack.enter_context(serving(source, tmp_path, registry, **settings))

        yield make


@pytest.fixture
def running(start: Start) -> Running:
    """One with the defaults."""
    return start()


@pytest.fixture(scope="session")
def learned_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A system with a learned blend, which that of ``bundle`` is too small for."""
    directory = tmp_path_factory.mktemp("learned") / "bundle"
    fit(cut(world(n_tracks=400))[0], n_candidates=40).save(directory)
    return directory
