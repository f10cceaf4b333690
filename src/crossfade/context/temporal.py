"""Temporal context: when a request is, and how long its person has been away."""

from crossfade.context.base import MaskedEncoder
from crossfade.features.dictionary import TEMPORAL_FEATURE_NAMES


class TemporalContext(MaskedEncoder):
    """The seven temporal features of the data dictionary to a vector."""

    names = TEMPORAL_FEATURE_NAMES

    def __init__(self, hidden: int = 32, output_dim: int = 16) -> None:
        super().__init__(len(self.names), hidden, output_dim)
