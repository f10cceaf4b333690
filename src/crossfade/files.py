"""Saved directories that are whole or absent: checksums, atomic publishing.

A saved directory holds ``manifest.json`` and one folder of parts that the
manifest names, with the SHA-256 of each. New parts are written beside the old
ones, and one atomic rename of the manifest makes them current. A crash or a full
disk before that rename leaves the old version as it was.
"""

import hashlib
import json
import os
import re
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from crossfade import __version__
from crossfade.errors import BundleError

MANIFEST = "manifest.json"
T = TypeVar("T")
_OWN_NAME = re.compile(rf"(parts-|\.{re.escape(MANIFEST)}-)[0-9a-f]{{16}}")
"""Names this module gives; nothing else in a directory is ever taken for its own."""


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Write a table.

    Raises:
        OSError: If the disk refuses.
    """
    try:
        frame.write_parquet(path, compression="zstd")
    except pl.exceptions.ComputeError as error:
        raise unwrapped(error, path) from error


def unwrapped(error: Exception, path: Path) -> OSError:
    """The system's refusal to write, which Polars and safetensors wrap in errors of their own."""
    found = re.search(r"os error (\d+)", str(error))
    if found is None:
        return OSError(f"{path.name}: {error}")
    return OSError(int(found[1]), os.strerror(int(found[1])), str(path))


