"""What a gate reads of the context alone, without the scores of the bases."""

import torch
from torch import Tensor, nn

from crossfade.fusion.gate.config import GateConfig
from crossfade.fusion.gate.inputs import GateBatch


class ContextNetwork(nn.Module):
    """Request and candidate → ``(B, L, hidden)``; no base score goes in.

    The request's context (``user_dim``) and the candidate's (``item_dim``) are read apart and
    joined by a low-rank product, as `GateNetwork` does.

    Args:
        config: Widths.
        n_item: Columns of `GateBatch.item`.
        n_user: Columns of `GateBatch.user`.
    """

    def __init__(self, config: GateConfig, n_item: int, n_user: int) -> None:
        super().__init__()
        self.user = nn.Linear(n_user, config.user_dim)
        self.item = nn.Linear(n_item, config.item_dim)
        self.meeting = nn.Linear(config.user_dim, config.item_dim)
        # One first layer in two parts, so that a request is multiplied once for all candidates.
        self.of_candidate = nn.Linear(n_item + config.item_dim, config.hidden)
        self.of_request = nn.Linear(config.user_dim, config.hidden, bias=False)
        self.layers = nn.Sequential(nn.ReLU(), nn.Dropout(config.dropout))
        for _ in range(config.n_layers - 1):
            layer = nn.Linear(config.hidden, config.hidden)
            self.layers.extend([layer, nn.ReLU(), nn.Dropout(config.dropout)])

    def forward(self, batch: GateBatch) -> Tensor:
        """Read a batch."""
        user = self.user(batch.user)  # (B, user_dim)
        met = self.meeting(user)[:, None, :] * self.item(batch.item)  # (B, L, item_dim)
        candidate = self.of_candidate(torch.cat([batch.item, met], dim=-1))
        hidden: Tensor = self.layers(candidate + self.of_request(user)[:, None, :])
        return hidden
