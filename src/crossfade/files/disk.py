"""Single steps on a disk: digests, locks, files that are on it for good."""

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import polars as pl


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flushed_sha256(path: Path) -> str:
    """Digest of a part that is on the disk for good, so that the manifest never outlives it."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())
    return sha256(path)


def flush_names(directory: Path) -> None:
    """Put the names in a directory on the disk for good: a rename lives there, not in the file."""
    if sys.platform == "win32":  # which opens no directories
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        # Some network disks cannot flush directories; there only a power cut can lose a rename.
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def link_or_copy(source: Path, target: Path) -> None:
    """A second name for a file's bytes; a copy of its own where the disk cannot give one.

    Saved files are never changed in place, so neither name can change what the other reads.

    Raises:
        OSError: If the disk refuses both.
    """
    try:
        target.hardlink_to(source)
    except OSError:  # another disk, or one without hard links
        shutil.copyfile(source, target)
        with target.open("r+b") as file:
            os.fsync(file.fileno())


def replace_json(path: Path, value: dict[str, Any], pending: Path) -> None:
    """Write a JSON file so that readers see the old or the new one.

    Args:
        path: The file.
        value: JSON-ready.
        pending: Where it is written first, in the same directory; left behind by a failure.

    Raises:
        OSError: If the disk refuses.
        TypeError: If the value cannot be JSON.
        ValueError: If it holds NaN or an infinite number.
    """
    with pending.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    pending.replace(path)
    flush_names(path.parent)


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


@contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """One writer at a time: each takes away what others left, which it holds to be given up."""
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


@contextmanager
def claimed(directory: Path) -> Iterator[bool]:
    """Long work that one process at a time may do: whether it is ours until the end of the block.

    Nobody waits, and nothing is left behind by a kill. It does not keep `alone_in` from anybody who
    claims another directory.
    """
    if sys.platform == "win32":  # which has no lock on directories
        yield True
        return
    import fcntl

    handle = os.open(directory, os.O_RDONLY)
    try:
        ours = True
        with suppress(OSError):  # as in `alone_in`
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                ours = False
        yield ours
    finally:
        os.close(handle)


def remove(entry: Path) -> None:
    """Take away a folder or file of ours; what the system will not give up can wait for the next save."""
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        with suppress(OSError):
            entry.unlink(missing_ok=True)
