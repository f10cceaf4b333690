"""Social context: how many friends a person has, and whether they wanted the candidate."""

from crossfade.context.base import MaskedEncoder
from crossfade.features.social import SOCIAL


class SocialContext(MaskedEncoder):
    """Features of `crossfade.features.social` to a vector; unknown where there is no friend table."""

    names = SOCIAL

    def __init__(self, hidden: int = 32, output_dim: int = 16) -> None:
        super().__init__(len(self.names), hidden, output_dim)
