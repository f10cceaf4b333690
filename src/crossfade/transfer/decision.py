"""Whether to carry anything: all options compete on the target's own lists, and few lists say little."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from crossfade.fusion.few_shot.model import FewShotGate
from crossfade.fusion.few_shot.network import Lists, losses
from crossfade.transfer.case import Case, Option, Verdict
from crossfade.transfer.config import TransferConfig
from crossfade.transfer.facts import quality
from crossfade.transfer.knowledge import Knowledge
from crossfade.transfer.options import competing
from crossfade.transfer.tasks import Support
from crossfade.types import Doubles

SURE = 0.95
"""Of intervals."""

FEWEST = 3
"""Lists below which nothing is carried: their spread cannot be told."""


class Judged(NamedTuple):
    """What an option did on lists it had not learned from, ``(B,)`` each; NaN where it offered nothing.

    Attributes:
        loss: Nats it took to foretell what was wanted; NaN for lists that want nothing that can be scored.
        quality: NDCG@10.
    """

    loss: Doubles
    quality: Doubles


@dataclass(frozen=True)
class Standing:
    """How one option did on lists it had not learned from.

    Attributes:
        name: Of the option.
        verdict: What choosing it means.
        quality: Mean NDCG@10; None where it had nothing to offer.
        gain: By how many nats per list it is expected to foretell better than starting from nothing,
            after shrinkage; None where it had nothing to offer or too few lists tell.
        low: Lower end of the interval of that.
        high: Upper end.
    """

    name: str
    verdict: Verdict
    quality: float | None
    gain: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Decision:
    """What is carried into a target.

    Attributes:
        verdict: transfer, partly, or not.
        option: Name of what was chosen.
        standings: Of all options that could be judged, starting from nothing first.
        n: Lists that decided.
    """

    verdict: Verdict
    option: str
    standings: tuple[Standing, ...]
    n: int

    @property
    def chosen(self) -> Standing:
        """The standing of what was chosen."""
        return next(one for one in self.standings if one.name == self.option)


def decide(
    sources: Sequence[Knowledge],
    support: Support,
    config: TransferConfig,
    rng: np.random.Generator,
) -> Decision:
    """Let all options settle on some of the target's lists and be judged by the others, in turn.

    Judged is how surely they foretell what was wanted: on a few dozen lists NDCG is mostly chance. The
    expected gain is drawn towards none by how much carrying usually gains or loses
    (``config.usual_gain``). Ties go to starting from nothing, and so does a target in which nobody has two
    events: it can ask itself for strangers only, and how they fare says nothing of people with a history.

    Args:
        sources: What may be carried.
        support: What the target knows of itself.
        config: How.
        rng: Deals lists to folds.
    """
    options = competing(sources)
    judged = cross_judged(sources, support, config, rng)
    if not support.shows_histories:
        options = options[:1]
    return weigh(judged, options, config)


def cross_judged(
    sources: Sequence[Knowledge],
    support: Support,
    config: TransferConfig,
    rng: np.random.Generator,
) -> dict[str, Judged]:
    """Every list judged by each option that had not seen it, by name of the option."""
    options = competing(sources)
    n = len(support.lists)
    fold = rng.permutation(n) % min(config.n_folds, n)
    judged = {one.name: Judged(np.full(n, np.nan), np.full(n, np.nan)) for one in options}
    for number in range(fold.max() + 1):
        held = np.flatnonzero(fold == number)
        case = Case.of(sources, support, config, np.flatnonzero(fold != number))
        lists = support.lists.take(held)
        tensors = Lists.of(lists)
        for option in options:
            gate = option.settle(case)
            if gate is None:
                continue
            score = FewShotGate.carried(gate, lists.signals.columns).forward(lists.signals).score
            judged[option.name].loss[held] = losses(gate, tensors)
            judged[option.name].quality[held] = quality(score, lists)
    return judged


def weigh(
    judged: Mapping[str, Judged], options: Sequence[Option], config: TransferConfig
) -> Decision:
    """The decision from what `cross_judged` found; the first option is starting from nothing."""
    scratch = judged[options[0].name]
    standings = tuple(_standing(one, judged[one.name], scratch, config) for one in options)
    n = int(np.isfinite(scratch.loss).sum())
    carried = [one for one in standings[1:] if one.gain is not None and one.gain > 0]
    best = max(carried, key=lambda one: one.gain or 0.0, default=standings[0])
    return Decision(best.verdict, best.name, standings, n)


def _standing(option: Option, judged: Judged, scratch: Judged, config: TransferConfig) -> Standing:
    if np.isnan(judged.quality).any():  # in some fold it had nothing to offer
        return Standing(option.name, option.verdict, None, None, None, None)
    mean = float(judged.quality.mean())
    apart = scratch.loss - judged.loss
    apart = apart[np.isfinite(apart)]
    if len(apart) < FEWEST:
        return Standing(option.name, option.verdict, mean, None, None, None)
    noise = float(apart.var(ddof=1)) / len(apart)
    usual = config.usual_gain**2
    believed = usual / (usual + noise)
    gain = believed * float(apart.mean())
    half = float(ndtri((1 + SURE) / 2) * np.sqrt(believed * noise))
    return Standing(option.name, option.verdict, mean, gain, gain - half, gain + half)
