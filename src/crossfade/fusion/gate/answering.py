"""What a gate says, as arrays: answering without what only training needs.

Shapes: B requests, L candidates, S bases, H hidden.
"""

from typing import NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from crossfade.fusion.base import Fused
from crossfade.fusion.gate.inputs import N_AGREEMENT, GateBatch
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
    n_bases = there.shape[2]
    heads = [network.gate, network.confidence] + [network.rest] * network.residual
    last = torch.cat([head.weight for head in heads]), torch.cat([head.bias for head in heads])
    said = np.zeros((*there.shape[:2], 2 * n_bases + 1), dtype=np.float32)
    first = _First.of(network, n_bases)
    for at, n in enumerate(_sizes(there)):
        # Each list for itself, as products of matrices depend on the number of rows.
        hidden = first(network, batch, at, n)
        for layer in list(network.layers)[1:]:
            hidden = layer(hidden)
        torch.addmm(last[1], hidden, last[0].T, out=torch.from_numpy(said[at, :n, : len(last[1])]))
    own = network.own(batch)
    if own is not None:
        said[:, :, :n_bases] += own.numpy()[:, None, :]
    sharpness = functional.softplus(network.sharpness)
    shape = {"score": 2, "weights": 3, "confidence": 3, "residual": 2, "brought": 3}
    out: dict[str, Floats] = {
        name: np.empty(there.shape[:n], np.float32) for name, n in shape.items()
    }
    _blend(
        said,
        batch.score.numpy(),
        batch.rank.numpy(),
        there,
        network.start.numpy(),
        (sharpness * network.of_score).numpy(),
        (sharpness * network.of_rank).numpy(),
        *out.values(),
    )
    return Fused(**out)  # type: ignore[arg-type]  # its last field is none of them


def _sizes(there: Bools) -> list[int]:
    """Candidates of each request up to the last that some base scores."""
    scored = np.asarray(there.any(axis=2))
    ends = scored.shape[1] - np.argmax(scored[:, ::-1], axis=1)
    found: list[int] = np.where(np.asarray(scored.any(axis=1)), ends, 0).tolist()
    return found


class _First(NamedTuple):
    """The first layer by what its columns read, of whole numbers of columns each.

    Attributes:
        of_base: What bases say, ``(H, Cb)``.
        own: Candidates, ``(H, width)``.
        of_met: How request and candidate meet, ``(H, item_dim)``.
        shared: Requests, ``(H, user_dim)``.
        bias: Of shape ``(H,)``.
    """

    of_base: Tensor
    own: Tensor
    of_met: Tensor
    shared: Tensor
    bias: Tensor

    @classmethod
    def of(cls, network: GateNetwork, n_bases: int) -> "_First":
        first, of_met = network.layers[0], network.item
        assert isinstance(first, nn.Linear)
        sizes = [3 * n_bases + N_AGREEMENT, of_met.in_features, of_met.out_features]
        base, own, met, shared = first.weight.tensor_split(np.cumsum(sizes).tolist(), dim=1)
        return cls(base, own, met, shared, first.bias)

    def __call__(self, network: GateNetwork, batch: GateBatch, at: int, n: int) -> Tensor:
        """What comes out of it for the first candidates of a request, ``(n, H)``."""
        of_item = network.item
        user = network.user(batch.user[at : at + 1])
        item = network.extract(batch.item[at : at + 1, :n])[0]
        met = network.meeting(user)  # (1, item_dim)
        folded = torch.addmm(self.own, self.of_met * met, of_item.weight)  # (H, width)
        level = functional.linear(user, self.shared, self.bias)
        level = torch.addmm(level, met * of_item.bias, self.of_met.T)
        layer = torch.cat([self.of_base, folded], dim=1)
        return torch.addmm(level, torch.cat([batch.base[at, :n], item], dim=1), layer.T)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _blend(  # noqa: PLR0917  (kernels know no keywords)
    said: Floats,
    score: Floats,
    rank: Floats,
    there: Bools,
    start: Floats,
    of_score: Floats,
    of_rank: Floats,
    blended: Floats,
    weights: Floats,
    confidence: Floats,
    residual: Floats,
    brought: Floats,
) -> None:
    """Weights and scores, as `GateNetwork` has them, from the logits of weights and of confidence, and the rest."""
    nan, n_bases = np.float32(np.nan), len(start)
    for request in range(there.shape[0]):
        for place in range(there.shape[1]):
            pull, chance = weights[request, place], confidence[request, place]
            chance[:] = said[request, place, n_bases : 2 * n_bases]
            residual[request, place] = said[request, place, 2 * n_bases]
            here, most = there[request, place], np.float32(-np.inf)
            for base in range(n_bases):
                # exp(gate + log sigmoid(c)) is exp(gate + min(c, 0)) / (1 + exp(-|c|)).
                pull[base] = said[request, place, base] + start[base] + min(chance[base], 0)
                if here[base]:
                    most = max(most, pull[base])
            total = np.float32(0)
            for base in range(n_bases):
                small = np.exp(-abs(chance[base]))
                likely = (np.float32(1) if chance[base] >= 0 else small) / (np.float32(1) + small)
                pull[base] = (
                    np.exp(pull[base] - most) / (np.float32(1) + small) if here[base] else 0
                )
                chance[base] = likely if here[base] else nan
                total += pull[base]
            mean = np.float32(0)
            for base in range(n_bases):
                pull[base] /= total  # NaN where nobody speaks
                says = of_score[base] * score[request, place, base]
                says += of_rank[base] * rank[request, place, base]
                brought[request, place, base] = pull[base] * says if here[base] else 0
                mean += brought[request, place, base]
            blended[request, place] = mean + residual[request, place]
            if total == 0:
                blended[request, place] = residual[request, place] = nan
