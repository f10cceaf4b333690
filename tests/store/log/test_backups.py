"""Backups that are taken under traffic, checked, and brought back without who was forgotten."""

import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from crossfade.cli.app import run
from crossfade.errors import ConfigError, DataError, StoreError
from crossfade.store.log import Item, Log, NewEvent, User
from crossfade.store.log.backups import backup, read_tombstones, restore, write_tombstones

NOW = 1_700_000_000_000_000


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'log.db'}"


def filled(url: str) -> None:
    with Log.open(url) as log:
        log.append([NewEvent("t", NOW, user) for user in ("ann", "bob", "bob")], NOW)
        log.catalogue.put_users([User("ann", {"country": "de"})], NOW)
        log.catalogue.put_items([Item("t", {"title": "Blue"})], NOW)
        log.add_key("shop", "write", NOW)


def contents(url: str) -> tuple[object, ...]:
    with Log.open(url) as log:
        shelf = log.catalogue
        return log.events_after(0, 100), shelf.users(), shelf.items(), log.keys(), log.tombstones()


def others_in(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()} - {"log.db", "log.db-wal", "log.db-shm"}


def test_a_backup_brings_back_all_there_was(url: str, tmp_path: Path) -> None:
    filled(url)
    done = backup(url, tmp_path / "copy")
    assert (done.events, done.last_sequence) == (3, 3)
    assert done.n_bytes == (tmp_path / "copy").stat().st_size
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    new = f"sqlite:///{tmp_path / 'new.db'}"
    gone = restore(tmp_path / "copy", new, [])
    assert (gone.events, gone.profiles) == (0, 0)
    assert contents(new) == contents(url)
    assert others_in(tmp_path) == {"copy", "new.db"}


def test_a_backup_under_traffic_is_the_log_as_it_was_at_one_moment(
    url: str, tmp_path: Path
) -> None:
    stop = threading.Event()
    with Log.open(url) as log:
        filled(url)

        def write() -> None:
            while not stop.is_set():
                pair = [NewEvent("t", NOW, "x"), NewEvent("t", NOW, "x", context={"n": "y" * 4000})]
                log.append(pair, NOW)

        thread = threading.Thread(target=write)
        thread.start()
        done = [backup(url, tmp_path / str(n)) for n in range(5)]
        stop.set()
        thread.join()
        assert log.last_sequence() > done[-1].last_sequence > done[0].last_sequence
    for one in done:
        assert one.events == one.last_sequence
        assert one.events % 2 == 1  # three at first, then pairs: no half of one


def test_of_who_was_forgotten_before_no_byte_is_in_the_backup_and_later_none_comes_back(
    url: str, tmp_path: Path
) -> None:
    filled(url)
    backup(url, tmp_path / "copy")
    with Log.open(url) as log:
        log.forget(user_id="ann", now_us=NOW + 1)
        write_tombstones(log.tombstones(), tmp_path / "stones")
        after = log.events_after(0, 100)
        backup(url, tmp_path / "later")
    assert b"ann" in (tmp_path / "copy").read_bytes()
    assert b"ann" not in (tmp_path / "later").read_bytes()
    stones = read_tombstones(tmp_path / "stones")
    new = tmp_path / "new.db"
    gone = restore(tmp_path / "copy", f"sqlite:///{new}", stones)
    assert (gone.events, gone.profiles) == (1, 1)
    assert b"ann" not in new.read_bytes()
    with Log.open(f"sqlite:///{new}") as log:
        assert log.events_after(0, 100) == after
        assert log.forgotten(user_id="ann") == NOW + 1


def test_nothing_is_overwritten_and_nothing_is_left_behind(url: str, tmp_path: Path) -> None:
    filled(url)
    backup(url, tmp_path / "copy")
    before = (tmp_path / "copy").read_bytes()
    with pytest.raises(ConfigError, match="is there already"):
        backup(url, tmp_path / "copy")
    with pytest.raises(ConfigError, match="is there already"):
        restore(tmp_path / "copy", url, [])
    (tmp_path / "gone.db-wal").touch()  # of a log whose file alone was deleted
    with pytest.raises(ConfigError, match=r"gone\.db-wal is there"):
        restore(tmp_path / "copy", f"sqlite:///{tmp_path / 'gone.db'}", [])
    assert (tmp_path / "copy").read_bytes() == before
    assert others_in(tmp_path) == {"copy", "gone.db-wal"}


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_what_is_no_backup_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(content)
    for source in ("copy", "not there"):
        with pytest.raises(StoreError) as caught:
            restore(tmp_path / source, f"sqlite:///{tmp_path / 'new.db'}", [])
        assert "\n" not in str(caught.value)
    assert others_in(tmp_path) == {"copy"}


def test_a_damaged_backup_and_a_newer_one_make_no_log(url: str, tmp_path: Path) -> None:
    filled(url)
    copy = tmp_path / "copy"
    backup(url, copy)
    content = bytearray(copy.read_bytes())
    content[5 * 4096 : 6 * 4096] = bytes(4096)
    (tmp_path / "damaged").write_bytes(content)
    with closing(sqlite3.connect(copy)) as newer, newer:
        newer.execute("UPDATE schema_version SET version = 999")
    for source, said in (("damaged", "damaged|malformed"), ("copy", "upgrade crossfade")):
        with pytest.raises(StoreError, match=said):
            restore(tmp_path / source, f"sqlite:///{tmp_path / 'new.db'}", [])
    assert others_in(tmp_path) == {"copy", "damaged"}


@pytest.mark.parametrize(
    "content", ["", "[]", '{"tombstones": [{"salt": 1}]}', '{"tombstones": [["a", "b", 1]]}']
)
def test_what_are_no_tombstones_is_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "stones"
    file.write_text(content)
    with pytest.raises(DataError, match="holds no tombstones"):
        read_tombstones(file)


def test_postgresql_is_told_what_does_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pg_dump"):
        backup("postgresql://me:secret@localhost/x", tmp_path / "copy")
    with pytest.raises(ConfigError, match="pg_restore"):
        restore(tmp_path / "copy", "postgresql://me:secret@localhost/x", [])


def test_the_commands_do_the_same(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(url)
    at = ["--database", url]
    copy, stones = str(tmp_path / "copy"), str(tmp_path / "stones")
    assert run(["backup", *at, "--to", copy, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["events"] == 3
    with Log.open(url) as log:
        log.forget(user_id="bob", now_us=NOW + 1)
    assert run(["tombstones", "export", *at, "--to", stones]) == 0
    assert run(["tombstones", "export", *at, "--to", stones]) == 0  # again and again, over itself
    new = f"sqlite:///{tmp_path / 'new.db'}"
    capsys.readouterr()
    assert run(["restore", copy, "--to", new]) == 1
    assert "--without-tombstones" in capsys.readouterr().err
    assert run(["restore", copy, "--to", new, "--without-tombstones"]) == 0
    assert run(["tombstones", "apply", stones, "--database", new]) == 0
    assert "forgotten again: 2 events, 0 impressions, 0 profiles" in capsys.readouterr().out
    again = f"sqlite:///{tmp_path / 'again.db'}"
    assert run(["restore", copy, "--to", again, "--tombstones", stones, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["forgotten_again"]["events"] == 2
