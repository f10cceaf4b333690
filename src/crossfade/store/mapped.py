"""Arrays of a safetensors file that come from the disk when they are first looked at."""

import json
import mmap
from pathlib import Path

import numpy as np
from safetensors import safe_open

from crossfade.types import Arrays

_KINDS = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "F16": "<f2", "U32": "<u4",
    "I32": "<i4", "F32": "<f4", "U64": "<u8", "I64": "<i8", "F64": "<f8", "C64": "<c8",
}  # fmt: skip
_LENGTH = 8
"""Bytes at the start of a file that say how long its header is."""


def map_arrays(path: Path) -> Arrays:
    """The arrays of a safetensors file, in its order, without reading them.

    Pages are shared with all processes that map the file, as long as nobody writes. Writing to
    an array changes a copy that this process alone sees, and never the file. The file must not
    be changed in place while the arrays live; `publish` never does that, and a file that is
    deleted stays until they are gone.

    Raises:
        KeyError: If an array is of a kind that NumPy lacks.
        OSError: If the file cannot be opened.
        SafetensorError: If its header is damaged.
    """
    # The library's own checks: no array reaches beyond the file or into another.
    with safe_open(path, "numpy"), path.open("rb") as file:
        # Copy on write, not read-only: kernels compiled for arrays that can be written would be
        # compiled again for others, and PyTorch warns of them.
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    start = _LENGTH + int.from_bytes(mapped[:_LENGTH], "little")
    header = json.loads(mapped[_LENGTH:start])
    header.pop("__metadata__", None)
    return {
        name: np.ndarray(
            tuple(about["shape"]), _KINDS[about["dtype"]], mapped, start + about["data_offsets"][0]
        )
        for name, about in header.items()
    }
