"""All columns of a request, or of a candidate, to one vector through the extractors of their modalities."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from crossfade.context.base import Extracted, Extractor, MaskedEncoder
from crossfade.context.columns import (
    REST,
    candidate_modalities,
    columns_of,
    request_modalities,
)
from crossfade.context.environment import EnvironmentContext
from crossfade.context.multimodal import MultiModalContext
from crossfade.context.session import SessionContext, SessionContextConfig
from crossfade.context.social import SocialContext
from crossfade.context.temporal import TemporalContext
from crossfade.context.uncertainty import UncertaintyContext

REST_HIDDEN = 64
"""Width of the hidden layer that reads what belongs to no modality."""


class ColumnsContext(nn.Module):
    """Columns side by side, each given to the extractor of its modality, joined and normalised.

    An unknown value has no influence, whatever stands in its place; see `MultiModalContext`.
    The joined vector has mean 0 and mean square 1, however many modalities it is made of, so
    what reads it starts at the same size everywhere.

    Args:
        columns: Names of the columns, C of them.
        modalities: By modality, the columns its extractor reads; ones that are not among
            ``columns`` are never known.
        extractors: By modality.
        output_dim: Width of the vector.
    """

    def __init__(
        self,
        columns: Sequence[str],
        modalities: Mapping[str, Sequence[str]],
        extractors: Mapping[str, Extractor],
        output_dim: int,
    ) -> None:
        super().__init__()
        self.n_columns = len(columns)
        self.output_dim = output_dim
        self.names = tuple(modalities)
        self.join = MultiModalContext({name: extractors[name] for name in modalities}, output_dim)
        self.norm = nn.LayerNorm(output_dim)
        # Made from the names again wherever a network is built, so no part of its state.
        for place, names in enumerate(modalities.values()):
            places = torch.from_numpy(columns_of(columns, names))
            self.register_buffer(f"places_{place}", places.clamp(min=0), persistent=False)
            self.register_buffer(f"there_{place}", places >= 0, persistent=False)

    def forward(self, told: Tensor) -> Tensor:
        """Read some rows.

        Args:
            told: Scaled values and then which are known (1, else 0), ``(..., 2 C)``.

        Returns:
            Shape ``(..., output_dim)``.
        """
        vector: Tensor = self.norm(self._joined(told).context)
        return vector

    def weights(self, told: Tensor) -> Tensor:
        """What `forward` weighs each modality with, in the order of ``names``.

        Returns:
            Shape ``(..., M)``: exactly 0 where a modality is absent and has no influence.
        """
        weights = self._joined(told).weights
        assert weights is not None
        return weights

    def _joined(self, told: Tensor) -> Extracted:
        values, known = told[..., : self.n_columns], told[..., self.n_columns :] > 0
        inputs = {}
        for place, name in enumerate(self.names):
            places, there = self.get_buffer(f"places_{place}"), self.get_buffer(f"there_{place}")
            inputs[name] = (values[..., places], known[..., places] & there)
        joined: Extracted = self.join(inputs)
        return joined


def request_context(
    columns: Sequence[str], output_dim: int, session: SessionContextConfig
) -> ColumnsContext:
    """What reads all columns of requests: session, time, situation, and the rest.

    Args:
        columns: Names of the columns.
        output_dim: Width of the vector.
        session: How session features are read.
    """
    made: dict[str, Callable[[int], Extractor]] = {
        "session": lambda _: SessionContext(session),
        "temporal": lambda _: TemporalContext(),
        "environment": EnvironmentContext,
        REST: lambda n: MaskedEncoder(n, REST_HIDDEN, output_dim),
    }
    return _context(columns, request_modalities(columns), made, output_dim)


def candidate_context(columns: Sequence[str], output_dim: int) -> ColumnsContext:
    """What reads all columns of candidates: the item and how surely it is known, friends, the rest.

    Args:
        columns: Names of the columns; see `columns.source_names`.
        output_dim: Width of the vector.
    """
    made: dict[str, Callable[[int], Extractor]] = {
        "uncertainty": lambda _: UncertaintyContext(),
        "social": lambda _: SocialContext(),
        REST: lambda n: MaskedEncoder(n, REST_HIDDEN, output_dim),
    }
    return _context(columns, candidate_modalities(columns), made, output_dim)


def _context(
    columns: Sequence[str],
    modalities: Mapping[str, Sequence[str]],
    made: Mapping[str, Callable[[int], Extractor]],
    output_dim: int,
) -> ColumnsContext:
    # Only what is present is made: what is never read would be drawn, saved, and never learn.
    extractors = {name: made[name](len(names)) for name, names in modalities.items()}
    return ColumnsContext(columns, modalities, extractors, output_dim)
