"""What a gate says, as arrays: answering without what only training needs.

Shapes: B requests, L candidates, S bases, H hidden.
"""

import numba
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from crossfade.fusion.base import Fused
from crossfade.fusion.gate.inputs import GateBatch
from crossfade.fusion.gate.network import Gate, GateNetwork
from crossfade.types import Bools, Floats


def answer(network: Gate, batch: GateBatch) -> Fused:
    """What the network says, NaN where no base can score; to be asked without gradients.

    Of a `GateNetwork` it is its forward pass to rounding, with fewer products: how request and
    candidate meet is linear in the candidate, and so part of a first layer of the request's own.
    """
    there = batch.there.numpy()
    if isinstance(network, GateNetwork):
        return _of_layers(network, batch, there)
    output, nan = network(batch), np.float32(np.nan)
    spoken = batch.mask.numpy()
    return Fused(
        score=np.where(spoken, output.score.numpy(), nan),
        weights=np.where(spoken[:, :, None], output.weights.numpy(), nan),
        confidence=np.where(there, torch.sigmoid(output.confidence).numpy(), nan),
        residual=np.where(spoken, output.residual.numpy(), nan),
        brought=output.brought.numpy(),
    )


def _of_layers(network: GateNetwork, batch: GateBatch, there: Bools) -> Fused:
    hidden = _first(network, batch)
    for layer in list(network.layers)[1:]:
        hidden = layer(hidden)
    residual = np.zeros(there.shape[:2], dtype=np.float32)
    if network.residual:
        residual = network.rest(hidden)[..., 0].numpy()
    sharpness = functional.softplus(network.sharpness)
    said = Fused(
        score=np.empty_like(residual),
        weights=np.empty(there.shape, dtype=np.float32),
        confidence=network.confidence(hidden).numpy(),
        residual=residual,
        brought=np.empty(there.shape, dtype=np.float32),
    )
    assert said.confidence is not None
    assert said.brought is not None
    _blend(
        network.gate_logits(hidden, batch).numpy(),
        batch.score.numpy(),
        batch.rank.numpy(),
        there,
        network.start.numpy(),
        (sharpness * network.of_score).numpy(),
        (sharpness * network.of_rank).numpy(),
        said.confidence,
        residual,
        said.score,
        said.weights,
        said.brought,
    )
    return said


def _first(network: GateNetwork, batch: GateBatch) -> Tensor:
    """What comes out of the first layer, ``(B, L, H)``."""
    user, item = network.user(batch.user), network.extract(batch.item)
    first, of_item = network.layers[0], network.item
    assert isinstance(first, nn.Linear)
    ends = np.cumsum([batch.base.shape[-1], item.shape[-1], of_item.out_features]).tolist()
    of_base, own, of_met, shared = first.weight.tensor_split(ends, dim=1)
    met = network.meeting(user)  # (B, item_dim)
    folded = own + (of_met * met[:, None, :]) @ of_item.weight  # (B, H, width)
    level = functional.linear(user, shared, first.bias) + (met * of_item.bias) @ of_met.T
    layer = torch.cat([of_base.expand(len(folded), -1, -1), folded], dim=-1)
    read = torch.cat([batch.base, item], dim=-1)
    return torch.baddbmm(level[:, None, :], read, layer.transpose(1, 2))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _blend(  # noqa: PLR0917  (kernels know no keywords)
    logits: Floats,
    score: Floats,
    rank: Floats,
    there: Bools,
    start: Floats,
    of_score: Floats,
    of_rank: Floats,
    confidence: Floats,
    residual: Floats,
    blended: Floats,
    weights: Floats,
    brought: Floats,
) -> None:
    """Weights and scores, as `GateNetwork` has them; confidence comes as logits and goes as probability."""
    nan = np.float32(np.nan)
    for request in range(there.shape[0]):
        for place in range(there.shape[1]):
            pull, chance = weights[request, place], confidence[request, place]
            here, most = there[request, place], np.float32(-np.inf)
            for base in range(len(start)):
                # exp(gate + log sigmoid(c)) is exp(gate + min(c, 0)) / (1 + exp(-|c|)).
                pull[base] = logits[request, place, base] + start[base] + min(chance[base], 0)
                if here[base]:
                    most = max(most, pull[base])
            total = np.float32(0)
            for base in range(len(start)):
                small = np.exp(-abs(chance[base]))
                likely = (np.float32(1) if chance[base] >= 0 else small) / (np.float32(1) + small)
                pull[base] = (
                    np.exp(pull[base] - most) / (np.float32(1) + small) if here[base] else 0
                )
                chance[base] = likely if here[base] else nan
                total += pull[base]
            mean = np.float32(0)
            for base in range(len(start)):
                pull[base] /= total  # NaN where nobody speaks
                says = of_score[base] * score[request, place, base]
                says += of_rank[base] * rank[request, place, base]
                brought[request, place, base] = pull[base] * says if here[base] else 0
                mean += brought[request, place, base]
            blended[request, place] = mean + residual[request, place]
            if total == 0:
                blended[request, place] = residual[request, place] = nan
