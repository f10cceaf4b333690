"""The fusion model `attention`: the context asks, the bases answer.

Shapes: B requests, L candidates, S bases, d numbers per encoded base.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from crossfade.config import Field
from crossfade.fusion.base import Columns
from crossfade.fusion.gate.config import GateConfig
from crossfade.fusion.gate.context import ContextNetwork
from crossfade.fusion.gate.inputs import GateBatch
from crossfade.fusion.gate.model import MetaFusion
from crossfade.fusion.gate.network import Gate, GateOutput, masked_softmax, silent
from crossfade.types import Floats

N_TOLD = 3
"""What an encoder reads of its base: score, rank, and whether they are there."""


class AttentionConfig(GateConfig):
    """Attention of the context over the bases."""

    base_dim: int = Field(32, ge=1, description="Width of an encoded base, of keys and queries.")


class AttentionNetwork(Gate):
    """Encoded bases, a query from the context, and one normalisation.

    Each base has an encoder of its own, (score, rank, there) → d; the request and the candidate
    give the query. Weights are
    ``softmax(query · encoding / √d + log confidence + log static weights)`` over the bases that
    are there: attention and confidence are factors of one product that is normalised once. The
    score is the weighted mean of what the bases say, as in `GateNetwork`, plus a residual read
    from the context and the attended encodings, and reported apart.

    The projection to the query and all heads start at 0, so training starts at the static blend.

    Args:
        config: Widths.
        start: Weights of the static blend, ``(S,)``.
        columns: Names of what the signals hold.

    Source:
        Vaswani et al. (2017), "Attention Is All You Need", eq. 1, for the scaled product.
    """

    def __init__(self, config: AttentionConfig, start: Floats, columns: Columns) -> None:
        super().__init__()
        n_bases, d = len(start), config.base_dim
        self.residual = config.residual
        self.context = ContextNetwork(config, columns)
        self.encoders = nn.Sequential(
            EachBase(n_bases, N_TOLD, d), nn.ReLU(), EachBase(n_bases, d, d)
        )
        self.query = silent(nn.Linear(config.hidden, d))
        self.confidence = silent(nn.Linear(config.hidden, n_bases))
        self.confidence_of_base = nn.Parameter(torch.zeros(n_bases, d))
        self.rest = silent(nn.Linear(config.hidden + d, 1))
        logits = torch.from_numpy(start).float().add(config.floor).log()
        self.start = nn.Parameter(logits)
        self.register_buffer("origin", logits.clone())
        self.of_score = nn.Parameter(torch.ones(n_bases))
        self.of_rank = nn.Parameter(torch.full((n_bases,), 0.5))
        self.sharpness = nn.Parameter(torch.tensor(1.0))

    def expect(self, frequency: float) -> None:
        """Start every base's confidence at how often candidates are wanted at all."""
        with torch.no_grad():
            self.confidence.bias.fill_(math.log(frequency / (1 - frequency)))

    def forward(self, batch: GateBatch) -> GateOutput:
        """Blend a batch."""
        hidden = self.context(batch)  # (B, L, hidden)
        told = torch.stack([batch.score, batch.rank, batch.there.float()], dim=-1)
        encoded = self.encoders(told.movedim(2, 0))  # (S, B, L, d)
        query = self.query(hidden) / math.sqrt(encoded.shape[-1])
        attention = (query * encoded).sum(dim=-1).movedim(0, -1)
        own = (encoded * self.confidence_of_base[:, None, None, :]).sum(dim=-1)
        confidence = self.confidence(hidden) + own.movedim(0, -1)
        logits = attention + functional.logsigmoid(confidence) + self.start
        weights = masked_softmax(logits, batch.there)
        says = self.of_score * batch.score + self.of_rank * batch.rank
        sharpness, parts = functional.softplus(self.sharpness), weights * says
        blended, brought = sharpness * parts.sum(dim=-1), sharpness * parts
        if not self.residual:
            nothing = torch.zeros_like(blended)
            return GateOutput(blended, weights, confidence, nothing, brought)
        attended = (weights.movedim(-1, 0)[..., None] * encoded).sum(dim=0)
        rest = self.rest(torch.cat([hidden, attended], dim=-1))[..., 0]
        return GateOutput(blended + rest, weights, confidence, rest, brought)


class EachBase(nn.Module):
    """A linear layer per base, ``(S, B, L, n_in)`` → ``(S, B, L, n_out)``."""

    def __init__(self, n_bases: int, n_in: int, n_out: int) -> None:
        super().__init__()
        reach = 1 / math.sqrt(n_in)
        self.weight = nn.Parameter(torch.empty(n_bases, n_in, n_out).uniform_(-reach, reach))
        self.bias = nn.Parameter(torch.empty(n_bases, n_out).uniform_(-reach, reach))

    def forward(self, values: Tensor) -> Tensor:
        """Apply each base's own layer."""
        rows = values.reshape(len(values), -1, values.shape[-1])
        out = torch.baddbmm(self.bias[:, None, :], rows, self.weight)
        return out.reshape(*values.shape[:-1], -1)


class AttentionFusion(MetaFusion):
    """Attention of the context over encoded bases; see `AttentionNetwork`.

    Read, trained and chosen as `meta` is: listwise on lists that the bases had not seen, from
    the static blend, the epoch that is best on validation stays.
    """

    name = "attention"
    Config = AttentionConfig

    config: AttentionConfig

    def _built(self, start: Floats) -> Gate:
        return AttentionNetwork(self.config, start, self.columns)
