"""Writing a saved directory: whole, or not at all."""

import json
import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from crossfade.errors import BundleError
from crossfade.files.disk import (
    alone_in,
    flush_names,
    flushed_sha256,
    link_or_copy,
    remove,
    replace_json,
)
from crossfade.files.reading import (
    MANIFEST,
    is_version,
    noun_of,
    parts_of,
    read_manifest,
    saved_version,
)
from crossfade.version import __version__

_OWN_NAME = re.compile(rf"(parts-|\.{re.escape(MANIFEST)}-)[0-9a-f]{{16}}")
"""Names this module gives; nothing else in a directory is ever taken for its own."""


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
        with alone_in(directory):
            _write_and_switch(directory, version, facts, write)
    except OSError as error:
        raise BundleError(
            f"{directory}: could not save the {noun_of(kind)} ({error.strerror or error}); "
            "free space or choose another place; what was there before is unchanged"
        ) from error
    return version


def _write_and_switch(
    directory: Path, version: str, facts: dict[str, Any], write: Callable[[Path], None]
) -> None:
    parts, pending = parts_of(directory, version), directory / f".{MANIFEST}-{version}"
    saved = saved_version(directory)
    # Now, not only when this save is done: saves that are killed again and again would fill the disk.
    if is_version(saved) or not (directory / MANIFEST).exists():
        _remove_all_but(directory, str(saved))
    try:
        parts.mkdir()
        write(parts)
        names = sorted(
            file.relative_to(parts).as_posix() for file in parts.rglob("*") if file.is_file()
        )
        files = {name: flushed_sha256(parts / name) for name in names}
        _flush_folders(parts)
        replace_json(directory / MANIFEST, {**facts, "files": files}, pending)
    except BaseException:
        remove(parts)
        remove(pending)
        raise
    _remove_all_but(directory, version)


def _remove_all_but(directory: Path, version: str) -> None:
    for entry in directory.iterdir():
        if _OWN_NAME.fullmatch(entry.name) and entry.name != parts_of(directory, version).name:
            remove(entry)


def _flush_folders(parts: Path) -> None:
    for folder in (parts, *(entry for entry in parts.rglob("*") if entry.is_dir())):
        flush_names(folder)


def adopt(source: Path, directory: Path, kind: str, schema: int, oldest: int | None = None) -> None:
    """A saved directory once more at another place, under the same version; files are shared if they can be.

    The caller verifies what arrived, with `open_published`.

    Args:
        source: What is saved.
        directory: Where it goes; an empty folder, or none yet.
        kind: As for `publish`.
        schema: Newest layout that is taken.
        oldest: Oldest one; ``schema`` alone if None.

    Raises:
        BundleError: As `read_manifest`.
        OSError: If the disk refuses, or a save took the source away meanwhile.
    """
    manifest = read_manifest(source, kind, schema, oldest)
    parts = parts_of(directory, manifest["version"])
    parts.mkdir(parents=True)
    for name in manifest["files"]:
        (parts / name).parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(parts_of(source, manifest["version"]) / name, parts / name)
    _flush_folders(parts)
    replace_json(directory / MANIFEST, manifest, directory / f".{MANIFEST}-{manifest['version']}")


def refuse_foreign(directory: Path, kind: str) -> None:
    """Never write into a directory that holds somebody's other files.

    `publish` asks this itself; long work asks it before it begins.

    Raises:
        BundleError: If the directory is a file or holds anything but a ``kind``.
    """
    noun = noun_of(kind)
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
                f"{directory}: holds {f'a {noun_of(found)}' if found else 'something else'}, not a {noun}; "
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
    remove(directory / MANIFEST)
    with suppress(OSError):
        for entry in directory.iterdir():
            if _OWN_NAME.fullmatch(entry.name):
                remove(entry)
        directory.rmdir()
