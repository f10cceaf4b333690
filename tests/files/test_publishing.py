import errno
import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crossfade.errors import BundleError
from crossfade.files import (
    MANIFEST,
    open_published,
    publish,
    read_published,
    sha256,
    unwrapped,
    write_parquet,
)


def write_text(text: str) -> Callable[[Path], None]:
    def write(parts: Path) -> None:
        (parts / "a.txt").write_text(text)
        (parts / "deep").mkdir()
        (parts / "deep" / "b.txt").write_text(text * 2)

    return write


def save(directory: Path, text: str = "first", **header: Any) -> str:
    return publish(directory, "bundle", 1, header, write_text(text))


def read(directory: Path) -> str:
    _, parts = open_published(directory, "bundle", 1)
    return (parts / "a.txt").read_text()


def own_entries(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def change_manifest(directory: Path, **values: Any) -> None:
    path = directory / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    version = save(tmp_path / "new" / "place", "hello", seed=7)
    manifest, parts = open_published(tmp_path / "new" / "place", "bundle", 1)
    assert (manifest["version"], manifest["seed"], manifest["schema"]) == (version, 7, 1)
    assert (parts / "deep" / "b.txt").read_text() == "hellohello"
    assert sorted(manifest["files"]) == ["a.txt", "deep/b.txt"]


def test_a_new_version_replaces_the_old_one_and_its_parts(tmp_path: Path) -> None:
    first, second = save(tmp_path, "first"), save(tmp_path, "second")
    assert first != second
    assert read(tmp_path) == "second"
    assert own_entries(tmp_path) == [MANIFEST, f"parts-{second}"]


@pytest.mark.parametrize("reserved", ["kind", "schema", "version", "files"])
def test_a_header_never_overrides_what_reading_relies_on(tmp_path: Path, reserved: str) -> None:
    # A manifest that was read may be the header of the next save.
    save(tmp_path, "first", **{reserved: "old"})
    assert read(tmp_path) == "first"


# -- writing fails ---------------------------------------------------------------------


class BrokenError(Exception):
    pass


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (OSError(28, "No space left on device"), BundleError),
        (BrokenError("model cannot be saved"), BrokenError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_the_old_version_survives_a_failed_write(
    tmp_path: Path, failure: BaseException, raised: type[BaseException]
) -> None:
    save(tmp_path)
    before = own_entries(tmp_path)

    def fail(parts: Path) -> None:
        (parts / "half.txt").write_text("half")
        raise failure

    with pytest.raises(raised):
        publish(tmp_path, "bundle", 1, {}, fail)
    assert read(tmp_path) == "first"
    assert own_entries(tmp_path) == before


def test_a_full_disk_is_named_with_place_and_mend(tmp_path: Path) -> None:
    def fail(parts: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(BundleError) as caught:
        publish(tmp_path / "out", "bundle", 1, {}, fail)
    assert str(caught.value) == (
        f"{tmp_path / 'out'}: could not save the bundle (No space left on device); "
        "free space or choose another place; what was there before is unchanged"
    )


def test_a_header_that_is_no_json_leaves_the_old_version(tmp_path: Path) -> None:
    save(tmp_path)
    with pytest.raises(TypeError):
        save(tmp_path, "second", model=object())
    with pytest.raises(ValueError, match="JSON"):
        save(tmp_path, "second", metric=float("nan"))
    assert read(tmp_path) == "first"
    assert len(own_entries(tmp_path)) == 2


@pytest.mark.parametrize("limit", [0, 60, 300])
def test_the_old_version_survives_a_real_write_limit(tmp_path: Path, limit: int) -> None:
    # The kernel refuses every file beyond `limit` bytes: parts (0 and 60) or the manifest (300).
    save(tmp_path)
    before = own_entries(tmp_path)
    code = f"""
        import resource
        from pathlib import Path
        from crossfade.errors import BundleError
        from crossfade.files import publish

        def write(parts):
            (parts / "a.txt").write_text("x" * 100)

        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
        try:
            publish(Path({str(tmp_path)!r}), "bundle", 1, {{"note": "n" * 400}}, write)
        except BundleError as error:
            print(error)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert "could not save the bundle (File too large)" in run.stdout
    assert read(tmp_path) == "first"
    assert own_entries(tmp_path) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_without_permission_is_one_clear_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(BundleError, match="Permission denied"):
        save(tmp_path / "out")
    tmp_path.chmod(0o700)


def test_a_kill_before_the_manifest_leaves_the_old_version_and_the_next_save_cleans_up(
    tmp_path: Path,
) -> None:
    save(tmp_path)
    code = f"""
        import os
        from pathlib import Path
        from crossfade import files

        def killed(self, target):
            os._exit(9)  # as SIGKILL: no handler, no cleanup

        Path.replace = killed
        files.publish(Path({str(tmp_path)!r}), "bundle", 1, {{}}, lambda parts: (parts / "a.txt").write_text("new"))
    """
    for _ in range(2):  # what the first kill left, the second save takes away
        run = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
        assert run.returncode == 9
        assert len(own_entries(tmp_path)) == 4  # the manifest, a pending one, old and new parts
        assert read(tmp_path) == "first"
    version = save(tmp_path, "second")
    assert own_entries(tmp_path) == [MANIFEST, f"parts-{version}"]


def test_beside_a_damaged_manifest_nothing_is_taken_away_before_the_new_one_is_there(
    tmp_path: Path,
) -> None:
    version = save(tmp_path)
    (tmp_path / MANIFEST).write_text("{")

    def fails(parts: Path) -> None:
        assert (tmp_path / f"parts-{version}" / "a.txt").exists()
        raise OSError("full")

    with pytest.raises(BundleError, match="what was there before is unchanged"):
        publish(tmp_path, "bundle", 1, {}, fails)
    assert own_entries(tmp_path) == [MANIFEST, f"parts-{version}"]


def test_a_first_save_that_was_killed_does_not_block_the_next(tmp_path: Path) -> None:
    (tmp_path / "parts-0123456789abcdef").mkdir()
    (tmp_path / f".{MANIFEST}-0123456789abcdef").write_text("{")
    version = save(tmp_path)
    assert own_entries(tmp_path) == [MANIFEST, f"parts-{version}"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_table_that_finds_no_space_is_the_systems_own_error() -> None:
    # Polars calls it a ComputeError, which no caller would take for a full disk.
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_parquet(pl.DataFrame({"a": range(100_000)}), Path("/dev/full"))
    assert caught.value.errno == errno.ENOSPC


def test_a_write_error_without_a_system_number_keeps_its_text() -> None:
    error = unwrapped(RuntimeError("transport error"), Path("out") / "events.parquet")
    assert str(error) == "events.parquet: transport error"


# -- reading damage --------------------------------------------------------------------


def test_every_flipped_byte_and_truncation_of_a_part_is_noticed(tmp_path: Path) -> None:
    version = save(tmp_path, "some text")
    part = tmp_path / f"parts-{version}" / "a.txt"
    whole = part.read_bytes()
    damaged = [whole[:n] for n in range(len(whole))]
    damaged += [whole[:n] + bytes([whole[n] ^ 1]) + whole[n + 1 :] for n in range(len(whole))]
    for content in [*damaged, whole + b"\0"]:
        part.write_bytes(content)
        with pytest.raises(BundleError, match=r"a\.txt: damaged \(checksum differs\)"):
            read(tmp_path)
    part.write_bytes(whole)
    assert read(tmp_path) == "some text"


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    version = save(tmp_path)
    (tmp_path / f"parts-{version}" / "deep" / "b.txt").unlink()
    with pytest.raises(BundleError, match=r"deep/b\.txt: missing"):
        read(tmp_path)


def test_a_manifest_cut_anywhere_is_damaged(tmp_path: Path) -> None:
    save(tmp_path)
    whole = (tmp_path / MANIFEST).read_text().rstrip()
    for n in range(len(whole)):
        (tmp_path / MANIFEST).write_text(whole[:n])
        with pytest.raises(BundleError, match="damaged"):
            read(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not json", "damaged"),
        (b"\xff\xfe", "damaged"),
        (b"[1, 2]", "expected a bundle, found something else"),
        (b"{}", "expected a bundle, found something else"),
        (b'{"kind": "dataset", "schema": 1}', "expected a bundle, found a data set"),
        (b'{"kind": "bundle"}', "schema None"),
        (b'{"kind": "bundle", "schema": "one"}', "schema one"),
        (b'{"kind": "bundle", "schema": 1}', "no list of files"),
        (b'{"kind": "bundle", "schema": 1, "files": {}, "version": 3}', "no list of files"),
    ],
)
def test_a_wrong_manifest_says_what_is_wrong(tmp_path: Path, content: bytes, message: str) -> None:
    save(tmp_path)
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(BundleError, match=message):
        read(tmp_path)


def test_a_newer_schema_asks_for_a_newer_crossfade(tmp_path: Path) -> None:
    save(tmp_path)
    change_manifest(tmp_path, schema=2)
    with pytest.raises(BundleError, match="has schema 2, this crossfade reads up to 1; upgrade"):
        read(tmp_path)


def test_nothing_there_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no bundle here \(manifest\.json is missing\)"):
        read(tmp_path / "nowhere")


def test_a_file_is_nothing_to_read_from(tmp_path: Path) -> None:
    (tmp_path / "q.toml").write_text("mine")
    with pytest.raises(BundleError, match=r"q\.toml: is a file; give the directory of a bundle"):
        read(tmp_path / "q.toml")


# -- several at once -------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="directories have no locks there")
def test_a_second_writer_waits_and_neither_loses_its_parts(tmp_path: Path) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slowly(parts: Path) -> None:
        began.set()
        assert go_on.wait(10)
        write_text("slow")(parts)

    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(publish, tmp_path, "bundle", 1, {}, slowly)
        assert began.wait(10)
        quick = pool.submit(save, tmp_path, "quick")
        with pytest.raises(TimeoutError):
            quick.result(timeout=0.2)
        go_on.set()
        assert slow.result(10) != quick.result(10)
    assert read(tmp_path) == "quick"
    assert own_entries(tmp_path) == [MANIFEST, f"parts-{quick.result()}"]


# -- other people's files --------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", "mine"),
        ("parts-2024", "mine"),
        (".manifest.json-draft", "mine"),
        (MANIFEST, "my own text"),
        (MANIFEST, "[1, 2]"),
        (MANIFEST, '{"name": "a web app"}'),
        (MANIFEST, '{"kind": "dataset"}'),
    ],
)
def test_foreign_files_are_never_touched(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(BundleError, match="choose another directory"):
        save(tmp_path)
    assert own_entries(tmp_path) == [name]
    assert (tmp_path / name).read_text() == content


def test_files_beside_a_saved_directory_stay(tmp_path: Path) -> None:
    save(tmp_path)
    (tmp_path / "parts-mine").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    save(tmp_path, "second")
    assert (tmp_path / "parts-mine").is_dir()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_damaged_save_of_ours_may_be_replaced(tmp_path: Path) -> None:
    save(tmp_path)
    (tmp_path / MANIFEST).write_text("{")
    save(tmp_path, "second")
    assert read(tmp_path) == "second"


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(BundleError, match="is a file; give a directory"):
        save(tmp_path / "out")


def test_a_digest_is_the_published_one(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    assert sha256(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_a_reader_overtaken_by_a_save_reads_the_new_version(tmp_path: Path) -> None:
    save(tmp_path / "saved")
    seen: list[str] = []

    def slow(manifest: dict[str, Any], parts: Path) -> str:
        seen.append(manifest["version"])
        if len(seen) == 1:
            save(tmp_path / "saved", "second")  # takes away the parts being read
        try:
            return (parts / "a.txt").read_text()
        except FileNotFoundError:
            raise BundleError("gone") from None

    assert read_published(tmp_path / "saved", "bundle", 1, slow) == "second"
    assert len(set(seen)) == len(seen) == 2


def test_what_is_damaged_is_not_read_twice(tmp_path: Path) -> None:
    save(tmp_path / "saved")
    n_reads = 0

    def fail(_: dict[str, Any], __: Path) -> str:
        nonlocal n_reads
        n_reads += 1
        raise BundleError("damaged")

    with pytest.raises(BundleError, match="damaged"):
        read_published(tmp_path / "saved", "bundle", 1, fail)
    assert n_reads == 1
