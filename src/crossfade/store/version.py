"""`Version`: what a registry says of one bundle without loading it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from crossfade.errors import BundleError
from crossfade.files import open_published, parts_of, read_manifest
from crossfade.store.bundle import SCHEMA, oldest_schema
from crossfade.store.difference import fingerprint

T = TypeVar("T")


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
        )


def manifest_of(bundle: Path) -> dict[str, Any]:
    """The manifest of a bundle of any schema that can be read; its files are not looked at.

    Raises:
        BundleError: As `read_manifest`.
    """
    return read_manifest(bundle, "bundle", SCHEMA, oldest_schema())


def checked(bundle: Path, version: str | None = None) -> dict[str, Any]:
    """The manifest of a bundle whose every checksum holds.

    Raises:
        BundleError: If it is damaged, or is not of this version.
    """
    manifest, _ = open_published(bundle, "bundle", SCHEMA, oldest_schema())
    if version is not None and manifest["version"] != version:
        raise BundleError(
            f"{bundle}: holds version {manifest['version']}; a version lives under its own name, move it there"
        )
    return manifest


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
