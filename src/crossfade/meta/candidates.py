"""Which wanted items are ranked at all, list by list."""

from collections.abc import Iterable, Iterator

import numpy as np

from crossfade.fusion.base import Fused, LabelledSignals
from crossfade.types import Csr


class WantedCandidates:
    """Keeps which wanted items are among the candidates, over the lists of a block."""

    def __init__(self) -> None:
        self._found = [np.empty((2, 0), dtype=np.int64)]
        self._n_requests = 0

    def followed(
        self, parts: Iterable[tuple[LabelledSignals, Fused]]
    ) -> Iterator[tuple[LabelledSignals, Fused]]:
        """The same parts, each added on its way; an item without a score is no candidate."""
        for lists, fused in parts:
            request, place = np.nonzero(lists.relevant & np.isfinite(fused.score))
            item = lists.item_row[request, place]
            self._found.append(np.stack([self._n_requests + request, item]))
            self._n_requests += len(lists)
            yield lists, fused

    def matrix(self, n_items: int) -> Csr:
        """1 where a wanted item is a candidate of the request, ``(n, n_items)``."""
        request, item = np.concatenate(self._found, axis=1)
        ones = np.ones(len(request), dtype=np.float32)
        return Csr((ones, (request, item)), shape=(self._n_requests, n_items))
