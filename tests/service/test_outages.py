"""Disks fill, databases lock and go, processes are killed: what was acknowledged is kept, and lists are made."""

import json
import os
import resource
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest
from tests.service.serving import Server, asked, many_files, served
from tests.store.log.conftest import server as postgres  # noqa: F401
from tests.store.log.server import Server as Postgres

from crossfade.store.log import Log

LONG = pytest.mark.skipif("CROSSFADE_EXAMPLES" not in os.environ, reason="takes long: make attacks")
LIST = b'{"user_id":"u"}'


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serving")


@pytest.fixture(scope="module")
def server(bundle: Path, place: Path) -> Iterator[Server]:
    """With a process that makes lists, on a database that nobody waits for long."""
    database = f"sqlite:///{place / 'log.db'}?timeout=0.2"
    with served(["--bundle", str(bundle)], place, workers=1, database=database) as running:
        yield running


def send(server: Server, key: str) -> int:
    """The status of an event that is sent under a key."""
    event = {"user_id": "u", "item_id": "i", "key": key, "context": {"x": "long " * 50}}
    return server.ask("POST /v1/events", json.dumps(event).encode())[0]


@contextmanager
def traffic(*work: Callable[[], None]) -> Iterator[None]:
    """Has some work done again and again meanwhile."""
    stop = threading.Event()

    def again(one: Callable[[], None]) -> None:
        while not stop.is_set():
            one()

    threads = [threading.Thread(target=again, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def wait_for(done: Callable[[], bool]) -> None:
    for _ in range(1_200):
        if done():
            return
        time.sleep(0.05)
    pytest.fail("that took more than a minute")


def goes_on(done: Sequence[object], n: int) -> None:
    """Wait until so many more are done."""
    n_before = len(done)
    wait_for(lambda: len(done) >= n_before + n)


@pytest.mark.slow
def test_a_full_disk_is_told_and_what_was_acknowledged_is_there_once_there_is_room(
    server: Server, place: Path
) -> None:
    pid = server.process.pid
    assert send(server, "before") == 201
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    size = (place / "log.db-wal").stat().st_size + 60_000
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, most))  # a disk with room for little more
    kept = ["before"]
    try:
        for number in range(200):
            if send(server, f"full-{number}") != 201:
                break
            kept.append(f"full-{number}")
        status, _, body = server.ask("POST /v1/events", b'{"user_id":"u","item_id":"i"}')
        assert status == 503
        assert json.loads(body)["error"]["code"] == "store_unavailable"
        assert server.ask("POST /v1/recommendations", LIST)[0] == 200
        # Less room than an event needs does for a few looks whether there is any.
        wait_for(lambda: server.ask("GET /readyz")[0] == 503)
        status, _, body = server.ask("GET /readyz")
        assert status == 503
        assert "cannot be written" in json.loads(body)["problems"][0]
        assert server.ask("GET /healthz")[0] == 200
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))
    assert 1 < len(kept) < 200
    assert server.ask("GET /readyz")[0] == 200
    assert send(server, "after") == 201
    with Log.open(f"sqlite:///{place / 'log.db'}") as log:
        events = log.events_after(0, 10**6)
    assert [one.event.key for one in events] == [*kept, "after"]
    assert [one.sequence for one in events] == list(range(1, len(events) + 1))


@pytest.mark.slow
def test_a_locked_database_is_told_and_lists_go_on(server: Server, place: Path) -> None:
    with closing(sqlite3.connect(place / "log.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert send(server, "locked") == 503
        assert server.ask("POST /v1/recommendations", LIST)[0] == 200
        status, _, body = server.ask("GET /readyz")
        assert status == 503
        assert "database is locked" in json.loads(body)["problems"][0]
        other.execute("ROLLBACK")
    assert send(server, "locked") == 201
    assert server.ask("GET /readyz")[0] == 200


@pytest.mark.slow
def test_lists_are_made_while_processes_that_make_them_are_killed(server: Server) -> None:
    statuses = list[int]()

    def work() -> None:
        statuses.append(server.ask("POST /v1/recommendations", b"{}")[0])

    with traffic(*[work] * 4):
        goes_on(statuses, 8)
        before = workers_of(server.process.pid)
        assert before
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        goes_on(statuses, 8)  # some were asked after it died
        assert workers_of(server.process.pid).isdisjoint(before)
    assert set(statuses) == {200}


@LONG
@pytest.mark.slow
def test_a_service_that_is_killed_under_traffic_lost_nothing_that_it_acknowledged(
    bundle: Path, tmp_path: Path
) -> None:
    kept, numbers = list[str](), iter(range(10**9))

    for _ in range(3):
        with served(["--bundle", str(bundle)], tmp_path) as running:

            def work(running: Server = running) -> None:
                key = str(next(numbers))
                if send(running, key) == 201:
                    kept.append(key)

            with traffic(*[work] * 4):
                goes_on(kept, 50)
                running.process.kill()
    with Log.open(f"sqlite:///{tmp_path / 'log.db'}") as log:
        there = Counter(one.event.key for one in log.events_after(0, 10**6))
    assert set(kept) <= there.keys()
    assert set(there.values()) == {1}


@pytest.mark.slow
def test_a_postgresql_restarted_under_traffic_loses_nothing_and_lists_go_on(
    bundle: Path,
    tmp_path: Path,
    postgres: Postgres,  # noqa: F811
) -> None:
    url = postgres.new_place()
    kept, statuses, lists = list[str](), Counter[int](), Counter[int]()
    with served(["--bundle", str(bundle)], tmp_path, database=url) as running:
        running.ask("POST /v1/recommendations", LIST)  # from then on they are in memory

        def tell(name: str) -> Callable[[], None]:
            numbers = iter(range(10**9))

            def work() -> None:
                key = f"{name}-{next(numbers)}"
                while (status := send(running, key)) != 201:  # and once more, under the same key
                    statuses[status] += 1
                    time.sleep(0.02)
                kept.append(key)

            return work

        def ask() -> None:
            lists[running.ask("POST /v1/recommendations", LIST)[0]] += 1

        with traffic(*[tell(name) for name in "abc"], ask):
            for mode in ("immediate", "fast"):
                goes_on(kept, 20)
                postgres.stop(mode)
                assert running.ask("GET /healthz")[0] == 200
                assert running.ask("GET /readyz")[0] == 503
                postgres.start()
                goes_on(kept, 20)
        assert running.waited_for("GET /readyz")
    assert statuses.keys() == {503}
    assert lists.keys() == {200}
    with Log.open(url) as log:
        there = Counter(one.event.key for one in log.events_after(0, 10**6))
    assert there == Counter(kept)


@LONG
@pytest.mark.slow
def test_ten_thousand_connections_are_held_and_lists_are_made(bundle: Path, tmp_path: Path) -> None:
    limits = {"max_connections": 11_000}
    with many_files(), served(["--bundle", str(bundle)], tmp_path, **limits) as running:
        before = running.resident_mib()
        with ExitStack() as stack:
            sockets = [stack.enter_context(closing(running.connect())) for _ in range(10_000)]
            assert {asked(one, "GET /healthz")[0] for one in sockets} == {200}
            assert running.ask("POST /v1/recommendations", b"{}")[0] == 200
            grown = running.resident_mib() - before
            assert {asked(one, "GET /healthz")[0] for one in sockets} == {200}
        assert running.waited_for("GET /readyz")
    assert grown < 400


def workers_of(pid: int) -> set[int]:
    """Processes that it started and that run Python's spawned main."""
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            with suppress(OSError):
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.add(int(child))
    return found
