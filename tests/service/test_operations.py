"""Versions that change under way, health, and what is counted."""

import resource
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.online.systems import cut
from tests.online.updates.logs import fill, fit, of_hits, since
from tests.service.conftest import Running, Start

from crossfade.cli.app import run
from crossfade.errors import BundleError, StoreError
from crossfade.hybrid import HybridModel
from crossfade.online.updates import adapt
from crossfade.service.run import make_room
from crossfade.store import Registry


@pytest.fixture
def registry(world_directory: Path, bundle: Path, quick: Path, tmp_path: Path) -> Path:
    """Two versions; the first one, of the bundle, serves."""
    place = tmp_path / "registry"
    fit = ["fit", str(world_directory), "--config", str(quick), "--registry", str(place)]
    assert run([*fit, "--seed", "1"]) == 0
    assert run(["registry", "add", str(bundle), "--registry", str(place)]) == 0
    first = HybridModel.load(bundle).version
    assert run(["registry", "promote", first, "--registry", str(place)]) == 0
    return place


def other_version(registry: Path, first: str) -> str:
    (other,) = [v.version for v in Registry(registry).versions() if v.version != first]
    return other


def test_another_version_takes_over_and_no_request_fails_meanwhile(
    start: Start, registry: Path
) -> None:
    running = start(registry)
    first = running.service.versions.current().version
    second = other_version(registry, first)
    user = running.model.dataset.user_ids.id(0)
    seen: list[tuple[int, str]] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            answer = running.read.get("/v1/recommendations", params={"user_id": user})
            seen.append((answer.status_code, answer.json().get("version")))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        done = running.admin.post("/v1/models/promote", json={"version": second})
        assert done.status_code == 200, done.text
        assert done.json()["version"] == second
        back = running.admin.post("/v1/models/rollback")
        assert back.json()["version"] == first
    finally:
        stop.set()
        thread.join()
    assert {status for status, _ in seen} == {200}
    assert {version for _, version in seen} <= {first, second}
    assert Registry(registry).promoted() == first


def test_a_damaged_version_is_refused_and_the_old_one_serves_on(
    start: Start, registry: Path
) -> None:
    running = start(registry)
    first = running.service.versions.current().version
    second = other_version(registry, first)
    victim = max(Registry(registry).path(second).rglob("*.safetensors"))
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.unlink()  # files are shared between versions: this one alone is to be damaged
    victim.write_bytes(content)
    for version in (second, "no-such-version"):
        refused = running.admin.post("/v1/models/promote", json={"version": version})
        assert refused.status_code == 409, refused.text
        assert refused.json()["error"]["code"] == "bad_version"
    assert running.read.get("/v1/models").json()["version"] == first
    assert running.read.get("/v1/recommendations").status_code == 200


def test_a_version_that_was_damaged_once_promoted_is_told_and_the_old_one_serves_on(
    start: Start, registry: Path
) -> None:
    running = start(registry, reload_s=1e6)
    first = running.service.versions.current().version
    second = other_version(registry, first)
    assert run(["registry", "promote", second, "--registry", str(registry)]) == 0
    victim = max(Registry(registry).path(second).rglob("*.safetensors"))
    content = victim.read_bytes()
    victim.unlink()  # files are shared between versions
    victim.write_bytes(content[:-100])
    with pytest.raises(BundleError):
        running.service.versions.refresh()
    ready = running.nobody.get("/readyz")
    assert (ready.status_code, ready.json()["version"]) == (200, first)  # lists are as good as ever
    assert "the promoted version cannot serve" in ready.json()["problems"][0]
    assert running.read.get("/v1/recommendations").json()["version"] == first
    victim.write_bytes(content)
    running.service.versions.refresh()
    assert running.nobody.get("/readyz").json() == {
        "status": "ok",
        "version": second,
        "problems": [],
    }


