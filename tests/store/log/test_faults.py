"""What goes wrong with databases: one line that names the thing and the mend, and nothing kept by halves."""

import json
import sqlite3
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from tests.store.log.server import Server

from crossfade.errors import ConfigError, MissingExtraError, StoreError
from crossfade.store.log import Log, NewEvent, database

NOW = 1_700_000_000_000_000
EVENT = NewEvent("t1", NOW, "ann")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(StoreError) as caught:
        call()
    said = str(caught.value)
    assert "\n" not in said
    return said


# -- opening -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["log.db", "", "sqlite://", "sqlite:///:memory:", "sqlite:///log.db?timeout=long", "sqlite:///file:x?uri=true",
     "mysql://me:secret@here/db", "postgresql://here:port/db"],
)  # fmt: skip
def test_a_url_of_no_database_we_keep_logs_in_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="is none; write sqlite:///FILE, ") as caught:
        Log.open(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("module", "extra"), [("sqlalchemy", "serve"), ("psycopg", "postgres")])
def test_a_missing_extra_names_the_line_that_installs_it(
    module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"event log.* needs an extra: .*\[{extra}\]"):
        Log.open("postgresql://me@localhost/db")


def test_importing_the_store_and_its_log_imports_no_database() -> None:
    code = "import sys, crossfade.store, crossfade.store.log; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"sqlalchemy", "psycopg"}.isdisjoint(done.stdout.split())


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    place = tmp_path / "nowhere" / "log.db"
    assert refusal(lambda: Log.open(f"sqlite:///{place}")) == (
        f"{place}: the event log cannot be opened (unable to open database file); "
        "check that its folder exists and may be written"
    )


def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    said = refusal(lambda: Log.open(f"postgresql://me:secret@/db?host={tmp_path}&passfile=secret"))
    assert "cannot be opened" in said
    assert "check that the server runs" in said
    assert "secret" not in said


def test_a_file_that_is_no_database_is_refused_and_left_alone(file: Path) -> None:
    file.write_bytes(b"user_id,item_id\n" * 500)
    assert refusal(lambda: Log.open(f"sqlite:///{file}")) == (
        f"{file}: the event log cannot be opened (file is not a database); "
        "check the path, or restore it from a backup"
    )
    assert file.read_bytes() == b"user_id,item_id\n" * 500


def test_a_damaged_file_says_so_when_it_is_read(file: Path) -> None:
    with Log.open(f"sqlite:///{file}") as log:
        log.append([NewEvent("t" * 500, NOW, "ann") for _ in range(200)], NOW)
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + b"\x55" * (len(whole) - 4096))
    said = refusal(lambda: Log.open(f"sqlite:///{file}").events_after(0, 10**6))
    assert said.startswith(f"{file}: the event log cannot be ")
    assert said.endswith("; restore it from a backup")


def test_a_database_of_somebody_else_is_refused_and_left_alone(file: Path) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE impressions (x)")
        other.commit()
    said = refusal(lambda: Log.open(f"sqlite:///{file}"))
    assert "table impressions already exists" in said
    with closing(sqlite3.connect(file)) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("impressions",)]


def test_a_postgresql_that_keeps_few_letters_is_refused(server: Server) -> None:
    said = refusal(lambda: Log.open(server.latin_database()))
    assert said.endswith("does not keep UTF-8; make the database WITH ENCODING 'UTF8'")


def test_a_newer_schema_is_refused_and_left_alone(file: Path) -> None:
    Log.open(f"sqlite:///{file}").close()
    with closing(sqlite3.connect(file)) as newer:
        newer.execute("UPDATE schema_version SET version = 999")
        newer.commit()
    said = refusal(lambda: Log.open(f"sqlite:///{file}"))
    assert said.startswith(f"{file}: has schema 999, this crossfade knows up to ")
    assert said.endswith("; upgrade crossfade")


