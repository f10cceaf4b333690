"""The arithmetic of a few-shot gate on tensors, as functions of one flat vector of parameters.

Flat, because what moves between domains are such vectors: means of them, steps along their gradients,
and distances between them.
"""

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from crossfade.fusion.base import LabelledSignals, Signals
from crossfade.fusion.gate.losses import LEAST, listwise
from crossfade.types import Doubles, Floats

LOWEST, HIGHEST = -3.0, 8.0
"""Z scores beyond these are cut: one far-off score must not decide for a whole domain."""

MIDDLE, LONGEST = 1.5, 7.0
"""Histories are measured from some three wanted items on; those of more than a thousand all count as long."""

POSITIVES = "log_positives"


def n_parameters(n_bases: int) -> int:
    """Length of the vector."""
    return 3 * n_bases + 1


class Parts(NamedTuple):
    """A vector of parameters by meaning.

    Attributes:
        bias: Log-weight of each base for a history of middle length, ``(S,)``.
        slope: What one unit of log-length adds to it, ``(S,)``.
        missing: The z score that stands for a base which cannot score a candidate, ``(S,)``.
        log_scale: How sharply the blended score tells wanted from unwanted.
    """

    bias: Tensor
    slope: Tensor
    missing: Tensor
    log_scale: Tensor


def parts(flat: Tensor) -> Parts:
    """The vector, shape ``(3 S + 1,)``, taken apart."""
    n = (len(flat) - 1) // 3
    return Parts(flat[:n], flat[n : 2 * n], flat[2 * n : 3 * n], flat[3 * n])


def neutral(n_bases: int) -> Doubles:
    """Where learning starts with nothing known: equal weights, and a missing score is an average one."""
    return np.zeros(n_parameters(n_bases))


@dataclass(frozen=True, eq=False)
class Lists:
    """Some lists as tensors: B requests, L candidates, S bases.

    Attributes:
        score: Z scores, cut at both ends, 0 where there is none, ``(B, L, S)``.
        there: Where a base gives a score, bool, ``(B, L, S)``.
        mask: Candidates that some base scores, bool, ``(B, L)``.
        relevant: Wanted ones, bool, ``(B, L)``.
        length: Log-length of each history from the middle on, ``(B,)``.
    """

    score: Tensor
    there: Tensor
    mask: Tensor
    relevant: Tensor
    length: Tensor

    def __len__(self) -> int:
        return len(self.mask)

    @property
    def n_bases(self) -> int:
        """S."""
        return self.score.shape[-1]

    @property
    def n_teaching(self) -> int:
        """Lists in which something wanted can be scored."""
        return int(self.relevant.any(dim=1).sum())

    def take(self, places: Tensor) -> "Lists":
        """Some of the lists, in the given order."""
        return Lists(**{field.name: getattr(self, field.name)[places] for field in fields(self)})

    @classmethod
    def of(cls, labelled: LabelledSignals) -> "Lists":
        """As tensors in double precision, so that few lists teach the same on every machine."""
        signals = labelled.signals
        return cls(
            torch.from_numpy(shown_scores(signals).astype(np.float64)),
            torch.from_numpy(signals.available),
            torch.from_numpy(signals.scored),
            torch.from_numpy(labelled.relevant & signals.scored),
            torch.from_numpy(lengths(signals).astype(np.float64)),
        )


def shown_scores(signals: Signals) -> Floats:
    """Z scores cut at both ends, 0 where there is none, ``(B, L, S)``."""
    cut = np.clip(signals.score, np.float32(LOWEST), np.float32(HIGHEST))
    return np.where(signals.available, cut, np.float32(0))


def histories(signals: Signals) -> Floats:
    """Log-lengths of histories, ``log(1 + n)``, ``(B,)``; NaN where they are not told."""
    names = signals.columns.user
    if signals.user is None or POSITIVES not in names:
        return np.full(len(signals.mask), np.nan, dtype=np.float32)
    return signals.user[:, names.index(POSITIVES)]


def lengths(signals: Signals) -> Floats:
    """Log-lengths of histories from the middle on, ``(B,)``; 0 where they are not told."""
    told = np.minimum(histories(signals), np.float32(LONGEST))
    return np.asarray(np.nan_to_num(told - np.float32(MIDDLE)), dtype=np.float32)


def blended(flat: Tensor, lists: Lists) -> Tensor:
    """Scores before they are scaled, ``(B, L)``."""
    known = parts(flat)
    weights = torch.softmax(known.bias + known.slope * lists.length[:, None], dim=-1)
    shown = torch.where(lists.there, lists.score, known.missing)
    return (shown @ weights[:, :, None])[..., 0]


def loss(flat: Tensor, lists: Lists) -> Tensor:
    """Mean listwise loss over the lists that want something; 0 where none does."""
    score = blended(flat, lists) * parts(flat).log_scale.exp()
    return listwise(score, lists.relevant, lists.mask)


def losses(flat: Doubles, lists: Lists) -> Doubles:
    """Loss of every list alone, ``(B,)``; NaN for those that want nothing."""
    known = torch.from_numpy(flat)
    score = blended(known, lists) * parts(known).log_scale.exp()
    share = torch.log_softmax(score.masked_fill(~lists.mask, LEAST), dim=-1)
    n = lists.relevant.sum(dim=-1)
    found = -(share * lists.relevant).sum(dim=-1) / n
    return np.asarray(found.numpy(), dtype=np.float64)


def learn(
    lists: Lists,
    start: Doubles,
    *,
    pull: float,
    n_steps: int,
    rate: float,
    towards: Doubles | None = None,
) -> Doubles:
    """Parameters that fit some lists and stay near where they come from.

    Minimises the loss summed over lists plus ``pull`` times the squared distance from ``towards``:
    few lists move little, many move as far as they must (L2-SP, Li et al. 2018, arXiv 1802.01483, eq. 2).

    Args:
        lists: Whatever there is; without a wanted candidate the start comes back.
        start: Shape ``(3 S + 1,)``.
        pull: 0 or more, in lists.
        n_steps: Steps of Adam.
        rate: Its step size.
        towards: Where the pull goes; None is the start.
    """
    n = lists.n_teaching
    if not n:
        return start.copy()
    flat = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    home = torch.as_tensor(start if towards is None else towards, dtype=torch.float64)
    optimiser = torch.optim.Adam([flat], lr=rate)
    for _ in range(n_steps):
        optimiser.zero_grad()
        total = loss(flat, lists) + pull / n * (flat - home).square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return np.asarray(flat.detach().numpy(), dtype=np.float64)
