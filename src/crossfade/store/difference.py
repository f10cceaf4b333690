"""What two manifests of bundles say differently, in words."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SECTIONS = ("settings", "data", "blend", "metrics", "other", "files")
_SECTION_OF = {
    "config": "settings",
    "seed": "settings",
    "name": "data",
    "target": "data",
    "n_events": "data",
    "n_users": "data",
    "n_items": "data",
    "choice": "blend",
    "fusion": "blend",
    "exclude_seen": "blend",
    "metrics": "metrics",
}
_BARE = ("config", "choice", "metrics")
"""Fields whose section says all; the names of others stay in front of what is in them."""

_LEFT_OUT = ("version", "files", "arrays", "frames")
_ABSENT = object()


@dataclass(frozen=True)
class Difference:
    """One fact that differs.

    Attributes:
        section: One of `SECTIONS`.
        name: Which fact; dots lead into groups.
        before: JSON value in the first manifest, None where it has no such fact. Of a file: bytes.
        after: The same of the second.
        words: Both in one line.
    """

    section: str
    name: str
    before: Any
    after: Any
    words: str


def differences(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    sizes: tuple[dict[str, int], dict[str, int]],
) -> list[Difference]:
    """Everything that differs between two manifests, by section.

    Args:
        before: A manifest.
        after: Another.
        sizes: Bytes of the files of each.
    """
    found = [
        Difference(section, name, *_values(a, b), f"{name}: {_shown(a)} → {_shown(b)}")
        for section, name, a, b in _facts(before, after)
    ]
    for name in sorted(before["files"].keys() | after["files"].keys()):
        if before["files"].get(name) != after["files"].get(name):
            a, b = (side.get(name) for side in sizes)
            words = (
                f"{name}: changed, {_bytes(a)}" if a == b else f"{name}: {_bytes(a)} → {_bytes(b)}"
            )
            found.append(Difference("files", name, a, b, words))
    return sorted(found, key=lambda found: SECTIONS.index(found.section))


def fingerprint(manifest: Mapping[str, Any]) -> str:
    """One short id for the tables of a bundle: equal ids, equal data to the last byte."""
    tables = {name: d for name, d in manifest["files"].items() if name.endswith(".parquet")}
    return hashlib.sha256(json.dumps(tables, sort_keys=True).encode()).hexdigest()[:16]


def _facts(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[tuple[str, str, object, object]]:
    """Section, name and both values of each fact that differs, in the order of the names."""
    found = []
    for field in sorted((before.keys() | after.keys()) - set(_LEFT_OUT)):
        flat = [_flat(side.get(field, _ABSENT), field) for side in (before, after)]
        for name in sorted(flat[0].keys() | flat[1].keys()):
            a, b = (side.get(name, _ABSENT) for side in flat)
            if a is _ABSENT or b is _ABSENT or a != b:
                bare = name.removeprefix(f"{field}.") if field in _BARE else name
                found.append((_SECTION_OF.get(field, "other"), bare, a, b))
    return found


def _flat(value: object, name: str) -> dict[str, object]:
    """Values by dotted name; empty groups and lists are values themselves."""
    if value is _ABSENT:
        return {}
    if not isinstance(value, dict) or not value:
        return {name: value}
    return {k: v for key, inner in value.items() for k, v in _flat(inner, f"{name}.{key}").items()}


def _values(before: object, after: object) -> tuple[Any, Any]:
    return None if before is _ABSENT else before, None if after is _ABSENT else after


def _shown(value: object) -> str:
    if value is _ABSENT:
        return "not there"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return json.dumps(value, ensure_ascii=False)


def _bytes(size: int | None) -> str:
    if size is None:
        return "not there"
    return f"{size:,} bytes" if size < 1_000_000 else f"{size / 1e6:,.1f} MB"
