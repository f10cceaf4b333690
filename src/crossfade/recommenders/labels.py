"""Genres and moods as a sparse matrix, for the recommenders that reason with them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from crossfade.arrays import pack_csr, pack_strings, unpack_csr, unpack_strings
from crossfade.data import Dataset, Queries
from crossfade.features.labels import label_pairs, normal
from crossfade.types import Arrays, Csr, Doubles, Floats, Rows

LABEL_COLUMNS = ("genres", "moods")


@dataclass(frozen=True)
class ItemLabels:
    """Which labels each item carries.

    Attributes:
        names: Column and label, such as ``"genres:jazz"``, sorted.
        share: Shape ``(n_items, n_labels)``; an item's mass split evenly over its labels.
    """

    names: tuple[str, ...]
    share: Csr

    @classmethod
    def of(cls, dataset: Dataset) -> "ItemLabels":
        """The labels of a catalogue; without genres and moods there are none."""
        pairs = pl.concat(
            label_pairs(dataset.items, column).with_columns(
                label=pl.concat_str(pl.lit(f"{column}:"), pl.col("label"))
            )
            for column in LABEL_COLUMNS
        ).unique()
        names = tuple(pairs["label"].unique().sort())
        column = pairs["label"].cast(pl.Enum(names)).to_physical().to_numpy()
        shape = (dataset.n_items, len(names))
        ones = np.ones(len(column), dtype=np.float32)
        share = Csr((ones, (pairs["row"].to_numpy(), column)), shape=shape)
        sizes = np.diff(share.indptr)
        share.data = (1 / np.repeat(sizes, sizes)).astype(np.float32)
        return cls(names, share)

    @property
    def n_of_item(self) -> Rows:
        """Labels of each item, shape ``(n_items,)``."""
        return np.diff(self.share.indptr).astype(np.int32)

    def stated(self, queries: Queries) -> Csr:
        """See `stated_labels`."""
        return stated_labels(queries, self.names)

    def nearest(self, liked: Rows, item_rows: Rows) -> Floats:
        """Largest cosine between each item's labels and those of a liked item.

        Returns:
            Shape ``(len(item_rows),)``; NaN for items without labels, and everywhere where
            no liked item has one.
        """
        size = np.sqrt(np.maximum(self.n_of_item, 1)).astype(np.float32)
        labelled = liked[self.n_of_item[liked] > 0]
        if not len(labelled):
            return np.full(len(item_rows), np.nan, dtype=np.float32)
        # Entries are 1 / n, so a product is the number of shared labels / (n m); the cosine
        # is that number / sqrt(n m).
        shared = self.share[item_rows] @ self.share[labelled].T
        cosine = (
            Csr(shared).toarray() * np.square(size[item_rows])[:, None] * np.square(size[labelled])
        )
        cosine /= size[item_rows][:, None] * size[labelled]
        best: Floats = cosine.max(axis=1).astype(np.float32)
        best[self.n_of_item[item_rows] == 0] = np.nan
        return best

    def state(self) -> Arrays:
        """Plain arrays; see `restore`."""
        return {**pack_strings("labels.names", self.names), **pack_csr("labels.share", self.share)}

    @classmethod
    def restore(cls, state: Arrays) -> "ItemLabels":
        """The inverse of `state`."""
        names = tuple(unpack_strings("labels.names", state))
        return cls(names, unpack_csr("labels.share", state))


def stated_labels(queries: Queries, names: Sequence[str]) -> Csr:
    """1 for each label somebody says they like, shape ``(n, len(names))``.

    Args:
        queries: Their tastes; labels are compared without case and outer spaces.
        names: Column and label, such as ``"genres:jazz"``, sorted. Other labels are left out.
    """
    shape = (len(queries), len(names))
    if queries.tastes is None or not names:
        return Csr(np.zeros(shape, dtype=np.float32))
    asked = pl.DataFrame(
        [
            (row, column, label)
            for row, taste in enumerate(queries.tastes)
            for column in LABEL_COLUMNS
            for label in getattr(taste, column)
        ],
        schema={"row": pl.Int64, "column": pl.String, "label": pl.String},
        orient="row",
    )
    name = pl.concat_str("column", pl.lit(":"), normal(pl.col("label")))
    known = asked.select("row", place=name.cast(pl.Enum(names), strict=False).to_physical())
    known = known.drop_nulls().unique().sort("row", "place")
    where = (known["row"].to_numpy(), known["place"].to_numpy())
    return Csr((np.ones(known.height, dtype=np.float32), where), shape=shape)


def mass_shares(labels: ItemLabels, weight: Doubles) -> Doubles:
    """Share of the items' weight that falls on each label, shape ``(n_labels,)``; sums to 1."""
    mass = np.asarray(labels.share.T @ weight)
    total = mass.sum()
    return mass / total if total > 0 else mass


def no_labels_notice(name: str, labels: ItemLabels) -> tuple[str, ...]:
    """Says that a recommender has nothing to reason with."""
    if labels.names:
        return ()
    return (f"{name}: the catalogue has no genres or moods, so it scores nothing",)
