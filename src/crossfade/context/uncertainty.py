"""Uncertainty context: what an item is like, how surely that is known, and how well the item is."""

import torch
from torch import Tensor, nn

from crossfade.context.base import Extracted, Extractor
from crossfade.context.columns import UNCERTAINTY_NAMES
from crossfade.data.schema import AUDIO_FEATURES

_N_AUDIO = 2 * len(AUDIO_FEATURES)
_N_METADATA = len(UNCERTAINTY_NAMES) - _N_AUDIO


class UncertaintyContext(Extractor):
    """Audio values with their confidence, and metadata, to a vector.

    Reads the columns of `columns.uncertainty_columns`, scaled. The confidence of a guess is
    the share of variance that the audio predictor's σ leaves explained. Where no audio value
    is known, a learned vector stands for the whole audio part, so that a catalogue that says
    confidence 0 and one that says nothing are the same.

    Args:
        hidden: Width of the last hidden layer.
        output_dim: Width of the vector.
        audio_dim: Width of the audio part.
        metadata_dim: Width of the part of source, completeness, age and support.
    """

    names = UNCERTAINTY_NAMES

    def __init__(
        self,
        hidden: int = 64,
        output_dim: int = 32,
        audio_dim: int = 32,
        metadata_dim: int = 16,
    ) -> None:
        super().__init__(len(self.names), output_dim)
        self.audio = nn.Sequential(nn.Linear(2 * _N_AUDIO, audio_dim), nn.ReLU())
        self.metadata = nn.Sequential(nn.Linear(2 * _N_METADATA, metadata_dim), nn.ReLU())
        self.no_audio = nn.Parameter(torch.zeros(audio_dim))
        self.layers = nn.Sequential(
            nn.Linear(audio_dim + metadata_dim, hidden), nn.ReLU(), nn.Linear(hidden, output_dim)
        )

    def forward(self, values: Tensor, known: Tensor) -> Extracted:
        """Read some candidates; see `Extractor.forward`."""
        values, there = self.shown(values, known)
        audio = self.audio(torch.cat([values[..., :_N_AUDIO], there[..., :_N_AUDIO]], dim=-1))
        some = known[..., : len(AUDIO_FEATURES)].any(dim=-1, keepdim=True)
        audio = torch.where(some, audio, self.no_audio)
        rest = torch.cat([values[..., _N_AUDIO:], there[..., _N_AUDIO:]], dim=-1)
        return Extracted(self.layers(torch.cat([audio, self.metadata(rest)], dim=-1)))
