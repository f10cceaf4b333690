"""Text vectors kept by content, so that only what changed is encoded again.

A cache is a directory with one folder per encoder fingerprint. In it lie shards: saved
directories (see `crossfade.files`) of a few thousand vectors each, which are written once
and never changed. A shard holds the SHA-256 of every text beside its vector. All of it can be
deleted at any time; that costs time only.
"""

import hashlib
import re
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from crossfade.errors import BundleError
from crossfade.features.text.base import TextEncoder
from crossfade.files import publish, read_published, unwrapped
from crossfade.types import Arrays, Floats

KIND = "shard of text vectors"
SCHEMA = 1

_FILE = "vectors.safetensors"
_SHARD = re.compile(r"shard-[0-9a-f]{16}")
"""Names this module gives; nothing else in a directory is read or taken away."""


def encode_cached(encoder: TextEncoder, texts: Sequence[str], directory: Path | None) -> Floats:
    """What ``encoder.encode(texts)`` gives, encoding each text at most once.

    New vectors are saved block by block, so work that is stopped is not lost. A damaged shard is
    never trusted: it is taken away with a `UserWarning`, and its texts are encoded again.

    Args:
        encoder: A fitted one.
        texts: One per item.
        directory: Where vectors are kept from call to call, created where absent; None keeps
            nothing, and only saves encoding equal texts twice.

    Returns:
        Shape ``(n, encoder.n_dims)``; NaN rows as in `TextEncoder.encode`.

    Raises:
        BundleError: If the directory cannot be written; vectors saved before stay.
    """
    wanted = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    distinct = list(wanted)
    vectors = np.full((len(distinct), encoder.n_dims), np.nan, dtype=np.float32)
    if directory is None:
        vectors[:] = encoder.encode(distinct)
    else:
        folder = directory / encoder.fingerprint()
        _make(folder)
        keys = [_key(text) for text in distinct]
        missing = np.flatnonzero(~_read(folder, keys, vectors))
        for start, fresh in encoder.encode_in_blocks([distinct[place] for place in missing]):
            places = missing[start : start + len(fresh)]
            vectors[places] = fresh
            _write(folder, [keys[place] for place in places], fresh)
    found: Floats = vectors[[wanted[text] for text in texts]]
    return found


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _make(folder: Path) -> None:
    """Before the long work, so that a wrong path does not cost it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BundleError(
            f"{folder}: cannot keep text vectors here ({error.strerror}); choose another directory"
        ) from error


def _read(folder: Path, keys: list[bytes], vectors: Floats) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Fill in the vectors that are kept; gives which, shape ``(len(keys),)``."""
    place_of = {key: place for place, key in enumerate(keys)}
    known = np.zeros(len(keys), dtype=bool)
    for shard in sorted(folder.iterdir()):
        if not _SHARD.fullmatch(shard.name):
            continue
        try:
            arrays = read_published(shard, KIND, SCHEMA, _read_shard)
        except BundleError as error:
            shutil.rmtree(shard)
            warnings.warn(f"{error}; taken away, encoding its texts again", stacklevel=3)
            continue
        kept = [key.tobytes() for key in arrays["keys"]]
        rows = [row for row, key in enumerate(kept) if key in place_of]
        places = [place_of[kept[row]] for row in rows]
        vectors[places] = arrays["vectors"][rows]
        known[places] = True
    return known


def _read_shard(manifest: dict[str, Any], parts: Path) -> Arrays:
    try:
        manifest["files"][_FILE]  # no checksum, no reading: KeyError
        arrays: Arrays = load_file(parts / _FILE)
    except (KeyError, OSError, SafetensorError) as error:
        raise BundleError(f"{parts}: damaged ({error})") from None
    return arrays


def _write(folder: Path, keys: list[bytes], vectors: Floats) -> None:
    table = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), -1)
    # Named by what it holds: two processes that encode the same at once leave one shard.
    name = f"shard-{hashlib.sha256(table.data).hexdigest()[:16]}"

    def write(parts: Path) -> None:
        arrays: dict[str, np.ndarray[Any, Any]] = {
            "keys": table,
            "vectors": np.ascontiguousarray(vectors),
        }
        try:
            save_file(arrays, parts / _FILE)
        except SafetensorError as error:
            raise unwrapped(error, parts / _FILE) from error

    publish(folder / name, KIND, SCHEMA, {"n_texts": len(keys)}, write)
