"""A companion network: features made of what is known without events, added to those that are there.

Shapes: G feature groups, H ``config.width``, D ``output_dim``.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from crossfade.context.base import MaskedEncoder, masked_softmax
from crossfade.context.config import SynthesisConfig
from crossfade.context.units import Units

N_HEADS = 4

Inputs = Mapping[str, tuple[Tensor, Tensor]]
"""Values of each group and which are known (bool), ``(..., n_columns)``; groups left out are absent."""


class Group(NamedTuple):
    """Feature columns that are known or missing together.

    Attributes:
        name: What the group is called.
        n_columns: How many columns it has.
        made_of: Where its values come from: what is said of a thing, or what people did with it.
    """

    name: str
    n_columns: int
    made_of: Literal["content", "events"] = "content"


class Synthesised(NamedTuple):
    """What a companion makes of some rows.

    Attributes:
        added: What all groups together add, ``(..., D)``.
        weights: Share of each group in that, ``(..., G)``: summing to 1, exactly 0 for absent
            groups, and 0 for all where nothing is added.
        penalty: What the loss takes on for it, a scalar.
    """

    added: Tensor
    weights: Tensor
    penalty: Tensor


class Companion(nn.Module):
    """From groups of features to features in the space of a primary network.

    Each group is read by an encoder; groups meet; what comes out of each is projected and
    multiplied by the gate of the group. Gates start at 0, so an untrained companion adds exactly
    nothing: the gates learn first, and as soon as they are open the rest learns too. A group with
    no known value in a row has no influence on it.

    The companion makes inputs and learns from the loss of the primary network, together with it.
    No weight of a trained network is ever its target.

    Args:
        groups: What is read, in the order of the gates.
        output_dim: Width of the features it is added to.
        config: All settings.

    Raises:
        ValueError: If there is no group, or one that is made of events: such a feature is
            another word for how popular a thing is, and new things have none.
    """

    size: Tensor

    def __init__(self, groups: Sequence[Group], output_dim: int, config: SynthesisConfig) -> None:
        super().__init__()
        _check(groups)
        self.names = tuple(group.name for group in groups)
        self.config = config
        width = config.width
        self.encoders = nn.ModuleList(MaskedEncoder(g.n_columns, width, width) for g in groups)
        self.dropout = nn.Dropout(config.dropout)
        looks = config.network == "transformer"
        self.look = nn.MultiheadAttention(width, N_HEADS, batch_first=True) if looks else None
        n_spare = len(config.grow_at) * config.grow_units
        self.units = Units(width, config.units, n_spare, config.dropout)
        self.project = nn.ModuleList(nn.Linear(width, output_dim) for _ in groups)
        self.score = nn.Linear(width, 1) if config.combine == "attention" else None
        self.gate = nn.Parameter(torch.zeros(len(groups)))
        self.register_buffer("size", torch.zeros(()))

    def forward(self, inputs: Inputs, originals: Tensor) -> Synthesised:
        """What to add to the features there are; `Synthesised.added` is of their shape.

        Args:
            inputs: By group.
            originals: What is added to, ``(..., D)``; only its size is looked at, by `pace`.

        Raises:
            ValueError: If a group is given that there is none of, or of another width.
        """
        _refuse_unknown(inputs, self.names)
        tokens, there = self._read(inputs, originals)
        features = torch.stack(
            [
                project(token)
                for project, token in zip(self.project, tokens.unbind(-2), strict=True)
            ],
            dim=-2,
        )
        shares = there.to(features.dtype)
        if self.score is not None:
            shares = masked_softmax(self.score(tokens)[..., 0], there)
        parts = (shares * self.gate)[..., None] * features  # (..., G, D)
        added = parts.sum(dim=-2)
        if self.training:
            self._measure(added, originals)
        lengths = parts.detach().norm(dim=-1)
        weights = lengths / lengths.sum(dim=-1, keepdim=True).clamp(
            min=torch.finfo(lengths.dtype).tiny
        )
        # Of gate and feature together: a small feature behind a large gate would go free.
        penalty = self.config.l1 * parts.abs().mean() + self.config.l2 * parts.square().mean()
        return Synthesised(added, weights, penalty)

    def _read(self, inputs: Inputs, originals: Tensor) -> tuple[Tensor, Tensor]:
        """What stands for each group once they have met, ``(..., G, H)``, and which are there."""
        shape = originals.shape[:-1]
        tokens, present = [], []
        for name, encoder in zip(self.names, self.encoders, strict=True):
            if name in inputs:
                values, known = inputs[name]
                tokens.append(encoder(values, known).context)
                present.append(known.any(dim=-1))
            else:
                tokens.append(originals.new_zeros(*shape, self.config.width))
                present.append(torch.zeros(shape, dtype=torch.bool, device=originals.device))
        token, there = torch.stack(tokens, dim=-2), torch.stack(present, dim=-1)
        if self.training and self.config.group_dropout:
            there = there & (
                torch.rand(there.shape, device=there.device) >= self.config.group_dropout
            )
        token = self.dropout(token) * there[..., None]
        if self.look is not None:
            return self._looked(token, there), there
        mean = token.sum(dim=-2) / there.sum(dim=-1, keepdim=True).clamp(min=1)
        return token + self.units(mean)[..., None, :], there

    def _looked(self, token: Tensor, there: Tensor) -> Tensor:
        """As a block of a transformer: attention among the groups that are there, then hidden units."""
        assert self.look is not None
        flat, mask = token.flatten(0, -3), ~there.flatten(0, -2)
        # Where nothing is there, all look at all: a softmax over nothing is no number. Its gates are shut below.
        mask = mask & ~mask.all(dim=-1, keepdim=True)
        met = flat + self.look(flat, flat, flat, key_padding_mask=mask, need_weights=False)[0]
        looked: Tensor = (met + self.units(met)).view_as(token)
        return looked

    def _measure(self, added: Tensor, originals: Tensor) -> None:
        """Remember how large what is added is beside what it is added to."""
        with torch.no_grad():
            size = added.square().mean() / originals.square().mean().clamp(min=1e-12)
            self.size.copy_(size.sqrt())

    def pace(self) -> float:
        """What the companion's step size is multiplied by: 1 unless `config.pace_limit` allows more."""
        limit = self.config.pace_limit
        return min(max(float(self.size), 1 / limit), limit)

    def begin_epoch(self, epoch: int, n_epochs: int) -> None:
        """Let hidden units join and go, where the settings say so before this epoch.

        Args:
            epoch: From 1.
            n_epochs: How many there are.
        """
        config = self.config
        for _ in range(_moments(config.grow_at, epoch, n_epochs)):
            self.units.grow(config.grow_units)
        for _ in range(_moments(config.prune_at, epoch, n_epochs)):
            self.units.prune(config.prune_units)


def _moments(shares: Iterable[float], epoch: int, n_epochs: int) -> int:
    """How many of some shares of the epochs are over when this one begins, and were not before the last."""
    return sum(epoch == max(2, int(share * n_epochs) + 1) for share in shares)


def _check(groups: Sequence[Group]) -> None:
    if not groups:
        raise ValueError("a companion needs at least one group of features to read")
    for group in groups:
        if group.made_of != "content":
            raise ValueError(
                f"a companion reads no feature made of {group.made_of}, got group {group.name}; leave it out"
            )


def _refuse_unknown(inputs: Inputs, names: Sequence[str]) -> None:
    unknown = [name for name in inputs if name not in names]
    if unknown:
        raise ValueError(f"group {unknown[0]} is unknown; there are {', '.join(names)}")
