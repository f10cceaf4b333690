"""`Version`: what a registry says of one bundle without loading it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from crossfade.errors import BundleError
from crossfade.files import adopt, open_published, parts_of, read_manifest, read_published
from crossfade.store.bundle import SCHEMA, oldest_schema
from crossfade.store.difference import fingerprint

T = TypeVar("T")

INDEX = "index"
"""Folder of a bundle in which an index of its item vectors may lie, saved by itself."""

INDEX_KIND, INDEX_SCHEMA = "vector index", 1
"""What is saved there; its manifest names the version of the bundle as ``model_version``."""


@dataclass(frozen=True)
class Version:
    """One version of a registry; what its manifest does not tell is None.

    Attributes:
        version: Its id.
        added: When it came, ISO 8601, UTC; None where it was put there by hand.
        promoted: Whether it serves.
        rollback: Whether a rollback would go to it.
        size_bytes: Of its files.
        problem: Why its manifest cannot be read; None where it can.
        schema: Layout of the bundle.
        crossfade: Version of the program that wrote it.
        mode: ``"full"`` or ``"weekly"``.
        previous: The version that it was updated from.
        name: Of the data set.
        data: Fingerprint of the data set: equal for equal tables.
        n_events: Events in it.
        n_users: Users in it.
        n_items: Items in it.
        metrics: What was measured when it was fitted, by name.
        index: Whether an index of its item vectors lies in it.
    """

    version: str
    added: str | None
    promoted: bool
    rollback: bool
    size_bytes: int = 0
    problem: str | None = None
    schema: int | None = None
    crossfade: str | None = None
    mode: str | None = None
    previous: str | None = None
    name: str | None = None
    data: str | None = None
    n_events: int | None = None
    n_users: int | None = None
    n_items: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    index: bool = False

    @classmethod
    def read(cls, bundle: Path, *, added: str | None, promoted: bool, rollback: bool) -> "Version":
        """From a bundle's manifest; its files are counted, not verified."""
        place = (bundle.name, added, promoted, rollback)
        try:
            manifest = manifest_of(bundle)
            size = sum(file_sizes(bundle, manifest).values())
        except BundleError as error:
            return cls(*place, problem=str(error))
        metrics = manifest.get("metrics")
        return cls(
            *place,
            size_bytes=size,
            schema=manifest["schema"],
            crossfade=_told(manifest, "crossfade", str),
            mode=_told(manifest, "mode", str),
            previous=_told(manifest, "previous", str),
            name=_told(manifest, "name", str),
            data=fingerprint(manifest),
            n_events=_told(manifest, "n_events", int),
            n_users=_told(manifest, "n_users", int),
            n_items=_told(manifest, "n_items", int),
            metrics=metrics if isinstance(metrics, dict) else {},
            index=(bundle / INDEX).exists(),
        )


def manifest_of(bundle: Path) -> dict[str, Any]:
    """The manifest of a bundle of any schema that can be read; its files are not looked at.

    Raises:
        BundleError: As `read_manifest`.
    """
    return read_manifest(bundle, "bundle", SCHEMA, oldest_schema())


def checked(bundle: Path, version: str | None = None) -> dict[str, Any]:
    """The manifest of a bundle whose every checksum holds, and those of an index in it.

    Raises:
        BundleError: If it is damaged, or is not of this version; or if the index is not of it.
    """
    manifest, _ = open_published(bundle, "bundle", SCHEMA, oldest_schema())
    if version is not None and manifest["version"] != version:
        raise BundleError(
            f"{bundle}: holds version {manifest['version']}; a version lives under its own name, move it there"
        )
    if (bundle / INDEX).exists():
        _check_index(bundle / INDEX, manifest["version"])
    return manifest


def _check_index(place: Path, version: str) -> None:
    manifest = read_published(place, INDEX_KIND, INDEX_SCHEMA, lambda found, _: found)
    if manifest.get("model_version") != version:
        raise BundleError(
            f"{place}: belongs to version {manifest.get('model_version')}, the bundle is version {version}; "
            "build the index again, or remove it"
        )


def adopt_whole(bundle: Path, place: Path) -> None:
    """A bundle and the index in it once more in an empty folder, as `files.adopt`."""
    if (bundle / INDEX).exists():
        adopt(bundle / INDEX, place / INDEX, INDEX_KIND, INDEX_SCHEMA)
    adopt(bundle, place, "bundle", SCHEMA, oldest_schema())


def file_sizes(bundle: Path, manifest: dict[str, Any]) -> dict[str, int]:
    """Bytes of each file of a bundle.

    Raises:
        BundleError: If one is missing.
    """
    parts = parts_of(bundle, manifest["version"])
    try:
        return {name: (parts / name).stat().st_size for name in manifest["files"]}
    except OSError as error:
        raise BundleError(
            f"{error.filename}: missing ({error.strerror}); restore it or fit again"
        ) from None


def _told(manifest: dict[str, Any], fact: str, kind: type[T]) -> T | None:
    """A fact of a manifest; None where it is missing or of another kind."""
    value = manifest.get(fact)
    return value if isinstance(value, kind) else None
