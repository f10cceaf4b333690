"""`Fault`: one check of many rows from outside, and which of them fail it."""

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class Fault:
    """One check over one column of a batch.

    Attributes:
        check: Stable name, such as ``"bad_timestamp"``.
        column: Source column, or "" where the whole row is meant.
        bad: True where a row fails the check.
        found: The offending values as text, one per row of the batch.
        mend: What the person can do about it.
    """

    check: str
    column: str
    bad: pl.Series
    found: pl.Series
    mend: str
