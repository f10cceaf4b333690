"""`Batch`: some rows of a source file, still as the file has them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import polars as pl

BATCH_ROWS = 200_000


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of one file.

    Attributes:
        file: Name of the file for messages.
        unit: What ``numbers`` count: lines of text files, rows of others.
        numbers: Int64, where each row stands in its file, from 1.
        frame: The source columns that are wanted, as text or in the types of the file.
        raw: Gives one row (by its place in the batch) as it stood in the file.
    """

    file: str
    unit: Literal["line", "row"]
    numbers: pl.Series
    frame: pl.DataFrame
    raw: Callable[[int], str]

    def __len__(self) -> int:
        return len(self.numbers)

    def where(self, keep: pl.Series) -> "Batch":
        """The rows marked True."""
        if keep.all():
            return self
        places = keep.arg_true().to_list()
        return replace(
            self,
            numbers=self.numbers.filter(keep),
            frame=self.frame.filter(keep),
            raw=lambda place: self.raw(places[place]),
        )
