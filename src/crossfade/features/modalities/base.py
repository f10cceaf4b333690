"""`Modality`: what turns one way of knowing something into columns, and says where nothing is known."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, Self

import numpy as np

from crossfade.data import Dataset, Queries
from crossfade.types import Bools, Floats, Rows

Provenance = Literal["content", "events", "social", "situation"]
"""What columns are made of: what the catalogue says of an item whatever its fame; events, summed up; people's
ties; where and how somebody asks."""


class Encoded(NamedTuple):
    """What a modality says.

    Attributes:
        values: Shape ``(..., d)``; 0 where not known, and never to be looked at there.
        known: Where there is a value, same shape. A row without any is an absent modality.
    """

    values: Floats
    known: Bools

    @classmethod
    def of(cls, columns: Floats) -> "Encoded":
        """From columns that are NaN where missing."""
        known = np.isfinite(columns)
        return cls(np.where(known, columns, 0).astype(np.float32, copy=False), known)


@dataclass(frozen=True, eq=False)
class Asked:
    """What modalities are asked about.

    Attributes:
        data: The log and catalogue to look at.
        item_row: Items ``(n,)``, or candidates of each request ``(B, L)``; -1 pads.
        queries: B requests; None where only items are asked about.
    """

    data: Dataset
    item_row: Rows
    queries: Queries | None = None


class Modality(ABC):
    """One way of knowing something.

    A subclass sets the attributes and writes `fit` and `_columns`; listing it in
    `registry.MODALITIES` is all there is to adding it.

    Attributes:
        name: Stable name in settings and reports.
        reads: Columns and tables it looks at.
        provenance: All that its columns are made of; whoever may not read one of these gets none of it.
    """

    name: str
    reads: tuple[str, ...]
    provenance: ClassVar[frozenset[Provenance]]

    @abstractmethod
    def fit(self, log: Dataset, seed: int = 0) -> Self:
        """Learn from a log, and of its catalogue from no item that nobody knew of; forget any earlier fit."""

    @abstractmethod
    def _columns(self, asked: Asked) -> Floats:
        """As the values of `encode`, NaN where missing."""

    def encode(self, asked: Asked) -> Encoded:
        """What is known of some items or requests.

        Returns:
            Shape ``(*item_row.shape, d)`` for what depends on the item. For what depends on the request
            alone ``(B, d)``, or ``(B, 1, d)`` beside candidates ``(B, L)``. d is 0 where the
            training log had nothing of it.
        """
        return Encoded.of(self._columns(asked))


class ItemModality(Modality):
    """What is known of items, whoever asks; a subclass writes `fit` and `_of_items`."""

    provenance = frozenset({"content"})

    @abstractmethod
    def _of_items(self, data: Dataset, item_row: Rows) -> Floats:
        """Columns of some items, each asked for once, ``(n, d)``; NaN where missing."""

    def _columns(self, asked: Asked) -> Floats:
        rows, place = np.unique(asked.item_row, return_inverse=True)
        columns = self._of_items(asked.data, rows[rows >= 0])
        # Padding, which comes first, is an item of which nothing is known.
        padding = np.full((int((rows < 0).any()), columns.shape[1]), np.nan, dtype=np.float32)
        return np.concatenate([padding, columns])[place.reshape(asked.item_row.shape)]


def known_items(log: Dataset) -> Bools:
    """Items somebody could have known of at the end of a log, shape ``(n_items,)``."""
    times = log.time_us
    return log.known_items(None if times is None else int(times[-1]) + 1)
