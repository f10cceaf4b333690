"""A hidden layer whose number of units changes at declared moments, and never with a jump."""

import torch
from torch import Tensor, nn

WAITS, WORKS, GONE = range(3)
"""What a hidden unit does. It goes forward only: one that is gone does not come back."""

PACE = 0.1
"""How fast the record of a unit's activity follows the newest step."""


class Units(nn.Module):
    """Linear, ReLU, linear; some of the hidden units wait, and some are gone.

    All units there will ever be have their weights from the start, so an optimiser and its
    checkpoints never see a shape change. A unit that waits has had no gradient, so the
    optimiser knows nothing of it yet; it joins with outgoing weights of 0, which changes no
    output. What the optimiser still remembers of a unit that is gone moves weights that nothing reads.

    Which unit does what is a buffer: checkpoints and bundles keep it with the weights.

    Args:
        width: Of what is read and given.
        n_units: Hidden units that work from the start.
        n_spare: Units that wait.
        dropout: On hidden units.
    """

    state: Tensor
    activity: Tensor

    def __init__(self, width: int, n_units: int, n_spare: int, dropout: float) -> None:
        super().__init__()
        n = n_units + n_spare
        self.read = nn.Linear(width, n)
        self.dropout = nn.Dropout(dropout)
        self.give = nn.Linear(n, width)
        state = torch.full((n,), WAITS)
        state[:n_units] = WORKS
        self.register_buffer("state", state)
        self.register_buffer("activity", torch.zeros(n))

    @property
    def n_working(self) -> int:
        """Hidden units that count."""
        return int((self.state == WORKS).sum())

    def forward(self, values: Tensor) -> Tensor:
        """Shape ``(..., width)``, as ``values``."""
        hidden = torch.relu(self.read(values)) * (self.state == WORKS)
        if self.training:
            mean = hidden.detach().flatten(0, -2).mean(dim=0).to(self.activity.dtype)
            self.activity.lerp_(mean, PACE)
        given: Tensor = self.give(self.dropout(hidden))
        return given

    @torch.no_grad()
    def grow(self, n: int) -> None:
        """Let ``n`` of the units that wait work, the first ones; no output changes."""
        joining = (self.state == WAITS).nonzero()[:n, 0]
        self.give.weight[:, joining] = 0.0
        self.state[joining] = WORKS

    @torch.no_grad()
    def prune(self, n: int) -> None:
        """Let ``n`` working units go: those that lately gave least, mean activity times outgoing length."""
        given = self.activity * self.give.weight.norm(dim=0)
        given[self.state != WORKS] = torch.inf
        self.state[given.argsort(stable=True)[: min(n, self.n_working)]] = GONE