def test_what_another_process_promotes_serves_here_too(start: Start, registry: Path) -> None:
    running = start(registry, reload_s=0.05)
    first = running.service.versions.current().version
    second = other_version(registry, first)
    assert run(["registry", "promote", second, "--registry", str(registry)]) == 0
    for _ in range(600):
        if running.read.get("/readyz").json()["version"] == second:
            break
        threading.Event().wait(0.05)
    assert running.read.get("/v1/recommendations").json()["version"] == second


def test_what_adapt_promotes_is_served(start: Start, tmp_path: Path) -> None:
    whole = of_hits()
    old, moment = cut(whole, 2 / 3)
    registry = Registry(tmp_path / "registry")
    first = registry.add(fit(old).save, datetime.now(UTC))
    registry.promote(first, datetime.now(UTC))
    running = start(registry.directory, reload_s=0.05)
    fill(running.service.log, since(whole, moment))
    done = adapt(running.service.log, registry, datetime.now(UTC), mode="weekly")
    assert registry.promoted() == done.version != first
    for _ in range(600):
        if running.read.get("/readyz").json()["version"] == done.version:
            break
        threading.Event().wait(0.05)
    assert running.read.get("/v1/recommendations").json()["version"] == done.version


def test_one_bundle_has_no_versions_to_promote(running: Running) -> None:
    assert running.read.get("/v1/models").json()["versions"] == []
    refused = running.admin.post("/v1/models/promote", json={"version": "x"})
    assert refused.status_code == 422
    assert "registry" in refused.json()["error"]["message"]


def test_health_needs_no_key_and_readiness_says_what_is_wrong(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert running.nobody.get("/healthz").json()["status"] == "ok"
    ready = running.nobody.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["version"] == running.service.versions.current().version

    def broken() -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(running.service.log, "check", broken)
    ill = running.nobody.get("/readyz")
    assert ill.status_code == 503
    assert ill.json()["problems"] == ["the disk is full"]
    assert running.nobody.get("/healthz").status_code == 200


def test_requests_events_and_lists_are_counted(running: Running) -> None:
    running.write.post("/v1/events", json={"user_id": "u", "item_id": "i"})
    running.read.get("/v1/recommendations")
    running.read.get("/nowhere/at/all")
    text = running.read.get("/metrics").text
    assert 'crossfade_events_total{duplicate="false"} 1.0' in text
    assert (
        'crossfade_request_seconds_count{method="POST",route="/v1/events",status="201"} 1.0' in text
    )
    assert "/nowhere" not in text  # a stranger must not be able to grow the list of routes
    assert "crossfade_lists_total" in text


@pytest.mark.parametrize(
    ("soft", "hard", "set_to", "n_said"),
    [
        (1_024, 9_000, (4_200, 9_000), 0),
        (1_024, resource.RLIM_INFINITY, (4_200, resource.RLIM_INFINITY), 0),
        (8_000, 9_000, None, 0),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, None, 0),
        (1_024, 2_048, (2_048, 2_048), 1),
        (2_048, 2_048, None, 1),
    ],
)
def test_there_is_room_for_the_files_of_all_connections_or_it_is_said(
    soft: int,
    hard: int,
    set_to: tuple[int, int] | None,
    n_said: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = list[tuple[int, int]]()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: told.append(limits))
    make_room(4_200)
    assert told == ([] if set_to is None else [set_to])
    assert len(caplog.records) == n_said


def test_too_many_that_wait_are_told_to_come_again(start: Start) -> None:
    running = start(max_waiting=1)
    hold = threading.Event()
    current = running.service.answering._current

    def slow() -> object:
        hold.wait(30)
        return current()

    running.service.answering._current = slow  # type: ignore[assignment]
    codes: list[int] = []

    def ask() -> None:
        codes.append(running.read.get("/v1/recommendations").status_code)

    threads = [threading.Thread(target=ask) for _ in range(7)]
    for thread in threads:
        thread.start()
    for _ in range(600):
        if codes.count(503) >= 1:
            break
        threading.Event().wait(0.05)
    hold.set()
    for thread in threads:
        thread.join()
    assert set(codes) == {200, 503}
