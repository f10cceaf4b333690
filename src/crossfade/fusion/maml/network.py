"""The gate that adapts, as pure functions of its weights.

Shapes: T tasks, L candidates, S bases, H hidden, C columns of a request.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from crossfade.fusion.base import LabelledSignals
from crossfade.fusion.maml.config import MamlConfig
from crossfade.fusion.maml.inner import Inner, Rates, Weights
from crossfade.types import Bools, Floats

DEPTH = 10
"""Places of a list that people look at."""

LEAST = -1e9
"""Log-weight of a candidate that does not count; its share is exactly 0, and so is its gradient."""

LEAST_TOTAL = 1e-6
"""Weight that the bases of a candidate have together while learning; see `gate_score`."""

HEAD = ("head_weight", "head_bias")
BODY = ("body_weight", "body_bias")


class Lists(NamedTuple):
    """Lists of several tasks, or without the first axis of one.

    Attributes:
        says: Scores, 0 where a base gives none, ``(T, L, S)``.
        there: 1 where a base gives a score, 0 elsewhere, ``(T, L, S)``.
        log_weight: 0 for a candidate that stands for itself, above 0 for a drawn one that stands
            for several, `LEAST` for one that does not count, ``(T, L)``.
        wanted: 1 for wanted candidates, 0 for others, ``(T, L)``.
        weight: What the loss of a task is multiplied by, ``(T,)``.
        hidden: What the head reads: the body's output where only the head adapts, otherwise what
            the body reads, ``(T, H)`` or ``(T, C)``.
    """

    says: Tensor
    there: Tensor
    log_weight: Tensor
    wanted: Tensor
    weight: Tensor
    hidden: Tensor

    def shrunk(self, count: float) -> "Lists":
        """As support: n reactions count n / (n + count), so few move the weights less than many."""
        n = self.wanted.sum(dim=-1)
        return self._replace(weight=n / (n + count).clamp(min=1e-9))


def lists_of(labelled: LabelledSignals, context: Floats, log_weight: Floats) -> Lists:
    """Labelled lists as tensors, ``hidden`` being what the body reads.

    Args:
        labelled: Lists, already cut to the candidates that are looked at.
        context: Scaled columns of the requests, ``(T, C)``.
        log_weight: Of the candidates, ``(T, L)``; those no base can score count nothing.
    """
    there: Bools = labelled.signals.available
    counts = there.any(axis=-1)
    return Lists(
        torch.from_numpy(np.where(there, labelled.signals.score, np.float32(0))),
        torch.from_numpy(there.astype(np.float32)),
        torch.from_numpy(np.where(counts, log_weight, LEAST).astype(np.float32)),
        torch.from_numpy((labelled.relevant & counts).astype(np.float32)),
        torch.ones(len(labelled)),
        torch.from_numpy(context),
    )


class MamlGate(nn.Module):
    """The start that meta-learning finds: static blend plus a two-layer network of the request.

    Gate logits are ``origin + head · tanh(body · context)``; the head starts at 0, so training
    starts at the static blend.

    Args:
        config: Widths and rates.
        start: Weights of the static blend, ``(S,)``.
        n_context: C.
        sharpness: What scores are multiplied by before the softmax of the loss.
        rng: Draws the body.
    """

    origin: Tensor

    def __init__(
        self,
        config: MamlConfig,
        start: Floats,
        n_context: int,
        sharpness: float,
        rng: np.random.Generator,
    ) -> None:
        super().__init__()
        n_bases, hidden = len(start), config.hidden
        body = rng.normal(size=(hidden, n_context)) / math.sqrt(max(1, n_context))
        self.body_weight = nn.Parameter(torch.from_numpy(body.astype(np.float32)))
        self.body_bias = nn.Parameter(torch.zeros(hidden))
        self.head_weight = nn.Parameter(torch.zeros(n_bases, hidden))
        self.head_bias = nn.Parameter(torch.zeros(n_bases))
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(sharpness)))
        logits = torch.from_numpy(np.asarray(start, dtype=np.float32)).add(config.floor).log()
        self.register_buffer("origin", logits - logits.logsumexp(0))
        self.head_only = config.algorithm == "anil"
        self.log_rates: nn.ParameterDict | None = None
        if config.algorithm == "meta_sgd":
            rate = math.log(config.inner_lr)
            self.log_rates = nn.ParameterDict(
                {name: torch.full_like(w, rate) for name, w in self.start().items()}
            )

    def start(self) -> Weights:
        """The weights that a task may move, by name."""
        return {name: getattr(self, name) for name in (HEAD if self.head_only else HEAD + BODY)}

    def rates(self, config: MamlConfig) -> Rates:
        """Inner step sizes; learned ones are exponentials, so no step ever goes uphill."""
        if self.log_rates is None:
            return config.inner_lr
        return {name: rate.exp() for name, rate in self.log_rates.items()}

    def read(self, lists: Lists) -> Lists:
        """With ``hidden`` as the adapting weights need it; a fixed body is passed once, here."""
        return lists._replace(hidden=self.read_hidden(lists.hidden))

    def read_hidden(self, context: Tensor) -> Tensor:
        """What the adapting weights read, ``(T, H)`` or ``(T, C)``, from ``(T, C)``."""
        if not self.head_only:
            return context
        return body(context, self.body_weight, self.body_bias)

    def loss(self, weights: Weights, lists: Lists) -> Tensor:
        """Listwise loss of one task times its weight; see `listwise`."""
        score = gate_score(self.logits(weights, lists.hidden), lists)
        return lists.weight * listwise(self.log_sharpness.exp() * score, lists)

    def standing(self, weights: Weights, lists: Lists) -> tuple[Tensor, Tensor]:
        """How well each candidate of one task stands in its list, ``(L,)`` twice.

        First its log-share of the listwise softmax, then 1 / log2(1 + place) from 1 at the top
        to 0 beyond `DEPTH`. Both mean nothing for candidates that do not count.
        """
        score = gate_score(self.logits(weights, lists.hidden), lists)
        share = log_shares(self.log_sharpness.exp() * score, lists)
        ranked = torch.where(lists.log_weight > LEAST / 2, score, -torch.inf)
        above = len(ranked) - torch.searchsorted(ranked.sort().values, ranked, right=True)
        return share, torch.where(above < DEPTH, 1 / torch.log2(above + 2.0), 0.0)

    def logits(self, weights: Weights, hidden: Tensor) -> Tensor:
        """Gate logits, ``(..., S)``, for what `read` gave."""
        if not self.head_only:
            hidden = body(hidden, weights["body_weight"], weights["body_bias"])
        return self.origin + functional.linear(hidden, weights["head_weight"], weights["head_bias"])


def inner_of(config: MamlConfig, n_steps: int | None = None) -> Inner:
    """The inner loop that the settings ask for."""
    return Inner(
        config.n_steps if n_steps is None else n_steps,
        first_order=config.algorithm == "fomaml",
        clip_norm=config.inner_clip,
        pull=config.pull,
    )


def body(context: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """What is read of a request, ``(..., H)``; no dropout and no norm, so both sides see one network."""
    return torch.tanh(functional.linear(context, weight, bias))


def gate_score(logits: Tensor, lists: Lists) -> Tensor:
    """Weighted mean of the scores of the bases that are there, for one task.

    Args:
        logits: ``(S,)``.
        lists: Of one task.

    Returns:
        ``(L,)``; 0 for a candidate that no base can score.
    """
    pull = torch.softmax(logits, dim=-1)
    # Below the least, second derivatives would overflow; such a candidate's score goes to 0.
    return (lists.says @ pull) / (lists.there @ pull).clamp(min=LEAST_TOTAL)


def listwise(score: Tensor, lists: Lists) -> Tensor:
    """Mean over the wanted candidates of −log softmax of the score, for one task.

    Where candidates were drawn, each drawn one stands for as many as its log-weight says, so
    the sum below the fraction is that of the whole list in expectation.

    Args:
        score: ``(L,)``.
        lists: Of one task.

    Returns:
        A scalar; 0 where nothing is wanted.

    Source:
        Cao et al. (2007), "Learning to Rank: From Pairwise Approach to Listwise Approach", the
        top-one cross entropy; Jean et al. (2015), "On Using Very Large Target Vocabulary", for
        the correction.
    """
    return -(log_shares(score, lists) * lists.wanted).sum() / lists.wanted.sum().clamp(min=1)


def log_shares(score: Tensor, lists: Lists) -> Tensor:
    """Log of the softmax of the score over the candidates that count, ``(L,)``; see `listwise`."""
    return score - torch.logsumexp(score + lists.log_weight, dim=-1)