def publish(
    directory: Path, kind: str, schema: int, header: dict[str, Any], write: Callable[[Path], None]
) -> str:
    """Write a saved directory so that readers see the old or the new one, never a mixture.

    Args:
        directory: Where it shall live; created with its parents.
        kind: ``"dataset"`` or ``"bundle"``; checked on reading.
        schema: Version of the layout the parts follow.
        header: JSON-ready facts for the manifest.
        write: Writes all parts into the empty folder it is given.

    Returns:
        The new version id.

    Raises:
        BundleError: If the directory holds something else, or the disk refuses.
    """
    refuse_foreign(directory, kind)
    version = uuid.uuid4().hex[:16]
    # Ours last, so that a header read from an older manifest cannot override them.
    facts = {
        **header,
        "kind": kind,
        "schema": schema,
        "crossfade": __version__,
        "version": version,
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _alone_in(directory):
            _write_and_switch(directory, version, facts, write)
    except OSError as error:
        raise BundleError(
            f"{directory}: could not save the {_noun(kind)} ({error.strerror or error}); "
            "free space or choose another place; what was there before is unchanged"
        ) from error
    return version


def _write_and_switch(
    directory: Path, version: str, facts: dict[str, Any], write: Callable[[Path], None]
) -> None:
    parts = directory / f"parts-{version}"
    try:
        parts.mkdir()
        write(parts)
        names = sorted(
            file.relative_to(parts).as_posix() for file in parts.rglob("*") if file.is_file()
        )
        manifest = {**facts, "files": {name: _flushed_sha256(parts / name) for name in names}}
        pending = directory / f".{MANIFEST}-{version}"
        with pending.open("w", encoding="utf-8") as file:
            json.dump(manifest, file, indent=2, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        pending.replace(directory / MANIFEST)
    except BaseException:
        _discard(directory, version)
        raise
    for entry in directory.iterdir():
        if _OWN_NAME.fullmatch(entry.name) and entry.name != parts.name:
            _remove(entry)


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """One writer at a time: each takes away the parts of all others, which it holds to be left over."""
    if sys.platform == "win32":  # which has no lock on directories
        yield
        return
    import fcntl

    handle = os.open(directory, os.O_RDONLY)
    try:
        # Some network disks know no locks; there, saving twice at once may fail, but never damages.
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def read_published(
    directory: Path, kind: str, schema: int, read: Callable[[dict[str, Any], Path], T]
) -> T:
    """What ``read`` makes of a saved directory.

    A save takes the old parts away, also from under somebody who is still reading them.
    So what looks damaged is read once more where the version has changed meanwhile.

    Args:
        directory: Where it lives.
        kind: ``"dataset"`` or ``"bundle"``.
        schema: Newest layout that ``read`` understands.
        read: Gets the manifest and the folder of parts.

    Raises:
        BundleError: As `open_published`, or from ``read``.
    """
    version = _version(directory)
    try:
        return read(*open_published(directory, kind, schema))
    except BundleError:
        if version is None or _version(directory) == version:
            raise
    return read(*open_published(directory, kind, schema))


def _version(directory: Path) -> object:
    """Version of what is saved, None where that cannot be told."""
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest.get("version") if isinstance(manifest, dict) else None


def open_published(directory: Path, kind: str, schema: int) -> tuple[dict[str, Any], Path]:
    """Manifest and parts folder of a saved directory, every checksum verified.

    Raises:
        BundleError: If it is missing, damaged, of another kind or of a newer schema.
    """
    path, noun = directory / MANIFEST, _noun(kind)
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(
            f"{directory}: no {noun} here ({MANIFEST} is missing); check the path"
        ) from None
    except NotADirectoryError:
        raise BundleError(f"{directory}: is a file; give the directory of a {noun}") from None
    except (OSError, ValueError) as error:
        raise BundleError(
            f"{path}: damaged ({error}); restore it or save the {noun} again"
        ) from None
    if not isinstance(manifest, dict) or manifest.get("kind") != kind:
        found = manifest.get("kind") if isinstance(manifest, dict) else None
        other = f"a {_noun(found)}" if found else "something else"
        raise BundleError(f"{directory}: expected a {noun}, found {other}; check the path")
    if not isinstance(manifest.get("schema"), int) or manifest["schema"] > schema:
        raise BundleError(
            f"{directory}: this {noun} has schema {manifest.get('schema')}, this crossfade reads up to {schema}; "
            "upgrade crossfade or save it again with this version"
        )
    if not isinstance(manifest.get("files"), dict) or not isinstance(manifest.get("version"), str):
        raise BundleError(
            f"{path}: damaged (no list of files); restore it or save the {noun} again"
        )
    parts = directory / f"parts-{manifest['version']}"
    for name, digest in manifest["files"].items():
        if not (parts / name).is_file():
            raise BundleError(f"{parts / name}: missing; restore it or save the {noun} again")
        if sha256(parts / name) != digest:
            raise BundleError(
                f"{parts / name}: damaged (checksum differs); restore it or save the {noun} again"
            )
    return manifest, parts


def refuse_foreign(directory: Path, kind: str) -> None:
    """Never write into a directory that holds somebody's other files.

    `publish` asks this itself; long work asks it before it begins.

    Raises:
        BundleError: If the directory is a file or holds anything but a ``kind``.
    """
    noun = _noun(kind)
    if not directory.exists():
        return
    if not directory.is_dir():
        raise BundleError(f"{directory}: is a file; give a directory for the {noun}")
    if (directory / MANIFEST).exists():
        try:
            manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            manifest = None  # perhaps a damaged one of ours, which may be replaced
        found = manifest.get("kind") if isinstance(manifest, dict) else None
        if found == kind:
            return
        if found is not None or manifest is not None:
            raise BundleError(
                f"{directory}: holds {f'a {_noun(found)}' if found else 'something else'}, not a {noun}; "
                "choose another directory"
            )
    names = [entry.name for entry in directory.iterdir()]
    ours = {name for name in names if _OWN_NAME.fullmatch(name)}
    if ours:
        ours.add(MANIFEST)
    foreign = sorted(set(names) - ours)
    if foreign:
        raise BundleError(
            f"{directory}: is not empty and holds no {noun} (found {foreign[0]}); choose another directory"
        )


def withdraw(directory: Path) -> None:
    """Take away what `publish` wrote, and the directory where nothing else is in it.

    Readers find nothing from the first moment on. What the system will not give up stays.
    """
    _remove(directory / MANIFEST)
    with suppress(OSError):
        for entry in directory.iterdir():
            if _OWN_NAME.fullmatch(entry.name):
                _remove(entry)
        directory.rmdir()


def _noun(kind: object) -> str:
    """A kind as messages call it."""
    return "data set" if kind == "dataset" else str(kind)


def _flushed_sha256(path: Path) -> str:
    """Digest of a part that is on the disk for good, so that the manifest never outlives it."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())
    return sha256(path)


def _discard(directory: Path, version: str) -> None:
    _remove(directory / f"parts-{version}")
    _remove(directory / f".{MANIFEST}-{version}")


def _remove(entry: Path) -> None:
    """Take away a folder or file of ours; what the system will not give up can wait for the next save."""
    if entry.is_dir():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        with suppress(OSError):
            entry.unlink(missing_ok=True)
