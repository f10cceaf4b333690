"""The fusion model `hypernetwork`: the context writes the fusion net that reads the bases.

Shapes: B requests, L candidates, S bases.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from crossfade.fusion.base import Columns
from crossfade.fusion.gate.config import GateConfig
from crossfade.fusion.gate.context import ContextNetwork
from crossfade.fusion.gate.inputs import GateBatch
from crossfade.fusion.gate.model import MetaFusion
from crossfade.fusion.gate.network import Gate, GateOutput, masked_softmax, silent
from crossfade.types import Floats

LEVEL = 3
"""Place of the levels of confidence among what is generated."""


class HypernetworkConfig(GateConfig):
    """A generated fusion net."""


class Hypernetwork(Gate):
    """Context → a small fusion net for each candidate, monotone in every base score.

    The generated net has a scale and an offset per base::

        score = Σ share · (scale · says + offset)

    where the shares are those of a static blend over the bases that are there, and what a base
    says is a mix of its score and its rank with positive parts. Scales are positive (softplus)
    and, like the offsets, generated from request and candidate alone. So a base that raises its
    score of a candidate never lowers the blended one. The weights are ``share · scale``,
    normalised; ``Σ share · offset`` is the residual, which no base score enters.

    The generator's last layer starts at 0: every scale at 1, every offset at 0, the static
    blend. Its other layers start so that a signal keeps its size on the way through.

    The confidence of a base is logistic in what it says, its slope and level also generated; it
    acts on no weight, or a high score could lower a rival's weight.

    Args:
        config: Widths; without ``residual`` there are no offsets.
        start: Weights of the static blend, ``(S,)``.
        columns: Names of what the signals hold.

    Source:
        Ha, Dai and Le (2017), "HyperNetworks"; Chang, Flokas and Lipson (2020), "Principled
        Weight Initialization for Hypernetworks".
    """

    def __init__(self, config: HypernetworkConfig, start: Floats, columns: Columns) -> None:
        super().__init__()
        n_bases = len(start)
        self.residual = config.residual
        self.context = ContextNetwork(config, columns)
        keep_variance(self.context)
        self.generate = silent(nn.Linear(config.hidden, 4 * n_bases))
        logits = torch.from_numpy(start).float().add(config.floor).log()
        self.start = nn.Parameter(logits)
        self.register_buffer("origin", logits.clone())
        self.of_score = nn.Parameter(torch.full((n_bases,), unsoftplus(1.0)))
        self.of_rank = nn.Parameter(torch.full((n_bases,), unsoftplus(0.5)))
        self.sharpness = nn.Parameter(torch.tensor(1.0))

    def expect(self, frequency: float) -> None:
        """Start every base's confidence at how often candidates are wanted at all."""
        with torch.no_grad():
            self.generate.bias.chunk(4)[LEVEL].fill_(math.log(frequency / (1 - frequency)))

    def forward(self, batch: GateBatch) -> GateOutput:
        """Blend a batch."""
        scale, offset, slope, level = self.generate(self.context(batch)).chunk(4, dim=-1)
        says = (
            functional.softplus(self.of_score) * batch.score
            + functional.softplus(self.of_rank) * batch.rank
        )
        share = masked_softmax(self.start.expand(says.shape), batch.there)
        acting = share * functional.softplus(scale + unsoftplus(1.0))
        sharpness, parts = functional.softplus(self.sharpness), acting * says
        blended, brought = sharpness * parts.sum(dim=-1), sharpness * parts
        total = acting.sum(dim=-1, keepdim=True)
        weights = acting / total.clamp(min=torch.finfo(total.dtype).tiny)
        confidence = functional.softplus(slope) * says + level
        rest = (share * offset).sum(dim=-1) if self.residual else torch.zeros_like(blended)
        return GateOutput(blended + rest, weights, confidence, rest, brought)


def unsoftplus(value: float) -> float:
    """The number whose softplus is ``value``."""
    return math.log(math.expm1(value))


def keep_variance(network: ContextNetwork) -> None:
    """Draw weights with which the mean square of a signal is the same after every layer.

    Variance 1 / fan-in where a layer is followed by nothing, 2 / fan-in before a ReLU, which
    takes half of it; biases 0. PyTorch's own 1 / (3 fan-in) leaves a sixth per hidden layer, and
    what a generator writes is then as small as its depth is great.

    Source:
        Chang, Flokas and Lipson (2020), §4: the variance of what is generated is that of what
        the generator's last layer reads, which therefore has to be known; He et al. (2015),
        "Delving Deep into Rectifiers", eq. 10.
    """
    of_candidate, of_request = network.of_candidate, network.of_request
    width = of_candidate.in_features + of_request.in_features
    if isinstance(network.user, nn.Linear):  # what extractors give is of size 1
        _draw(network.user, 1.0)
    _draw(network.item, 1.0)
    _draw(network.meeting, 1.0)
    _draw(of_candidate, 2.0 * of_candidate.in_features / width)
    _draw(of_request, 2.0 * of_request.in_features / width)
    for layer in network.layers:
        if isinstance(layer, nn.Linear):
            _draw(layer, 2.0)


def _draw(layer: nn.Linear, gain: float) -> None:
    nn.init.normal_(layer.weight, std=math.sqrt(gain / layer.in_features))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class HypernetworkFusion(MetaFusion):
    """A fusion net written anew by the context of every candidate; see `Hypernetwork`.

    Read, trained and chosen as `meta` is.
    """

    name = "hypernetwork"
    Config = HypernetworkConfig

    config: HypernetworkConfig

    def _built(self, start: Floats) -> Gate:
        return Hypernetwork(self.config, start, self.columns)
