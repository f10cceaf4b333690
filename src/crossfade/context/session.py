"""Session context: how a person listens, from the 18 session features."""

import math
from typing import Literal

import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional

from crossfade.config import Field, Settings
from crossfade.context.base import Extracted, Extractor
from crossfade.features.dictionary import SESSION_FEATURE_NAMES
from crossfade.training.dropout import Dropout

FLAGS = ("user_type_explorer", "user_type_loyalist")
"""Thresholded copies of `repeat_rate`; good for slices of a report, never read here."""

_READ = [place for place, name in enumerate(SESSION_FEATURE_NAMES) if name not in FLAGS]


class SessionContextConfig(Settings):
    """How session features are read."""

    kind: Literal["attention", "mlp"] = Field(
        "attention",
        description="attention: features of one person look at one another; mlp: plain layers.",
    )
    hidden: int = Field(128, ge=1, description="Width of a feature's token and of the layers.")
    n_heads: int = Field(4, ge=1, description="Attention heads; hidden must be a multiple.")
    output_dim: int = Field(64, ge=1, description="Width of the session context.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout while training.")

    @model_validator(mode="after")
    def _heads_share_evenly(self) -> "SessionContextConfig":
        if self.hidden % self.n_heads:
            raise ValueError(
                f"hidden must be a multiple of n_heads, got {self.hidden} and {self.n_heads}"
            )
        return self


class SessionContext(Extractor):
    """Session features to a vector.

    With ``kind = "attention"`` each feature of a person is a token, and the tokens of that one
    person attend to one another; a learned query then pools them. With ``kind = "mlp"`` values
    and mask go through plain layers. The user type flags are in the input and are not read.

    ``weights`` are those of the pooling in the order of the data dictionary, 0 for the flags;
    None for plain layers. They differ from person to person.

    Args:
        config: Widths.
    """

    names = SESSION_FEATURE_NAMES

    def __init__(self, config: SessionContextConfig | None = None) -> None:
        self.config = config if config is not None else SessionContextConfig()
        super().__init__(len(self.names), self.config.output_dim)
        c = self.config
        self.attention = FeatureAttention(len(_READ), c) if c.kind == "attention" else None
        self.plain = _plain(2 * len(_READ), c) if c.kind == "mlp" else None
        self.encoder = nn.Sequential(
            nn.Linear(c.hidden, c.output_dim), nn.ReLU(), nn.Linear(c.output_dim, c.output_dim)
        )

    def forward(self, values: Tensor, known: Tensor) -> Extracted:
        """Read some people; see `Extractor.forward`."""
        values, there = self.shown(values, known)
        values, there = values[..., _READ], there[..., _READ]
        if self.attention is None:
            assert self.plain is not None
            return Extracted(self.encoder(self.plain(torch.cat([values, there], dim=-1))))
        pooled, read = self.attention(values, there)
        weights = read.new_zeros(*read.shape[:-1], self.n_columns)
        weights[..., _READ] = read
        return Extracted(self.encoder(pooled), weights)


class FeatureAttention(nn.Module):
    """One token per feature, self-attention over the tokens of one row, pooling by a query.

    The projections of queries and keys have no bias: one of a key moves all logits of a query
    alike, so it would never learn.

    Args:
        n_features: Number of tokens.
        config: Widths.

    Source:
        Gorishniy et al. (2021), "Revisiting Deep Learning Models for Tabular Data", §3.3
        (tokens), with one layer of Vaswani et al. (2017), "Attention Is All You Need", §3.2.
    """

    def __init__(self, n_features: int, config: SessionContextConfig) -> None:
        super().__init__()
        hidden, size = config.hidden, config.hidden**-0.5
        self.n_heads = config.n_heads
        self.direction = nn.Parameter(torch.randn(n_features, hidden) * size)
        self.origin = nn.Parameter(torch.randn(n_features, hidden) * size)
        self.missing = nn.Parameter(torch.randn(hidden) * size)
        self.before = nn.LayerNorm(hidden)
        self.ask = nn.Linear(hidden, 3 * hidden, bias=False)
        self.answer = nn.Linear(hidden, hidden)
        self.after = nn.LayerNorm(hidden)
        self.query = nn.Parameter(torch.randn(hidden))
        self.dropout = Dropout(config.dropout)

    def forward(self, values: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Pool some rows.

        Args:
            values: Shape ``(..., n_features)``, 0 where unknown.
            there: 1 where known, else 0, same shape.

        Returns:
            Pooled tokens, ``(..., hidden)``, and the weight of each, ``(..., n_features)``.
        """
        tokens = self.tokens(values, there)  # (..., F, hidden)
        tokens = self.after(tokens + self.dropout(self.attend(self.before(tokens))))
        weights = torch.softmax(tokens @ self.query / math.sqrt(len(self.query)), dim=-1)
        return (weights[..., None] * tokens).sum(dim=-2), weights

    def tokens(self, values: Tensor, there: Tensor) -> Tensor:
        """A point on each feature's own line; a step aside where the value is unknown."""
        aside = (1 - there)[..., None] * self.missing
        return values[..., None] * self.direction + self.origin + aside

    def attend(self, tokens: Tensor) -> Tensor:
        """What each token learns from the others of its row, ``(..., F, hidden)``."""
        # The batch stays in front: rows never meet.
        parts = self.ask(tokens).unflatten(-1, (3, self.n_heads, -1))  # (..., F, 3, heads, width)
        query, key, value = parts.movedim(-3, 0).transpose(-2, -3)  # (..., heads, F, width)
        heads = functional.scaled_dot_product_attention(query, key, value)
        learned: Tensor = self.answer(heads.transpose(-2, -3).flatten(-2))
        return learned


def _plain(width: int, config: SessionContextConfig) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, config.hidden),
        nn.LayerNorm(config.hidden),
        nn.ReLU(),
        Dropout(config.dropout),
    )
