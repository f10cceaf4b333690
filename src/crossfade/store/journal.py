"""What happened in a registry, in order; which version serves follows from it alone."""

import json
import uuid
from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from crossfade.errors import BundleError
from crossfade.files import is_version, replace_json

JOURNAL = "registry.json"
KIND, SCHEMA = "registry", 1

Deed = Literal["added", "promoted", "rolled back", "removed"]


@dataclass(frozen=True)
class Entry:
    """One thing that happened.

    Attributes:
        at: When: ISO 8601, UTC.
        did: What.
        version: To which version; after a rollback, the one that serves again.
    """

    at: str
    did: Deed
    version: str

    @classmethod
    def of(cls, now: datetime, did: Deed, version: str) -> "Entry":
        """An entry for this moment; one without a zone is UTC."""
        moment = now.replace(tzinfo=UTC) if now.tzinfo is None else now.astimezone(UTC)
        return cls(moment.isoformat(timespec="seconds"), did, version)


Journal = tuple[Entry, ...]


def served(journal: Journal) -> list[str]:
    """Versions in the order they came to serve; what was rolled back from is left out.

    The last one serves now; a rollback goes to the one before it.
    """
    line: list[str] = []
    for entry in journal:
        if entry.did == "promoted":
            line.append(entry.version)
        elif entry.did == "rolled back":
            line.pop()
            while line and line[-1] != entry.version:
                line.pop()
    return line


def rollback_target(line: Sequence[str], there: Container[str]) -> str | None:
    """The newest version before the one that serves which is another and still there."""
    earlier = [version for version in line if version in there and version != line[-1]]
    return earlier[-1] if earlier else None


def added(journal: Journal) -> dict[str, str]:
    """When each version came, in the order they came; what came twice counts from the second time."""
    times: dict[str, str] = {}
    for entry in journal:
        if entry.did == "added":
            times.pop(entry.version, None)
            times[entry.version] = entry.at
    return times


def read_journal(directory: Path) -> Journal:
    """The journal of a registry.

    Raises:
        BundleError: If there is none, or it is damaged or from a newer crossfade.
    """
    path = directory / JOURNAL
    mend = "restore it, or move it away and promote a version again: the versions are untouched"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(
            f"{directory}: no registry here ({JOURNAL} is missing); check the path, or make one with "
            "crossfade fit --registry"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path}: damaged ({error}); {mend}") from None
    if not isinstance(value, dict) or value.get("kind") != KIND:
        raise BundleError(f"{path}: is no journal of a registry; check the path")
    if type(value.get("schema")) is not int or value["schema"] > SCHEMA:
        raise BundleError(
            f"{path}: has schema {value.get('schema')}, this crossfade reads up to {SCHEMA}; upgrade crossfade"
        )
    entries = value.get("journal")
    if value.keys() != {"kind", "schema", "journal"} or not isinstance(entries, list):
        raise BundleError(f"{path}: damaged (other fields than there should be); {mend}")
    for entry in entries:
        if not _is_entry(entry):
            raise BundleError(f"{path}: damaged ({entry!r} is no entry); {mend}")
    try:
        journal = tuple(Entry(**entry) for entry in entries)
        served(journal)
    except IndexError:
        raise BundleError(
            f"{path}: damaged (a rollback where nothing was promoted); {mend}"
        ) from None
    return journal


def write_journal(directory: Path, journal: Journal) -> None:
    """Write the journal so that readers see the old or the new one.

    Raises:
        OSError: If the disk refuses.
    """
    value = {"kind": KIND, "schema": SCHEMA, "journal": [asdict(entry) for entry in journal]}
    pending = directory / f".{JOURNAL}-{uuid.uuid4().hex[:16]}"
    replace_json(directory / JOURNAL, value, pending)


def _is_entry(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"at", "did", "version"}
        and isinstance(value["at"], str)
        and value["did"] in get_args(Deed)
        and is_version(value["version"])
    )
