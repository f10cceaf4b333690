"""What became of requests is added up in the log, and waits where the log is away."""

from collections.abc import Callable

import pytest
from tests.service.conftest import Running

from crossfade.errors import StoreError
from crossfade.service.traffic import KEPT_DAYS, MOST_WAITING, Traffic
from crossfade.store.log import Answered, Log
from crossfade.store.log.rows import MOST
from crossfade.store.log.traffic import Traffic as Kept

HOUR_US = 3_600_000_000
NOW = 1_000_000 * HOUR_US


@pytest.fixture
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return Log.open(f"sqlite:///{tmp_path_factory.mktemp('traffic') / 'log.db'}")


def told(log: Log) -> list[Answered]:
    return log.traffic.between(0, 2 * NOW)


def test_requests_are_told_apart_by_route_outcome_and_time(log: Log) -> None:
    counts = Traffic(log, lambda: NOW)
    for route, method, status, seconds in (
        ("/v1/x", "GET", 200, 0.004),
        ("/v1/x", "GET", 304, 0.005),
        ("/v1/x", "GET", 404, 0.0051),
        ("/v1/x", "POST", 503, 99.0),
        ("/v1/x", "MADE-UP", 405, 0.0),
        ("none", "GET", 404, 0.0),
    ):
        counts.answered(route, method, status, seconds)
    counts.close()
    assert told(log) == [
        Answered(0, "GET /v1/x", "done", 5_000, 2),
        Answered(0, "GET /v1/x", "refused", 10_000, 1),
        Answered(0, "POST /v1/x", "failed", MOST, 1),
        Answered(0, "none", "refused", 1_000, 2),
    ]


def test_what_cannot_be_written_waits(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = Traffic(log, lambda: NOW)

    def away(*_: object) -> None:
        raise StoreError("the server is away")

    counts.answered("/v1/x", "GET", 200, 0.004)
    with monkeypatch.context() as broken:
        broken.setattr(Kept, "add", away)
        with pytest.raises(StoreError):
            counts.flush()
        counts.answered("/v1/x", "GET", 200, 0.004)
    assert told(log) == []
    counts.flush()
    counts.close()
    assert [one.n for one in told(log)] == [2]


def test_the_thread_goes_on_after_a_failure_and_drops_what_is_old(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = NOW - (KEPT_DAYS * 24 + 1) * HOUR_US
    log.traffic.add([Answered(old, "GET /v1/x", "done", 1_000, 7)])
    failed: list[bool] = []
    add = Kept.add

    def first_away(self: Kept, counts: list[Answered]) -> None:
        if not failed:
            failed.append(True)
            raise StoreError("the server is away")
        add(self, counts)

    monkeypatch.setattr(Kept, "add", first_away)
    counts = Traffic(log, lambda: NOW, every_s=0.01)
    counts.answered("/v1/x", "GET", 200, 0.0)
    wait_until(lambda: [one.n for one in told(log)] == [1])
    assert failed
    counts.close()


def wait_until(holds: Callable[[], bool]) -> None:
    import time

    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_while_the_log_is_away_no_more_than_so_many_counts_wait(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crossfade.service.traffic.MOST_WAITING", 3)
    counts = Traffic(log, lambda: NOW)
    for at in (0, 1, 2, 3, 4, 0):
        counts.answered(f"/v1/{at}", "GET", 200, 0.0)
    counts.close()
    assert [(one.route, one.n) for one in told(log)] == [
        ("GET /v1/0", 2),
        ("GET /v1/1", 1),
        ("GET /v1/2", 1),
    ]
    assert MOST_WAITING > 1_000


def test_a_running_service_counts_its_requests(running: Running) -> None:
    assert running.read.post("/v1/recommendations", json={"user_id": "u"}).status_code == 200
    assert running.nobody.get("/v1/monitoring").status_code == 401
    assert running.read.get("/v1/user", params={"user_id": "u"}).status_code == 404
    running.service.traffic.flush()
    found = {(one.route, one.outcome) for one in running.service.log.traffic.between(0, MOST)}
    assert ("POST /v1/recommendations", "done") in found
    assert ("GET /v1/monitoring", "refused") in found
    assert ("GET /v1/user", "refused") in found  # nobody is named
