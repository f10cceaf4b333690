"""Saved directories that are whole or absent: checksums, atomic publishing, strict reading.

A saved directory holds ``manifest.json`` and one folder of parts that the
manifest names, with the SHA-256 of each. New parts are written beside the old
ones, and one atomic rename of the manifest makes them current. A crash or a full
disk before that rename leaves the old version as it was.
"""

from crossfade.files.disk import (
    alone_in,
    claimed,
    flush_names,
    remove,
    replace_json,
    sha256,
    unwrapped,
    write_parquet,
)
from crossfade.files.publishing import adopt, publish, refuse_foreign, withdraw
from crossfade.files.reading import (
    MANIFEST,
    is_version,
    open_published,
    parts_of,
    read_manifest,
    read_published,
)

__all__ = [
    "MANIFEST",
    "adopt",
    "alone_in",
    "claimed",
    "flush_names",
    "is_version",
    "open_published",
    "parts_of",
    "publish",
    "read_manifest",
    "read_published",
    "refuse_foreign",
    "remove",
    "replace_json",
    "sha256",
    "unwrapped",
    "withdraw",
    "write_parquet",
]
