"""What the friends of who asks did with the candidates."""

from typing import Self

from crossfade.data import Dataset
from crossfade.features.modalities.base import Asked, Modality
from crossfade.features.social import FriendFeatures
from crossfade.types import Floats


class Social(Modality):
    """How many friends somebody has and how many of them wanted a candidate; see `FriendFeatures`.

    What friends wanted is a sum over events, so whoever may not read event aggregates may not read this.
    """

    name = "social"
    reads = ("friends", "events")
    provenance = frozenset({"social", "events"})

    _friends: FriendFeatures

    def fit(self, log: Dataset, seed: int = 0) -> Self:  # noqa: ARG002
        """See `Modality.fit`."""
        self._friends = FriendFeatures.of(log)
        return self

    def _columns(self, asked: Asked) -> Floats:
        if asked.queries is None:
            raise ValueError("the friends of nobody: ask with queries, and candidates (B, L)")
        return self._friends.features(asked.queries.user_row, asked.item_row)
