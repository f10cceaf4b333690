"""Labels (genres, moods, creators) and the rows that stand for them; row 0 means unseen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from crossfade.arrays import pack_strings, unpack_strings
from crossfade.types import Arrays, Bools, Ints, Rows

UNSEEN = 0
"""Row of every label the base block did not show often enough."""


@dataclass(frozen=True)
class Labels:
    """A fixed map from labels to rows 1 … n; row 0 stands for all others.

    Attributes:
        names: Label of row ``i + 1`` at place ``i``: the most common first, equals by name.
    """

    names: tuple[str, ...]

    def __len__(self) -> int:
        """Number of rows, the unseen one included: the height of an embedding table."""
        return len(self.names) + 1

    @classmethod
    def fit(cls, pairs: pl.DataFrame, known: Bools, min_items: int) -> "Labels":
        """The labels that enough items carry.

        Args:
            pairs: ``row`` and ``label``; a label counts once per row.
            known: Which rows may be looked at, shape ``(n_items,)``.
            min_items: Labels on fewer known items stay unseen.
        """
        seen = pairs.filter(pl.Series(known[pairs["row"].to_numpy()], dtype=pl.Boolean))
        counts = seen.group_by("label").agg(n_items=pl.col("row").n_unique())
        common = counts.filter(pl.col("n_items") >= min_items)
        return cls(tuple(common.sort(["n_items", "label"], descending=[True, False])["label"]))

    def rows(self, labels: pl.Series | Sequence[str]) -> Rows:
        """Row of each label, shape ``(n,)``; 0 for labels it does not know.

        The labels must be written as they were at fit (see `normal`).
        """
        texts = (
            labels if isinstance(labels, pl.Series) else pl.Series(list(labels), dtype=pl.String)
        )
        codes = texts.cast(pl.Enum(self.names), strict=False).to_physical().cast(pl.Int32)
        rows: Rows = (codes + 1).fill_null(UNSEEN).to_numpy()
        return rows

    def lists(self, pairs: pl.DataFrame, n_items: int, most: int | None) -> tuple[Ints, Rows]:
        """Label rows of each item.

        Args:
            pairs: ``row`` and ``label``.
            n_items: How many items.
            most: Labels kept per item, the most common ones; None keeps all.

        Returns:
            ``indptr (n_items + 1,)`` and ``label_row``: those of item ``i`` are
            ``label_row[indptr[i]:indptr[i + 1]]``, each once, ascending but for a 0 at the end.
            An item without labels has an empty list; one with unseen labels only has ``[0]``.
        """
        item = pairs["row"].to_numpy().astype(np.int64)
        # Unseen labels come last, so that a limit drops them before any seen one.
        rank = (self.rows(pairs["label"]).astype(np.int64) - 1) % len(self)
        key = np.unique(item * len(self) + rank)
        item, label = key // len(self), (key % len(self) + 1) % len(self)
        if most is not None:
            starts = np.searchsorted(item, np.arange(n_items))
            keep = np.arange(len(item)) - starts[item] < most
            item, label = item[keep], label[keep]
        sizes = np.bincount(item, minlength=n_items)
        indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return indptr, label.astype(np.int32)

    def to_arrays(self, name: str) -> Arrays:
        """Plain arrays whose names start with ``name``."""
        return pack_strings(name, self.names)

    @classmethod
    def from_arrays(cls, name: str, arrays: Arrays) -> "Labels":
        """The inverse of `to_arrays`."""
        return cls(tuple(unpack_strings(name, arrays)))


def normal(labels: pl.Expr) -> pl.Expr:
    """How labels are compared: lower case, no space around them."""
    return labels.str.to_lowercase().str.strip_chars()


def label_pairs(items: pl.DataFrame, column: str) -> pl.DataFrame:
    """``row`` and ``label`` of a column of lists; no rows where the column is absent.

    Labels are `normal`; empty ones are left out.
    """
    if column not in items.columns:
        return pl.DataFrame(schema={"row": pl.UInt32, "label": pl.String})
    return (
        items.select(
            row=pl.int_range(pl.len(), dtype=pl.UInt32),
            label=pl.col(column).cast(pl.List(pl.String)),
        )
        .explode("label")
        .with_columns(normal(pl.col("label")))
        .filter(pl.col("label").is_not_null() & (pl.col("label") != ""))
    )


def take_lists(indptr: Ints, values: Rows, places: Ints | Rows) -> tuple[Ints, Rows]:
    """Some of the lists, in the given order, as new ``indptr`` and values."""
    starts = indptr[places]
    sizes = indptr[places + 1] - starts
    taken = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    # Place within the flat values: start of each list plus 0, 1, 2, …
    flat = np.repeat(starts - taken[:-1], sizes) + np.arange(taken[-1])
    return taken, values[flat]
