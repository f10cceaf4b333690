"""What a gate reads of the context alone, without the scores of the bases.

Shapes: B requests, L candidates, Cu and Ci columns of them.
"""

import torch
from torch import Tensor, nn

from crossfade.context.reading import ColumnsContext, candidate_context, request_context
from crossfade.context.session import SessionContextConfig
from crossfade.fusion.base import Columns
from crossfade.fusion.gate.config import GateConfig
from crossfade.fusion.gate.inputs import GateBatch, item_names
from crossfade.training.dropout import Dropout


def user_layer(config: GateConfig, columns: Columns) -> nn.Module:
    """What reads `GateBatch.user`, ``(B, 2 Cu)`` → ``(B, user_dim)``."""
    if config.reading == "plain":
        return nn.Linear(2 * len(columns.user), config.user_dim)
    session = SessionContextConfig(kind=config.session, dropout=config.dropout)
    return request_context(columns.user, config.user_dim, session)


def item_layer(config: GateConfig, columns: Columns) -> tuple[nn.Module, int]:
    """What comes before everything that reads candidates, ``(B, L, 2 Ci)`` → ``(B, L, width)``; and the width.

    Plain reading leaves the columns as they are.
    """
    names = item_names(columns, config.reading)
    if config.reading == "plain":
        return nn.Identity(), 2 * len(names)
    return candidate_context(names, config.user_dim), config.user_dim


def modality_weights(network: nn.Module, batch: GateBatch) -> dict[str, Tensor]:
    """See `model.MetaFusion.modality_weights`."""
    found: dict[str, Tensor] = {}
    for path, module in network.named_modules():
        if isinstance(module, ColumnsContext):
            of_request = path.endswith("user")
            side, told = ("request", batch.user) if of_request else ("candidate", batch.item)
            weights = module.weights(told).unbind(dim=-1)
            found |= {f"{side}.{n}": w for n, w in zip(module.names, weights, strict=True)}
    return found


class ContextNetwork(nn.Module):
    """Request and candidate → ``(B, L, hidden)``; no base score goes in.

    The request's context (``user_dim``) and the candidate's (``item_dim``) are read apart and
    joined by a low-rank product, as `GateNetwork` does.

    Args:
        config: Widths.
        columns: Names of what the signals hold.
    """

    def __init__(self, config: GateConfig, columns: Columns) -> None:
        super().__init__()
        self.user = user_layer(config, columns)
        self.extract, n_item = item_layer(config, columns)
        self.item = nn.Linear(n_item, config.item_dim)
        self.meeting = nn.Linear(config.user_dim, config.item_dim)
        # One first layer in two parts, so that a request is multiplied once for all candidates.
        self.of_candidate = nn.Linear(n_item + config.item_dim, config.hidden)
        self.of_request = nn.Linear(config.user_dim, config.hidden, bias=False)
        self.layers = nn.Sequential(nn.ReLU(), Dropout(config.dropout))
        for _ in range(config.n_layers - 1):
            layer = nn.Linear(config.hidden, config.hidden)
            self.layers.extend([layer, nn.ReLU(), Dropout(config.dropout)])

    def forward(self, batch: GateBatch) -> Tensor:
        """Read a batch."""
        user = self.user(batch.user)  # (B, user_dim)
        item = self.extract(batch.item)  # (B, L, width)
        met = self.meeting(user)[:, None, :] * self.item(item)  # (B, L, item_dim)
        candidate = self.of_candidate(torch.cat([item, met], dim=-1))
        hidden: Tensor = self.layers(candidate + self.of_request(user)[:, None, :])
        return hidden
