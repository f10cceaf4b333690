"""A small registry whose log and catalogue are full of what is no good in a page, and a service over it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from starlette.testclient import TestClient
from tests.online.systems import BASES, BLEND, world

from crossfade.data import Dataset
from crossfade.experiments import Experiment
from crossfade.experiments.kept import begin
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.online import LiveSystem
from crossfade.service.app import create_app
from crossfade.service.config import ServiceConfig
from crossfade.service.state import Service, now_us
from crossfade.service.versions import Source
from crossfade.store import Registry

HOME = "http://localhost"
EVIL_USER = "\"><img src=x onerror=alert(1)>/../'{{ 1234*5678 }}"
EVIL_ITEM = "</script><script>alert(2)</script>&amp;{% raw %}"
SHELF = Experiment(
    name="shelf",
    arms=[{"name": "as-is"}, {"name": "mixed", "ranking": {"diversity": 0.9}}],
    minimal_effect=0.1,
    planned=1000,
    traffic=0.5,
)
EVIL_TITLE = "<svg onload=alert(3)> \u202e{{ config }}"


def odd_world() -> Dataset:
    """Listeners and tracks, the busiest of which are called what nobody should be called."""
    made = world(sessions=False, n_tracks=80)
    events = made.with_ids()
    user = events["user_id"].value_counts(sort=True)["user_id"][0]
    item = events["item_id"].value_counts(sort=True)["item_id"][0]
    renamed = pl.when(pl.col("item_id") == item).then(pl.lit(EVIL_ITEM)).otherwise("item_id")
    titled = pl.when(pl.col("item_id") == item).then(pl.lit(EVIL_TITLE)).otherwise("title")
    events = events.with_columns(
        item_id=renamed,
        user_id=pl.when(pl.col("user_id") == user).then(pl.lit(EVIL_USER)).otherwise("user_id"),
    )
    items = made.items.with_columns(title=titled, item_id=renamed)
    return Dataset.build(events, items, name="odd world", target=made.target)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions; the first one serves."""
    place = tmp_path_factory.mktemp("dashboard") / "registry"
    data, versions = odd_world(), []
    for seed in (1, 2):
        config = HybridConfig(bases=BASES, blend={**BLEND, "fusion": "static"})
        made = HybridModel.fit(data, config, seed=seed)
        versions.append(Registry(place).add(made.save, datetime(2026, 1, seed, tzinfo=UTC)))
    Registry(place).promote(versions[0], datetime(2026, 1, 3, tzinfo=UTC))
    return place


@dataclass(frozen=True)
class Desk:
    """A service with keys, and browsers that are signed in with each role, or not at all."""

    service: Service
    read: TestClient
    write: TestClient
    admin: TestClient
    nobody: TestClient
    app: TestClient
    """Of a product, with a key that may write."""

    @property
    def model(self) -> HybridModel:
        """What answers, in this process."""
        live = self.service.versions.current()
        assert isinstance(live, LiveSystem)
        return live.model


@pytest.fixture(scope="module")
def desk(registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    database = f"sqlite:///{tmp_path_factory.mktemp('log') / 'log.db'}"
    service = Service.start(ServiceConfig(database=database, workers=0), Source(None, registry))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("crossfade.service.access.WRONG_AT_ONCE", 1_000)  # so many doors are tried
        app = create_app(service)
    clients = {
        name: TestClient(
            app,
            HOME,
            raise_server_exceptions=False,
            follow_redirects=False,
            headers={"Origin": HOME},
        )
        for name in ("nobody", "read", "write", "admin")
    }
    with clients["nobody"]:
        for role in ("read", "write", "admin"):
            key = service.log.add_key(role, role, now_us())
            done = clients[role].post("/dashboard/login", data={"key": key})
            assert done.status_code == 303, done.text
        key = service.log.add_key("app", "write", now_us())
        headers = {"Authorization": f"Bearer {key}"}
        begin(service.log, SHELF, now_us())
        service.assigning.read()
        yield Desk(service, **clients, app=TestClient(app, HOME, headers=headers))
