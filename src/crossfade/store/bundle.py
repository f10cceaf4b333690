"""`Bundle`: one directory that holds a whole trained system, nothing in it can run code."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from crossfade.errors import BundleError
from crossfade.files import publish, read_published, unwrapped, write_parquet
from crossfade.types import Arrays

SCHEMA = 1


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


def save_bundle(bundle: Bundle, directory: Path) -> str:
    """Write a bundle so that readers see the old or the new one, and return its version id.

    Raises:
        BundleError: If the place holds something else or the disk refuses.
    """

    def write(parts: Path) -> None:
        for name, arrays in bundle.arrays.items():
            whole = {key: np.ascontiguousarray(array) for key, array in arrays.items()}
            part = parts / f"{name}.safetensors"
            try:
                save_file(whole, part)
            except SafetensorError as error:
                raise unwrapped(error, part) from error
        for name, frame in bundle.frames.items():
            write_parquet(frame, parts / f"{name}.parquet")

    names = {"arrays": sorted(bundle.arrays), "frames": sorted(bundle.frames)}
    return publish(directory, "bundle", SCHEMA, {**bundle.header, **names}, write)


def load_bundle(directory: Path) -> Bundle:
    """Read a bundle, every file checked before any is used.

    Raises:
        BundleError: If it is missing, damaged or from a newer crossfade.
    """

    def read(manifest: dict[str, Any], parts: Path) -> Bundle:
        def checked(name: str) -> Path:
            manifest["files"][name]  # no checksum, no reading: KeyError
            return parts / name

        try:
            arrays = {n: load_file(checked(f"{n}.safetensors")) for n in manifest["arrays"]}
            frames = {n: pl.read_parquet(checked(f"{n}.parquet")) for n in manifest["frames"]}
        except (KeyError, TypeError, OSError, SafetensorError, pl.exceptions.PolarsError) as error:
            raise BundleError(f"{directory}: damaged ({error}); restore it or fit again") from None
        return Bundle(manifest, arrays, frames, manifest["version"])

    return read_published(directory, "bundle", SCHEMA, read)
