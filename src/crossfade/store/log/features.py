"""`Features`: what a learned blend was told when it made a list, in few bytes."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from crossfade.errors import StoreError
from crossfade.types import Floats

_SINGLE = np.dtype("<f4")


@dataclass(frozen=True)
class Features:
    """Context features of one request and of the n items it was answered with, as they were served.

    Attributes:
        request_names: Of the Cu features of a request.
        item_names: Of the Ci features of an item.
        packed: All values in single precision, compressed; see `of`.
    """

    request_names: tuple[str, ...]
    item_names: tuple[str, ...]
    packed: bytes = field(repr=False)

    @classmethod
    def of(
        cls, request_names: Sequence[str], item_names: Sequence[str], request: Floats, items: Floats
    ) -> Self:
        """From values, NaN where missing.

        Args:
            request_names: Of the features of the request.
            item_names: Of those of items.
            request: Shape ``(Cu,)``.
            items: Shape ``(n, Ci)``.
        """
        values = np.concatenate([request, items.ravel()]).astype(_SINGLE)
        # Level 1: others take several times as long for a few bytes less.
        return cls(tuple(request_names), tuple(item_names), zlib.compress(values.tobytes(), 1))

    def values(self) -> tuple[Floats, Floats]:
        """Of the request, ``(Cu,)``, and of the items, ``(n, Ci)``.

        Raises:
            StoreError: If these are the values of other names.
        """
        values = np.frombuffer(zlib.decompress(self.packed), _SINGLE).astype(np.float32)
        n_request, n_item = len(self.request_names), len(self.item_names)
        rest = len(values) - n_request
        if rest < 0 or rest % max(1, n_item):
            raise StoreError(
                f"{len(values)} features are not those of {n_request} names of requests and {n_item} of "
                "items; the row is damaged, delete it"
            )
        return values[:n_request], values[n_request:].reshape(-1, max(1, n_item))[:, :n_item]
