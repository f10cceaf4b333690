"""Whether to carry anything: all options compete on the target's own lists, and few lists say little."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from crossfade.transfer.case import Case, Option, Verdict
from crossfade.transfer.config import TransferConfig
from crossfade.transfer.facts import quality
from crossfade.transfer.knowledge import Knowledge
from crossfade.transfer.options import competing
from crossfade.transfer.tasks import Support
from crossfade.types import Doubles

SURE = 0.95
"""Of intervals."""


@dataclass(frozen=True)
class Standing:
    """How one option did on lists it had not learned from.

    Attributes:
        name: Of the option.
        verdict: What choosing it means.
        quality: Mean NDCG@10; None where it had nothing to offer.
        gain: What it is expected to gain over starting from nothing, relative, after shrinkage; None likewise.
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
        reference: Name of the best way to start from nothing.
        standings: Of all options, in the order of `options.OPTIONS`.
        n: Lists that decided.
    """

    verdict: Verdict
    option: str
    reference: str
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

    The expected gain is drawn towards none by how much transfers usually gain or lose
    (``config.usual_gain``): what a few dozen lists say may be chance. Ties go to starting from nothing.

    Args:
        sources: What may be carried.
        support: What the target knows of itself.
        config: How.
        rng: Deals lists to folds.
    """
    return weigh(cross_judged(sources, support, config, rng), competing(sources), config)


def cross_judged(
    sources: Sequence[Knowledge],
    support: Support,
    config: TransferConfig,
    rng: np.random.Generator,
) -> dict[str, Doubles]:
    """NDCG@10 of every list by each option that had not seen it, ``(B,)``; NaN where it offered nothing."""
    options = competing(sources)
    n = len(support.lists)
    fold = rng.permutation(n) % min(config.n_folds, n)
    judged = {option.name: np.full(n, np.nan) for option in options}
    for number in range(fold.max() + 1):
        held = np.flatnonzero(fold == number)
        case = Case.of(sources, support, config, np.flatnonzero(fold != number))
        lists = support.lists.take(held)
        for option in options:
            gate = option.settle(case)
            if gate is not None:
                judged[option.name][held] = quality(gate.score(lists), lists)
    return judged


def weigh(
    judged: dict[str, Doubles], options: Sequence[Option], config: TransferConfig
) -> Decision:
    """The decision from what `cross_judged` found."""
    scratch = [option.name for option in options if option.verdict == "not"]
    reference = max(scratch, key=lambda name: judged[name].mean())
    base = judged[reference]
    standings = tuple(_standing(option, judged[option.name], base, config) for option in options)
    best = max(
        (one for one in standings if one.gain is not None and one.verdict != "not"),
        key=lambda one: one.gain or 0.0,
        default=None,
    )
    if best is None or best.gain is None or best.gain <= 0:
        return Decision("not", reference, reference, standings, len(base))
    return Decision(best.verdict, best.name, reference, standings, len(base))


def _standing(option: Option, judged: Doubles, base: Doubles, config: TransferConfig) -> Standing:
    if np.isnan(judged).any():  # in some fold it had nothing to offer
        return Standing(option.name, option.verdict, None, None, None, None)
    mean, level = float(judged.mean()), float(base.mean())
    if level == 0 or len(base) < 2:
        return Standing(option.name, option.verdict, mean, 0.0, None, None)
    apart = (judged - base) / level
    noise = float(apart.var(ddof=1)) / len(apart)
    usual = config.usual_gain**2
    believed = usual / (usual + noise)
    gain = believed * float(apart.mean())
    half = float(ndtri((1 + SURE) / 2)) * np.sqrt(believed * noise)
    return Standing(option.name, option.verdict, mean, gain, gain - half, gain + half)
