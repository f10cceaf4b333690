"""`Bundle`: one directory that holds a whole trained system, nothing in it can run code."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors import SafetensorError
from safetensors.numpy import save_file

from crossfade.errors import BundleError
from crossfade.files import publish, read_published, unwrapped, write_parquet
from crossfade.store.mapped import map_arrays
from crossfade.types import Arrays

SCHEMA = 2
"""2: the header names under ``derived`` what is kept of what the tables imply."""

_OWN_FIELDS = frozenset({"arrays", "crossfade", "files", "frames", "kind", "schema", "version"})
"""What every manifest of a bundle holds beside the header."""


@dataclass(frozen=True)
class Bundle:
    """What a bundle holds.

    Attributes:
        header: JSON-ready facts: settings, data fingerprint, metrics.
        arrays: Named groups of arrays, one per fitted part.
        frames: Named tables.
        version: Set when read from disk.
    """

    header: dict[str, Any]
    arrays: dict[str, Arrays]
    frames: dict[str, pl.DataFrame]
    version: str = ""


_CHANGED = "it was changed by hand or written by another crossfade; restore it or fit again"


def _with_nothing_derived(bundle: Bundle) -> Bundle:
    return replace(bundle, header={**bundle.header, "derived": []})


MIGRATIONS: dict[int, Callable[[Bundle], Bundle]] = {1: _with_nothing_derived}
"""From each older schema to the next one. A schema that no chain of these leads on from is refused."""


def save_bundle(bundle: Bundle, directory: Path) -> str:
    """Write a bundle so that readers see the old or the new one, and return its version id.

    Raises:
        BundleError: If the place holds something else or the disk refuses.
    """

    def write(parts: Path) -> None:
        for name, arrays in bundle.arrays.items():
            # Not `ascontiguousarray`, which gives single numbers a dimension.
            whole = {key: np.asarray(array, order="C") for key, array in arrays.items()}
            part = parts / f"{name}.safetensors"
            try:
                save_file(whole, part)
            except SafetensorError as error:
                raise unwrapped(error, part) from error
        for name, frame in bundle.frames.items():
            write_parquet(frame, parts / f"{name}.parquet")

    names = {"arrays": sorted(bundle.arrays), "frames": sorted(bundle.frames)}
    return publish(directory, "bundle", SCHEMA, {**bundle.header, **names}, write)


def load_bundle(directory: Path, fields: Collection[str] | None = None) -> Bundle:
    """Read a bundle, every file checked before any is used.

    Arrays are mapped, not read; see `map_arrays`.

    Args:
        directory: Where it lives.
        fields: What its header may hold; None takes anything.

    Raises:
        BundleError: If it is missing, damaged, from a newer crossfade, from one too old, or holds
            anything that is not expected.
    """

    def read(manifest: dict[str, Any], parts: Path) -> Bundle:
        _refuse_odd_files(directory, manifest)
        try:
            arrays = {n: map_arrays(parts / f"{n}.safetensors") for n in manifest["arrays"]}
            # In one piece: a column in many is copied each time somebody wants it as an array.
            frames = {
                n: pl.read_parquet(parts / f"{n}.parquet").rechunk() for n in manifest["frames"]
            }
        except (KeyError, OSError, SafetensorError, pl.exceptions.PolarsError) as error:
            raise BundleError(f"{directory}: damaged ({error}); restore it or fit again") from None
        bundle = _migrated(Bundle(manifest, arrays, frames, manifest["version"]))
        unknown = set() if fields is None else bundle.header.keys() - set(fields) - _OWN_FIELDS
        if unknown:
            raise BundleError(
                f"{directory}: unknown field {min(unknown)} in its manifest; {_CHANGED}"
            )
        return bundle

    return read_published(directory, "bundle", SCHEMA, read, oldest_schema())


def oldest_schema() -> int:
    """The oldest layout from which `MIGRATIONS` lead to today's without a gap."""
    oldest = SCHEMA
    while oldest - 1 in MIGRATIONS:
        oldest -= 1
    return oldest


def _migrated(bundle: Bundle) -> Bundle:
    """The same system in today's layout."""
    for schema in range(bundle.header["schema"], SCHEMA):
        bundle = MIGRATIONS[schema](bundle)
        bundle = replace(bundle, header={**bundle.header, "schema": schema + 1})
    return bundle


def _refuse_odd_files(directory: Path, manifest: dict[str, Any]) -> None:
    """Raise unless the files are exactly the arrays and frames of the manifest."""
    named = [manifest.get("arrays"), manifest.get("frames")]
    if not all(isinstance(g, list) and all(isinstance(name, str) for name in g) for g in named):
        raise BundleError(f"{directory}: damaged (no list of arrays and frames); {_CHANGED}")
    expected = {f"{name}.safetensors" for name in manifest["arrays"]}
    expected |= {f"{name}.parquet" for name in manifest["frames"]}
    odd = sorted(expected ^ manifest["files"].keys())
    if odd:
        raise BundleError(
            f"{directory}: damaged ({odd[0]} is not both a file and an array or frame of its manifest); "
            f"{_CHANGED}"
        )
