"""Where the context of a request meets the context of a candidate."""

from torch import Tensor, nn


class ContextInteraction(nn.Module):
    """Both contexts projected to one width and multiplied number by number.

    Each output is a bilinear form of rank 1 of the two contexts. Without biases it is that
    alone: what either context says by itself belongs beside it.

    Args:
        user_dim: Width of a request's context.
        item_dim: Width of a candidate's context.
        output_dim: Number of bilinear forms.

    Source:
        Kim et al. (2017), "Hadamard Product for Low-rank Bilinear Pooling", eq. 4 without
        nonlinearity and biases.
    """

    def __init__(self, user_dim: int = 64, item_dim: int = 32, output_dim: int = 32) -> None:
        super().__init__()
        self.user = nn.Linear(user_dim, output_dim, bias=False)
        self.item = nn.Linear(item_dim, output_dim, bias=False)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        """Meet.

        Args:
            user: Contexts of requests, ``(B, user_dim)``.
            item: Contexts of their candidates, ``(B, L, item_dim)``.

        Returns:
            Shape ``(B, L, output_dim)``.
        """
        met: Tensor = self.user(user)[:, None, :] * self.item(item)
        return met
