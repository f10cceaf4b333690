"""Genres and moods."""

from typing import Self

import numpy as np

from crossfade.data import Dataset
from crossfade.features.labels import UNSEEN, Labels, label_pairs
from crossfade.features.modalities.base import ItemModality, known_items
from crossfade.types import Floats, Rows

COLUMNS = ("genres", "moods")

MIN_ITEMS = 2
"""A label of one item tells nothing of others."""


class Tags(ItemModality):
    """1 for each genre and mood an item carries, else 0; absent without a label that training has seen.

    What people tag is evidence of their plays, so taggings are not read.
    """

    name = "tags"
    reads = tuple(f"items.{name}" for name in COLUMNS)

    _labels: tuple[Labels, ...]

    def fit(self, log: Dataset, seed: int = 0) -> Self:  # noqa: ARG002
        """See `Modality.fit`."""
        known = known_items(log)
        self._labels = tuple(
            Labels.fit(label_pairs(log.items, name), known, MIN_ITEMS) for name in COLUMNS
        )
        return self

    def _of_items(self, data: Dataset, item_row: Rows) -> Floats:
        items = data.items[item_row]
        parts = []
        for name, labels in zip(COLUMNS, self._labels, strict=True):
            pairs = label_pairs(items, name)
            carried = np.zeros((len(item_row), len(labels)), dtype=np.float32)
            carried[pairs["row"].to_numpy(), labels.rows(pairs["label"])] = 1
            parts.append(np.delete(carried, UNSEEN, axis=1))
        columns = np.hstack(parts)
        columns[~columns.any(axis=1)] = np.nan
        return columns
