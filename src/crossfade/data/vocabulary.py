"""External ids and the rows that stand for them."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import polars as pl

from crossfade.errors import ConfigError, DataError, UnknownIdError
from crossfade.types import Rows


def check_texts(name: str, given: Any) -> None:
    """Raise unless something is a list of texts: a text alone is a list of letters to Python.

    Args:
        name: What it is called by whoever gave it.
        given: Any iterable of ids or labels.

    Raises:
        ConfigError: If it is not.
    """
    if isinstance(given, str):
        raise ConfigError(
            f'{name} must be a list of texts, got the text "{given}"; write ["{given}"]'
        )
    odd = [one for one in given if not isinstance(one, str)]
    if odd:
        raise ConfigError(
            f'{name} must be a list of texts, got {type(odd[0]).__name__} {odd[0]}; write it as "{odd[0]}"'
        )


class Vocabulary:
    """A fixed two-way map between external ids (text) and rows (0 … n − 1).

    Rows follow the sorted order of the ids, so they do not depend on the order of
    a file.
    """

    def __init__(self, noun: str, ids: pl.Series) -> None:
        """Take ids that are already unique and sorted; use `of` for any others."""
        self.noun = noun
        self.ids = ids
        self._row_of: dict[str, int] | None = None

    @classmethod
    def of(cls, noun: str, *columns: pl.Series) -> "Vocabulary":
        """The sorted union of some id columns.

        Raises:
            DataError: If an id is missing.
        """
        ids = pl.concat([column.cast(pl.String).unique() for column in columns]).unique().sort()
        if ids.null_count():
            raise DataError(f"{noun}_id: some ids are missing; fill them in or drop those rows")
        return cls(noun, ids.rename(f"{noun}_id"))

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        ends = f", {self.ids[0]!r} to {self.ids[-1]!r}" if len(self) else ""
        return f"Vocabulary({len(self):,} {self.noun}s{ends})"

    def __contains__(self, external_id: str) -> bool:
        return external_id in self._rows()

    def row(self, external_id: str) -> int:
        """Row of one id.

        Raises:
            UnknownIdError: If there is no such id.
        """
        try:
            return self._rows()[external_id]
        except KeyError:
            raise UnknownIdError(
                f'{self.noun} "{external_id}" is unknown among {len(self):,} {self.noun}s; {_mend(external_id)}'
            ) from None

    def rows(self, external_ids: Iterable[str]) -> Rows:
        """Rows of many ids, -1 where an id is unknown."""
        known = self._rows()
        return np.fromiter((known.get(x, -1) for x in external_ids), dtype=np.int32)

    def encode(self, column: pl.Series) -> pl.Series:
        """Rows of a whole column, null where an id is unknown or missing."""
        enum = pl.Enum(self.ids)
        return column.cast(pl.String).cast(enum, strict=False).to_physical().cast(pl.Int32)

    def id(self, row: int) -> str:
        """External id of one row."""
        return str(self.ids[int(row)])

    def decode(self, rows: Sequence[int] | Rows) -> list[str]:
        """External ids of many rows."""
        return [str(x) for x in self.ids.gather(np.asarray(rows, dtype=np.int64)).to_list()]

    def _rows(self) -> dict[str, int]:
        # Built on first use: fitting needs no dictionary, a million-user one costs 100 MB.
        if self._row_of is None:
            self._row_of = {x: row for row, x in enumerate(self.ids.to_list())}
        return self._row_of


def _mend(external_id: object) -> str:
    return "check the id" if isinstance(external_id, str) else f'ids are text: "{external_id}"'
