"""Dropout that draws the same numbers on every device."""

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """`nn.Dropout` whose draws come from the CPU's generator, wherever the network is.

    A GPU draws other numbers from the same seed, which is as if the seed were another one: what a
    network learns then differs ten times as much as by rounding alone. Drawing on the CPU costs
    a transfer, which small networks can afford.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """As `nn.Dropout`, bit for bit on a CPU."""
        if not self.training or self.p == 0 or input.device.type == "cpu":
            return super().forward(input)
        return input * mask(input.shape, self.p).to(input.device, non_blocking=True)


def mask(shape: torch.Size, p: float) -> Tensor:
    """What values are multiplied by, on the CPU: 0 with probability ``p``, else ``1 / (1 - p)``."""
    return torch.empty(shape).bernoulli_(1 - p).div_(1 - p)
