"""A saved directory is read only where it is exactly what its manifest says."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from crossfade.errors import BundleError
from crossfade.files import MANIFEST, adopt, open_published, publish, read_manifest


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Two files, one of them in a folder."""

    def write(parts: Path) -> None:
        (parts / "a.txt").write_text("first")
        (parts / "deep").mkdir()
        (parts / "deep" / "b.txt").write_text("second")

    publish(tmp_path / "saved", "bundle", 1, {}, write)
    (tmp_path / "secret.txt").write_text("first")
    return tmp_path / "saved"


def parts_in(directory: Path) -> Path:
    (parts,) = directory.glob("parts-*")
    return parts


def change_manifest(directory: Path, **values: Any) -> None:
    path = directory / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def refused(directory: Path, message: str, schema: int = 1) -> None:
    with pytest.raises(BundleError, match=message):
        open_published(directory, "bundle", schema)


@pytest.mark.parametrize(
    "name",
    ["../../secret.txt", "/etc/passwd", "deep/../../../secret.txt", "./a.txt", "a.txt/", "deep//b.txt",
     "", "..", "C:a.txt", "deep\\b.txt", "a.txt\0"],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_refused_before_anything_is_read(
    saved: Path, name: str
) -> None:
    files = json.loads((saved / MANIFEST).read_text())["files"]
    digest = files["a.txt"]  # that of the secret too, so that no checksum saves the day
    change_manifest(saved, files={**files, name: digest})
    refused(saved, "is no place inside the bundle; do not trust it")


@pytest.mark.parametrize("version", ["../saved/x", "/tmp", "", "0123456789ABCDEF", "0" * 17])
def test_a_version_that_leads_elsewhere_is_refused(saved: Path, version: str) -> None:
    change_manifest(saved, version=version)
    refused(saved, "is no place inside the bundle; do not trust it")


@pytest.mark.parametrize("name", ["a.txt", "deep/b.txt"])
def test_a_linked_file_is_refused_even_with_the_right_content(saved: Path, name: str) -> None:
    file = parts_in(saved) / name
    outside = saved.parent / "copy"
    shutil.move(file, outside)
    file.symlink_to(outside)
    refused(saved, f"{file.name}: is a link, which may lead anywhere; put the file itself")


@pytest.mark.parametrize("folder", ["", "deep"])
def test_a_linked_folder_is_refused(saved: Path, folder: str) -> None:
    inside = parts_in(saved) / folder
    shutil.move(inside, saved.parent / "copy")
    inside.symlink_to(saved.parent / "copy", target_is_directory=True)
    refused(saved, "is a link, which may lead anywhere")


@pytest.mark.parametrize("name", ["c.txt", "deep/c.txt", ".hidden"])
def test_a_file_that_is_not_listed_is_refused(saved: Path, name: str) -> None:
    (parts_in(saved) / name).write_text("more")
    refused(saved, f"{name}: is not in the manifest.json of this bundle; remove it")


def test_something_that_is_no_file_is_refused(saved: Path) -> None:
    os.mkfifo(parts_in(saved) / "pipe")  # reading it would wait for ever
    refused(saved, "pipe: is not in the manifest")
    (parts_in(saved) / "pipe").unlink()
    (parts_in(saved) / "a.txt").unlink()
    os.mkfifo(parts_in(saved) / "a.txt")
    refused(saved, r"a\.txt: missing")


def test_the_whole_folder_of_parts_gone_is_a_missing_file(saved: Path) -> None:
    shutil.rmtree(parts_in(saved))
    refused(saved, r"a\.txt: missing; restore it or save the bundle again")


def test_an_older_schema_is_refused_with_the_mend_unless_the_reader_knows_it(saved: Path) -> None:
    refused(
        saved,
        "has schema 1, this crossfade reads 2 and later; make it again with this version, or read it with "
        r"crossfade \S+, which wrote it",
        schema=2,
    )
    assert read_manifest(saved, "bundle", 2, oldest=1)["schema"] == 1


@pytest.mark.parametrize("schema", [True, 1.0, "1", None])
def test_a_schema_is_a_whole_number(saved: Path, schema: object) -> None:
    change_manifest(saved, schema=schema)
    refused(saved, f"has schema {schema}, this crossfade reads up to 1")


def test_nesting_too_deep_to_read_is_damage(saved: Path) -> None:
    (saved / MANIFEST).write_text("[" * 100_000)
    refused(saved, "damaged")


def test_parts_that_cannot_be_read_are_one_clear_error(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path) -> str:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr("crossfade.files.reading.sha256", broken)
    refused(saved, r"\.txt: cannot be read \(Input/output error\); check its permissions")


# -- the same once more, elsewhere -----------------------------------------------------


def test_what_is_adopted_is_the_same_version_and_outlives_the_original(
    saved: Path, tmp_path: Path
) -> None:
    adopt(saved, tmp_path / "twin", "bundle", 1)
    before, _ = open_published(saved, "bundle", 1)
    shutil.rmtree(saved)
    after, parts = open_published(tmp_path / "twin", "bundle", 1)
    assert after == before
    assert (parts / "deep" / "b.txt").read_text() == "second"


def test_where_files_cannot_be_shared_they_are_copied(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(self: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    adopt(saved, tmp_path / "twin", "bundle", 1)
    _, parts = open_published(tmp_path / "twin", "bundle", 1)
    assert (parts / "a.txt").stat().st_nlink == 1
