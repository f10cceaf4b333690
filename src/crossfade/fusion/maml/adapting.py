"""Fast weights of single people: made from few reactions, guarded, and kept outside the gate."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from crossfade.fusion.base import Fused, LabelledSignals, Signals
from crossfade.fusion.maml.config import MamlConfig
from crossfade.fusion.maml.inner import Inner, Weights, adapt
from crossfade.fusion.maml.network import LEAST, Lists, MamlGate, inner_of, lists_of
from crossfade.fusion.maml.tasks import teachable
from crossfade.fusion.matrix import weighted
from crossfade.types import Bools, Doubles, Floats, Ints, Rows

REQUESTS_AT_ONCE = 64
"""Requests that are adapted or answered together, so that memory stays bounded."""


@dataclass(frozen=True, eq=False)
class Adapted:
    """What some people's reactions made of the start; the model itself knows nothing of it.

    Attributes:
        weights: Fast weights by name, each with the people along its first axis; those of the
            start where they were not kept.
        kept: Whose weights differ from the start, ``(B,)``.
        gain: By how much adapting lowered the loss of held-back reactions, ``(B,)``; NaN where
            there were fewer than two reactions, so that nothing could be held back.
        n_reactions: How many were learned from, ``(B,)``.
        user_row: Whose they are, ``(B,)``; None where nobody is named.
    """

    weights: dict[str, Floats]
    kept: Bools
    gain: Doubles
    n_reactions: Ints
    user_row: Rows | None

    def __len__(self) -> int:
        return len(self.kept)


def adapt_people(
    gate: MamlGate,
    labelled: LabelledSignals,
    context: Floats,
    config: MamlConfig,
    n_steps: int | None,
) -> Adapted:
    """Fast weights of the person behind each list; see `Maml.adapt`."""
    inner = inner_of(config, n_steps)
    wanted = teachable(labelled)
    n = wanted.sum(axis=1)
    gain = np.full(len(n), np.nan)
    weights = {
        name: np.repeat(value.detach().numpy()[None], len(n), axis=0)
        for name, value in gate.start().items()
    }
    kept = n >= config.min_reactions
    for first in range(0, len(n), REQUESTS_AT_ONCE):
        places = np.arange(first, min(first + REQUESTS_AT_ONCE, len(n)))
        part = labelled.take(places)
        found = held_back(gate, part, context[places], config, inner)
        gain[places] = np.where(n[places] >= 2, found.gain, np.nan)
        kept[places] &= (n[places] < 2) | found.accepted
        fast = adapted_weights(gate, part, context[places], config, inner)
        here = kept[places]
        for name, value in fast.items():
            weights[name][places[here]] = value.numpy()[here]
    return Adapted(weights, kept, gain, n, labelled.signals.user_row)


def adapted_weights(
    gate: MamlGate, labelled: LabelledSignals, context: Floats, config: MamlConfig, inner: Inner
) -> Weights:
    """Weights after adapting to each list, the lists along the first axis; without gradients."""
    lists = _whole(labelled, context, gate)
    with torch.no_grad():
        return _adapted(gate, gate.read(lists).shrunk(config.shrink), config, inner)


@dataclass(frozen=True, eq=False)
class HeldBack:
    """What adapting to the others did to the held-back reactions of each person.

    Attributes:
        gain: By how much the loss of a reaction fell, the mean, ``(B,)``; 0 without reactions.
        rise: By how much the discounted gain of a reaction in the first `DEPTH` places rose, the
            mean, ``(B,)``; in [-1, 1].
    """

    gain: Doubles
    rise: Doubles

    @property
    def accepted(self) -> Bools:
        """Who may keep the adapted weights, ``(B,)``.

        The loss must fall, and what people see must not get worse: the loss alone also counts
        what happens far down the list.
        """
        better: Bools = (self.gain > 0) & (self.rise >= 0)
        return better


def held_back(
    gate: MamlGate, labelled: LabelledSignals, context: Floats, config: MamlConfig, inner: Inner
) -> HeldBack:
    """Each person's reactions without adapting beside those after adapting to the other ones.

    Reactions are cut into ``config.n_folds`` parts. Each part is held back once, while the weights
    adapt to the others. As in real life, what is held back is not known then: it stays a candidate
    that nobody reacted to. The parts that are known are no candidates when the held-back one is
    judged.
    """
    lists = _whole(labelled, context, gate)
    order = (lists.wanted.cumsum(dim=1) - 1).long() % config.n_folds
    gain, rise = torch.zeros_like(lists.wanted), torch.zeros_like(lists.wanted)
    with torch.no_grad():
        start = gate.start()
        for fold in range(config.n_folds):
            held = lists.wanted * (order == fold)
            others = lists.wanted - held
            support = gate.read(lists._replace(wanted=others)).shrunk(config.shrink)
            query = gate.read(_only(lists, held))
            fast = _adapted(gate, support, config, inner)
            share, place = vmap(gate.standing, in_dims=(None, 0))(start, query)
            new_share, new_place = vmap(gate.standing)(fast, query)
            gain += (new_share - share) * held
            rise += (new_place - place) * held
    n = lists.wanted.sum(dim=1).clamp(min=1)
    parts = (gain.sum(dim=1) / n, rise.sum(dim=1) / n)
    return HeldBack(*(part.cpu().numpy().astype(np.float64) for part in parts))


def blended(gate: MamlGate, weights: Weights, signals: Signals, context: Floats) -> Floats:
    """Only the scores of `fused`."""
    return fused(gate, weights, signals, context).score


def fused(gate: MamlGate, weights: Weights, signals: Signals, context: Floats) -> Fused:
    """A batch blended with the gate's start, or with the weights of each request.

    Args:
        gate: On the CPU or not.
        weights: Those of `MamlGate.start`, or the same with the requests along a first axis.
        signals: B requests.
        context: What is read of them.
    """
    device = gate.origin.device
    hidden = torch.from_numpy(context).to(device)
    with torch.no_grad():
        hidden = gate.read_hidden(hidden)
        if weights["head_bias"].ndim == 1:
            logits = gate.logits(weights, hidden)
        elif len(hidden):
            logits = vmap(gate.logits)(weights, hidden)
        else:  # vmap refuses to map over nothing
            logits = hidden.new_zeros(0, len(gate.origin))
    values = logits.cpu().numpy().astype(np.float64)
    pull = np.exp(values - values.max(axis=-1, keepdims=True))
    return weighted(signals.score, signals.available, pull[:, None, :])


def _whole(labelled: LabelledSignals, context: Floats, gate: MamlGate) -> Lists:
    """Whole lists, every candidate standing for itself."""
    nothing = np.zeros(labelled.signals.mask.shape, dtype=np.float32)
    lists = lists_of(labelled, context, nothing)
    return Lists(*(part.to(gate.origin.device) for part in lists))


def _only(lists: Lists, wanted: Tensor) -> Lists:
    """With only some of the wanted candidates; the others do not count, not as negatives either."""
    other = (lists.wanted > 0) & (wanted == 0)
    return lists._replace(wanted=wanted, log_weight=torch.where(other, LEAST, lists.log_weight))


def _adapted(gate: MamlGate, lists: Lists, config: MamlConfig, inner: Inner) -> Weights:
    """For lists that were read."""
    start, rates = gate.start(), gate.rates(config)
    if not inner.n_steps:
        return {name: w.detach().expand(len(lists.wanted), *w.shape) for name, w in start.items()}
    found: Weights = vmap(lambda one: adapt(start, gate.loss, one, rates, inner))(lists)
    return found