def test_many_may_open_a_new_log_at_once(url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        logs = [*pool.map(lambda _: Log.open(url), range(6))]
    sequences = [log.append([EVENT], NOW)[0].sequence for log in logs]
    assert sequences == [1, 2, 3, 4, 5, 6]
    for log in logs:
        log.close()


def test_only_its_owner_may_read_a_new_file(file: Path) -> None:
    with Log.open(f"sqlite:///{file}") as log:
        log.append([EVENT], NOW)
        assert {part.stat().st_mode & 0o077 for part in file.parent.iterdir()} == {0}


def test_what_people_do_is_in_no_traceback(file: Path) -> None:
    with Log.open(f"sqlite:///{file}") as log, closing(sqlite3.connect(file)) as other:
        other.execute("DROP TABLE events")
        user_id = "-".join(["ann", "4711"])  # a traceback shows the line of the call, too
        with pytest.raises(StoreError) as caught:
            log.events_of(user_id=user_id)
    assert user_id not in "".join(traceback.format_exception(caught.value))


# -- while it is open ----------------------------------------------------------------------


def test_a_locked_file_is_waited_for_and_then_refused(file: Path) -> None:
    log = Log.open(f"sqlite:///{file}?timeout=0.05")
    log.append([EVENT], NOW)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for call in (lambda: log.append([EVENT], NOW), log.check):
            assert refusal(call) == (
                f"{file}: the event log cannot be written (database is locked); "
                "another process has locked it: wait for that process or stop it"
            )
        assert len(log.events_after(0, 10)) == 1  # reading goes on
        other.execute("ROLLBACK")
    assert log.append([EVENT], NOW)[0].sequence == 2
    log.close()


def test_a_locked_postgresql_is_waited_for_and_then_refused(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE_S", 0.05)
    url = server.new_place()
    with Log.open(url) as log, psycopg.connect(url) as other:
        other.execute("SELECT 1 FROM log_state FOR UPDATE")
        said = refusal(lambda: log.append([EVENT], NOW))
        assert said.endswith("another process has locked it: wait for that process or stop it")
        other.rollback()
        assert log.append([EVENT], NOW)[0].sequence == 1


def test_every_commit_is_flushed_whatever_others_are_content_with(
    file: Path, server: Server
) -> None:
    with Log.open(f"sqlite:///{file}") as log, log._database.read() as connection:
        assert connection.scalar(text("PRAGMA synchronous")) == 2  # FULL
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
    careless = f"{server.new_place()}%20-csynchronous_commit%3Doff"
    with Log.open(careless) as log, log._database.read() as connection:
        assert connection.scalar(text("SHOW synchronous_commit")) == "on"


def test_a_restart_while_nobody_asks_is_not_noticed(server: Server) -> None:
    with Log.open(server.new_place()) as log:
        log.append([EVENT], NOW)
        server.stop()
        server.start()
        assert len(log.events_after(0, 10)) == 1
        server.stop("immediate")
        server.start()
        assert log.append([EVENT], NOW)[0].sequence == 2


def test_a_full_disk_takes_nothing_that_was_acknowledged(file: Path) -> None:
    url = f"sqlite:///{file}"
    program = Path(__file__).with_name("filling.py")
    done = subprocess.run([sys.executable, program, url], capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert "the event log cannot be written" in seen["said"]
    assert "disk" in seen["said"] or "make room" in seen["said"]
    assert "\n" not in seen["said"]
    assert len(seen["acknowledged"]) > 3
    assert seen["n_refused"] == 6
    with Log.open(url) as log:
        events = log.events_after(0, 10**6)
    numbers = [stored.event.time_us for stored in events]
    assert numbers == [number for number in seen["acknowledged"] for _ in range(20)]
    assert [stored.sequence for stored in events] == list(range(1, len(events) + 1))


def test_what_was_handed_in_before_closing_is_kept(url: str) -> None:
    log = Log.open(url)
    with ThreadPoolExecutor(8) as pool:

        def work(_: int) -> int:
            try:
                return log.append([EVENT], NOW)[0].sequence
            except StoreError:  # it came too late
                return 0

        sequences = [pool.submit(work, n) for n in range(50)]
        sequences[0].result()
        log.close()
        acknowledged = sorted({one.result() for one in sequences} - {0})
    with Log.open(url) as again:
        assert [stored.sequence for stored in again.events_after(0, 100)] == acknowledged


@pytest.mark.slow
def test_a_postgresql_restarted_under_traffic_loses_and_doubles_nothing(server: Server) -> None:
    url = server.new_place()
    log = Log.open(url)
    stop = threading.Event()
    done: list[list[str]] = [[] for _ in range(4)]
    refused: list[str] = []

    def work(thread: int) -> None:
        number = 0
        while not stop.is_set():
            event = NewEvent("t", NOW, "ann", key=f"{thread}-{number}")
            try:
                log.append([event], NOW)
            except StoreError as error:
                refused.append(str(error))
                stop.wait(0.01)  # and once more, under the same key
                continue
            done[thread].append(str(event.key))
            number += 1

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    try:
        for mode in ("immediate", "fast"):
            before = [len(keys) for keys in done]
            server.stop(mode)
            server.start()
            for _ in range(6000):
                if all(len(keys) > n + 2 for keys, n in zip(done, before, strict=True)):
                    break
                stop.wait(0.01)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    log.check()
    kept = [stored.event.key for stored in log.events_after(0, 10**6)]
    log.close()
    assert len(kept) == len(set(kept))
    acknowledged = {key for keys in done for key in keys}
    assert acknowledged <= set(kept)
    assert len(set(kept) - acknowledged) <= 4  # at most the last of each, when it was stopped
    assert refused
    assert all("\n" not in said and "check that the server runs" in said for said in refused)
