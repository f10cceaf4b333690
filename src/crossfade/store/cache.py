"""`ArrayCache`: arrays on disk under a key, within a bound; what was used longest ago goes first.

A cache is a directory with one saved directory (see `crossfade.files`) per key. All of it can be
deleted at any time; that costs time only.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from crossfade.config import Field, Settings
from crossfade.errors import BundleError
from crossfade.files import MANIFEST, publish, read_published, unwrapped, withdraw
from crossfade.types import Arrays

KIND = "cache entry"
SCHEMA = 1

ROOM = 100_000
"""Bytes an entry may take beside its arrays: names, shapes and the manifest."""

_FILE = "arrays.safetensors"
_ENTRY = re.compile(r"lists-[0-9a-f]{64}")
"""Names this module gives; nothing else in a directory is read or taken away."""


class CacheConfig(Settings):
    """How much a cache may keep."""

    max_bytes: int = Field(
        2_000_000_000,
        ge=1,
        description="Most bytes the directory of `--cache` may hold; what was used longest ago goes first.",
    )


class ArrayCache:
    """Named arrays with a header, by key.

    Args:
        directory: Created where absent; may hold other files, which are left alone.
        max_bytes: All entries together never take more.

    Raises:
        BundleError: If there can be no such directory.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self.directory, self._max_bytes = directory, max_bytes
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BundleError(
                f"{directory}: cannot keep a cache here ({error.strerror}); choose another directory"
            ) from error

    def place(self, key: str) -> Path:
        """Where an entry is, or would be.

        Args:
            key: 64 hex digits.
        """
        return self.directory / f"lists-{key}"

    def get(self, key: str) -> tuple[dict[str, Any], Arrays] | None:
        """Header and arrays, every byte checked; None where nothing is kept under the key.

        Raises:
            BundleError: If the entry is damaged or only half there; `forget` it.
        """
        place = self.place(key)
        if not place.is_dir():
            return None
        found = read_published(place, KIND, SCHEMA, _read)
        with suppress(OSError):  # a cache that can only be read serves too
            os.utime(place / MANIFEST)
        return found

    def put(self, key: str, header: dict[str, Any], arrays: Arrays) -> int:
        """Keep arrays, taking older entries away where there is too little room.

        Args:
            key: Anything kept under it before is replaced.
            header: JSON-ready.
            arrays: At least one.

        Returns:
            How many other entries were taken away.

        Raises:
            BundleError: If they alone are more than the cache may hold, or the disk refuses.
        """
        place, n_bytes = self.place(key), sum(array.nbytes for array in arrays.values()) + ROOM
        if n_bytes > self._max_bytes:
            raise BundleError(
                f"{place}: needs {n_bytes:,} bytes and cache.max_bytes is {self._max_bytes:,}; raise it"
            )
        n_gone = self._make_room(place, n_bytes)

        def write(parts: Path) -> None:
            whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
            try:
                save_file(whole, parts / _FILE)
            except SafetensorError as error:
                raise unwrapped(error, parts / _FILE) from error

        publish(place, KIND, SCHEMA, {"header": header}, write)
        return n_gone

    def forget(self, key: str) -> None:
        """From now on nothing is kept under the key; the next `put` takes the bytes away."""
        with suppress(OSError):
            (self.place(key) / MANIFEST).unlink()

    def n_bytes(self) -> int:
        """Bytes that all entries take now."""
        return sum(_size(entry) for entry in self._entries())

    def _entries(self) -> Iterator[Path]:
        for entry in self.directory.iterdir():
            if _ENTRY.fullmatch(entry.name) and entry.is_dir() and not entry.is_symlink():
                yield entry

    def _make_room(self, place: Path, n_bytes: int) -> int:
        n_gone, held = 0, self.n_bytes()
        others = [entry for entry in self._entries() if entry != place]
        for entry in sorted(others, key=_last_used):
            if held + n_bytes <= self._max_bytes:
                break
            held -= _size(entry)
            withdraw(entry)
            n_gone += 1
        return n_gone


def _read(manifest: dict[str, Any], parts: Path) -> tuple[dict[str, Any], Arrays]:
    try:
        manifest["files"][_FILE]  # no checksum, no reading: KeyError
        return manifest["header"], load_file(parts / _FILE)
    except (KeyError, OSError, SafetensorError) as error:
        raise BundleError(f"{parts}: damaged ({error})") from None


def _size(entry: Path) -> int:
    total = 0
    for file in entry.rglob("*"):
        with suppress(OSError):  # another process may take it away meanwhile
            total += file.stat().st_size if file.is_file() else 0
    return total


def _last_used(entry: Path) -> float:
    for path in (entry / MANIFEST, entry):
        with suppress(OSError):
            return path.stat().st_mtime
    return 0.0
