"""Reading a saved directory: exactly what its manifest says, or a refusal."""

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from crossfade.errors import BundleError
from crossfade.files.disk import sha256
from crossfade.threads import n_threads

MANIFEST = "manifest.json"
T = TypeVar("T")


def is_version(name: object) -> bool:
    """Whether this is a version id as `publish` makes them; anything else never becomes a path."""
    return isinstance(name, str) and re.fullmatch(r"[0-9a-f]{16}", name) is not None


def parts_of(directory: Path, version: str) -> Path:
    """The folder of parts of one version."""
    return directory / f"parts-{version}"


def noun_of(kind: object) -> str:
    """A kind as messages call it."""
    return "data set" if kind == "dataset" else str(kind)


def read_published(
    directory: Path,
    kind: str,
    schema: int,
    read: Callable[[dict[str, Any], Path], T],
    oldest: int | None = None,
) -> T:
    """What ``read`` makes of a saved directory.

    A save takes the old parts away, also from under somebody who is still reading them.
    So what looks damaged is read once more where the version has changed meanwhile.

    Args:
        directory: Where it lives.
        kind: ``"dataset"`` or ``"bundle"``.
        schema: Newest layout that ``read`` understands.
        read: Gets the manifest and the folder of parts.
        oldest: Oldest layout that it understands; ``schema`` alone if None.

    Raises:
        BundleError: As `open_published`, or from ``read``.
    """
    version = saved_version(directory)
    try:
        return read(*open_published(directory, kind, schema, oldest))
    except BundleError:
        if version is None or saved_version(directory) == version:
            raise
    return read(*open_published(directory, kind, schema, oldest))


def saved_version(directory: Path) -> object:
    """Version of what is saved, None where that cannot be told."""
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest.get("version") if isinstance(manifest, dict) else None


def open_published(
    directory: Path, kind: str, schema: int, oldest: int | None = None
) -> tuple[dict[str, Any], Path]:
    """Manifest and parts folder of a saved directory, every checksum verified.

    Raises:
        BundleError: As `read_manifest`; or if a part is missing, damaged, a link, or not in the
            manifest.
    """
    manifest = read_manifest(directory, kind, schema, oldest)
    parts = parts_of(directory, manifest["version"])
    try:
        _verify(parts, manifest["files"], noun_of(kind))
    except OSError as error:  # a save may take it away at any moment
        raise BundleError(
            f"{error.filename or parts}: cannot be read ({error.strerror or error}); check its permissions, "
            f"restore it or save the {noun_of(kind)} again"
        ) from None
    return manifest, parts


def read_manifest(
    directory: Path, kind: str, schema: int, oldest: int | None = None
) -> dict[str, Any]:
    """The manifest of a saved directory; its parts are not looked at.

    Args:
        directory: Where it lives.
        kind: ``"dataset"`` or ``"bundle"``.
        schema: Newest layout that the caller understands.
        oldest: Oldest one; ``schema`` alone if None.

    Raises:
        BundleError: If it is missing, damaged, of another kind or schema, or names a file that
            would not lie among its parts.
    """
    path, noun = directory / MANIFEST, noun_of(kind)
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(
            f"{directory}: no {noun} here ({MANIFEST} is missing); check the path"
        ) from None
    except NotADirectoryError:
        raise BundleError(f"{directory}: is a file; give the directory of a {noun}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(
            f"{path}: damaged ({error}); restore it or save the {noun} again"
        ) from None
    if not isinstance(manifest, dict) or manifest.get("kind") != kind:
        found = manifest.get("kind") if isinstance(manifest, dict) else None
        other = f"a {noun_of(found)}" if found else "something else"
        raise BundleError(f"{directory}: expected a {noun}, found {other}; check the path")
    _refuse_other_schema(directory, manifest, schema, schema if oldest is None else oldest)
    if not isinstance(manifest.get("files"), dict) or not isinstance(manifest.get("version"), str):
        raise BundleError(
            f"{path}: damaged (no list of files); restore it or save the {noun} again"
        )
    unsafe = [name for name in manifest["files"] if not _stays_inside(name)]
    if not is_version(manifest["version"]):
        unsafe.append(manifest["version"])
    if unsafe:
        raise BundleError(
            f"{path}: names {unsafe[0]!r}, which is no place inside the {noun}; do not trust it, "
            f"restore it or save the {noun} again"
        )
    return manifest


def _refuse_other_schema(
    directory: Path, manifest: dict[str, Any], schema: int, oldest: int
) -> None:
    noun, found = noun_of(manifest["kind"]), manifest.get("schema")
    if type(found) is not int or found > schema:
        raise BundleError(
            f"{directory}: this {noun} has schema {found}, this crossfade reads up to {schema}; "
            "upgrade crossfade or save it again with this version"
        )
    if found < oldest:
        raise BundleError(
            f"{directory}: this {noun} has schema {found}, this crossfade reads {oldest} and later; "
            f"make it again with this version, or read it with crossfade {manifest.get('crossfade')}, "
            "which wrote it"
        )


def _stays_inside(name: str) -> bool:
    """Whether a name is a plain relative path: no root, no drive, no step upwards, no odd spelling."""
    steps = name.split("/")
    return not any(step in {"", ".", ".."} for step in steps) and not set(name) & set("\\:\0")


def _verify(parts: Path, files: dict[str, Any], noun: str) -> None:
    """Raise unless a folder holds exactly these files with these digests, and no link."""
    mend = f"restore it or save the {noun} again"
    linked = [entry for entry in (parts, *parts.rglob("*")) if entry.is_symlink()]
    if linked:
        raise BundleError(
            f"{linked[0]}: is a link, which may lead anywhere; put the file itself in its place"
        )
    for name in files:
        if not (parts / name).is_file():
            raise BundleError(f"{parts / name}: missing; {mend}")
    for entry in parts.rglob("*"):
        if entry.relative_to(parts).as_posix() not in files and not entry.is_dir():
            raise BundleError(
                f"{entry}: is not in the {MANIFEST} of this {noun}; remove it or save the {noun} again"
            )
    # The largest first: it alone may take as long as all the others.
    names = sorted(files, key=lambda name: (parts / name).stat().st_size, reverse=True)
    with ThreadPoolExecutor(n_threads()) as pool:
        digests = pool.map(sha256, [parts / name for name in names])
        for name, found in zip(names, digests, strict=True):
            if found != files[name]:
                raise BundleError(f"{parts / name}: damaged (checksum differs); {mend}")
