"""The meta-learning fusion network.

Shapes: B requests, L candidates, S bases.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from crossfade.fusion.base import Columns
from crossfade.fusion.gate.config import GateConfig
from crossfade.fusion.gate.context import item_layer, user_layer
from crossfade.fusion.gate.inputs import N_AGREEMENT, GateBatch
from crossfade.training.dropout import Dropout
from crossfade.types import Floats


@dataclass(frozen=True, eq=False)
class GateOutput:
    """What a gate says of a batch.

    Attributes:
        score: ``(B, L)``.
        weights: Sum to 1 over the bases that are there, ``(B, L, S)``; 0 where none is.
        confidence: Logit of the probability that each base's candidate is wanted, ``(B, L, S)``.
        residual: Part of the score that no base accounts for, ``(B, L)``.
        brought: What each base brought to the rest of it, ``(B, L, S)``.
    """

    score: Tensor
    weights: Tensor
    confidence: Tensor
    residual: Tensor
    brought: Tensor


class Gate(nn.Module):
    """A network that weighs bases, as training and serving know it: `GateBatch` → `GateOutput`.

    Attributes:
        origin: Logarithm of the static weights that training started from, ``(S,)``.
    """

    origin: Tensor

    def expect(self, frequency: float) -> None:
        """Told before training how often a scored candidate is wanted, within 0 and 1."""

    def static_weights(self, there: Tensor) -> Tensor:
        """Weights of the static blend over the bases that are there, ``(B, L, S)``."""
        return masked_softmax(self.origin.expand(there.shape), there)


class GateNetwork(Gate):
    """Context → weights of the bases, their confidences, and a residual.

    The request's context (``user_dim``) and the candidate's (``item_dim``) are read apart,
    joined by a low-rank product, and go with the scores of the bases and their agreement
    through ``n_layers`` hidden layers. Weights are
    ``softmax(gate logits + log confidence + log static weights)`` over the bases that are
    there; the score is their weighted mean of what each base says, a learned mix of its score
    and its rank, plus the residual. All heads start at the same for every base, so training
    starts at a static blend, with the weights that were tuned and a little for each base.

    Args:
        config: Widths.
        start: Weights of the static blend, ``(S,)``.
        columns: Names of what the signals hold.
    """

    def __init__(self, config: GateConfig, start: Floats, columns: Columns) -> None:
        super().__init__()
        n_bases = len(start)
        self.residual = config.residual
        self.user = user_layer(config, columns)
        self.extract, n_item = item_layer(config, columns)
        self.item = nn.Linear(n_item, config.item_dim)
        self.meeting = nn.Linear(config.user_dim, config.item_dim)
        width = 3 * n_bases + N_AGREEMENT + n_item + config.user_dim + config.item_dim
        self.layers = nn.Sequential()
        for _ in range(config.n_layers):
            self.layers.extend(
                [nn.Linear(width, config.hidden), nn.ReLU(inplace=True), Dropout(config.dropout)]
            )
            width = config.hidden
        self.gate = silent(nn.Linear(width, n_bases))
        self.confidence = silent(nn.Linear(width, n_bases))
        self.rest = silent(nn.Linear(width, 1))
        logits = torch.from_numpy(start).float().add(config.floor).log()
        self.start = nn.Parameter(logits)
        self.register_buffer("origin", logits.clone())
        self.of_score = nn.Parameter(torch.ones(n_bases))
        self.of_rank = nn.Parameter(torch.full((n_bases,), 0.5))
        self.sharpness = nn.Parameter(torch.tensor(1.0))

    def forward(self, batch: GateBatch) -> GateOutput:
        """Blend a batch."""
        user = self.user(batch.user)  # (B, user_dim)
        item = self.extract(batch.item)  # (B, L, width)
        met = self.meeting(user)[:, None, :] * self.item(item)  # (B, L, item_dim)
        hidden = self._first(torch.cat([batch.base, item, met], dim=-1), user)
        for layer in list(self.layers)[1:]:
            hidden = layer(hidden)
        confidence = self.confidence(hidden)
        logits = self.gate_logits(hidden, batch) + functional.logsigmoid(confidence) + self.start
        weights = masked_softmax(logits, batch.there)
        says = self.of_score * batch.score + self.of_rank * batch.rank
        sharpness, parts = functional.softplus(self.sharpness), weights * says
        blended, brought = sharpness * parts.sum(dim=-1), sharpness * parts
        rest = self.rest(hidden)[..., 0] if self.residual else torch.zeros_like(blended)
        return GateOutput(blended + rest, weights, confidence, rest, brought)

    def expect(self, frequency: float) -> None:
        """Start every base's confidence at how often candidates are wanted at all."""
        with torch.no_grad():
            self.confidence.bias.fill_(math.log(frequency / (1 - frequency)))

    def _first(self, candidate: Tensor, user: Tensor) -> Tensor:
        """The first layer, in which what is read of a request is multiplied once per request."""
        first = self.layers[0]
        assert isinstance(first, nn.Linear)
        own, shared = first.weight.tensor_split([candidate.shape[-1]], dim=1)
        wide = functional.linear(user, shared, first.bias)
        return functional.linear(candidate, own).add_(wide[:, None, :])

    def gate_logits(self, hidden: Tensor, batch: GateBatch) -> Tensor:
        """What the last hidden layer says of each base, ``(B, L, S)``, and what is a person's own."""
        logits: Tensor = self.gate(hidden)
        own = self.own(batch)
        return logits if own is None else logits + own[:, None, :]

    def own(self, batch: GateBatch) -> Tensor | None:  # noqa: ARG002
        """What a gate per person adds for each base, ``(B, S)``; None where there is none."""
        return None


def masked_softmax(logits: Tensor, there: Tensor) -> Tensor:
    """Softmax over the last axis where ``there``; 0 elsewhere, and everywhere where nothing is."""
    # Where nothing is there, minus infinity throughout would be NaN, in the gradient too.
    nothing = ~there.any(dim=-1, keepdim=True)
    return torch.softmax(logits.masked_fill(~(there | nothing), -torch.inf), dim=-1) * there


def silent(layer: nn.Linear) -> nn.Linear:
    """A layer that says 0 until it has learned something."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
