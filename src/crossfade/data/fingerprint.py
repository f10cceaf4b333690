"""Digests of content: equal data gives equal text, wherever it was read from and however often it was saved."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import polars as pl

from crossfade.config import Settings
from crossfade.data.dataset import Dataset
from crossfade.types import Csr


def fingerprint(*values: Any) -> str:
    """Hex SHA-256 over data sets, trials, requests, frames, arrays and plain values.

    Of a data set every table and the target count, its name does not. What stands under a null
    counts nowhere. Two numbers count as equal where their bytes are.

    Raises:
        TypeError: If a value is of none of these kinds.
    """
    seen = _Seen()
    for value in values:
        seen.add(value)
    return seen.hexdigest()


class _Seen:
    """A running digest; a frame that comes again, as a catalogue does in every trial, is read once."""

    def __init__(self, frames: dict[int, str] | None = None) -> None:
        self._sha = hashlib.sha256()
        self._frames: dict[int, str] = {} if frames is None else frames

    def hexdigest(self) -> str:
        return self._sha.hexdigest()

    def add(self, value: Any) -> None:
        if isinstance(value, Dataset):
            self._record("dataset", {"target": value.target, **value.tables()})
        elif isinstance(value, pl.DataFrame):
            self._plain(["frame", self._of_frame(value)])
        elif isinstance(value, Csr):
            shape = [int(n) for n in value.shape]
            parts = {"indptr": value.indptr, "indices": value.indices, "data": value.data}
            self._record("csr", {"shape": shape, **parts})
        elif isinstance(value, np.ndarray):
            self._array(value)
        elif isinstance(value, Settings):
            self._plain(value.model_dump(mode="json"))
        elif is_dataclass(value) and not isinstance(value, type):
            parts = {field.name: getattr(value, field.name) for field in fields(value)}
            self._record(type(value).__name__, parts)
        elif isinstance(value, tuple):
            self._record("tuple", dict(enumerate(value)))
        else:
            self._plain(value)

    def _record(self, kind: str, parts: Mapping[Any, Any]) -> None:
        self._plain([kind, *parts])
        for part in parts.values():
            self.add(part)

    def _of_frame(self, frame: pl.DataFrame) -> str:
        if id(frame) not in self._frames:
            inside = _Seen(self._frames)
            for column in frame.get_columns():
                inside._column(column)
            self._frames[id(frame)] = inside.hexdigest()
        return self._frames[id(frame)]

    def _plain(self, value: Any) -> None:
        """Text with its length, so that no two sequences of values read the same."""
        text = json.dumps(value, sort_keys=True).encode()
        self._sha.update(f"{len(text)}:".encode() + text)

    def _array(self, array: np.ndarray[Any, Any]) -> None:
        self._plain(["array", array.dtype.str, list(array.shape)])
        self._sha.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)

    def _column(self, column: pl.Series) -> None:
        self._plain(["column", column.name, str(column.dtype), len(column)])
        if column.null_count():  # where, and then what is there: under a null anything may stand
            self._array(np.packbits(column.is_null().to_numpy()))
            column = column.drop_nulls()
        kind = column.dtype
        if isinstance(kind, pl.Struct):
            for name in column.struct.fields:
                self._column(column.struct.field(name))
        elif isinstance(kind, pl.Array | pl.List):
            lists = column.cast(pl.List(kind.inner))
            self._array(lists.list.len().to_numpy())
            self._column(lists.filter(lists.list.len() > 0).explode())
        elif kind.is_numeric() and not kind.is_decimal():
            self._array(column.to_numpy())
        elif kind.is_temporal():
            self._array(column.to_physical().to_numpy())
        elif kind == pl.Boolean:
            self._array(np.packbits(column.to_numpy()))
        elif kind == pl.Binary:
            self._texts(column.bin.encode("hex"))
        elif kind != pl.Null:
            self._texts(column.cast(pl.String))

    def _texts(self, texts: pl.Series) -> None:
        self._array(texts.str.len_bytes().to_numpy())
        self._sha.update("".join(texts.to_list()).encode())
