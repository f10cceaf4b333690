"""Vectors that something else made of the items, such as of their images."""

from typing import Self

import numpy as np

from crossfade.data import Dataset
from crossfade.data.vectors import PREFIX
from crossfade.errors import DataError
from crossfade.features.modalities.base import ItemModality
from crossfade.types import Floats, Rows


class Vectors(ItemModality):
    """One table of vectors, each scaled to length 1; absent where an item has none, or one of zeros.

    Args:
        name: Of the table.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.reads = (f"{PREFIX}{name}",)

    _width: int

    def fit(self, log: Dataset, seed: int = 0) -> Self:  # noqa: ARG002
        """Nothing is learned but how wide the vectors are."""
        self._width = len(log.vectors[self.name]["vector"][0])
        return self

    def _of_items(self, data: Dataset, item_row: Rows) -> Floats:
        """See `ItemModality`.

        Raises:
            DataError: If the vectors are wider or narrower than at fit.
        """
        out = np.full((data.n_items, self._width), np.nan, dtype=np.float32)
        if self.name in data.vectors:
            table = data.vectors[self.name]
            vectors = table["vector"].to_numpy()
            if vectors.shape[1] != self._width:
                raise DataError(
                    f"{data.name}: vectors of {self.name} have {vectors.shape[1]} numbers and had {self._width} "
                    "when the modality was fitted; import those of the same maker, or fit again"
                )
            # In double precision: the square of a large number is no 32-bit one.
            length = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
            some = length[:, 0] > 0
            out[table["item_row"].to_numpy()[some]] = vectors[some] / length[some]
        return out[item_row]
