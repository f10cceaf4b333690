"""The situation somebody asks in."""

from typing import Self

from crossfade.data import Dataset
from crossfade.features.environment import EnvironmentSchema
from crossfade.features.modalities.base import Asked, Modality
from crossfade.types import Floats


class Environment(Modality):
    """Weather, mood, device: whatever events come with; see `EnvironmentSchema`. Of requests alone."""

    name = "environment"
    reads = ("events.context_*",)
    provenance = frozenset({"situation"})

    _schema: EnvironmentSchema

    def fit(self, log: Dataset, seed: int = 0) -> Self:  # noqa: ARG002
        """See `Modality.fit`."""
        self._schema = EnvironmentSchema.fit(log)
        return self

    def _columns(self, asked: Asked) -> Floats:
        if asked.queries is None:
            raise ValueError("the situation of nobody: ask with queries")
        columns = self._schema.features(asked.data, asked.queries)
        return columns[:, None, :] if asked.item_row.ndim == 2 else columns
