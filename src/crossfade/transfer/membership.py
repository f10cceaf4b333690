"""Whether an export tells who was in the source: an attack that the owner of a source can run on itself."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import rankdata

from crossfade.data import Dataset
from crossfade.errors import DataError
from crossfade.evaluation.statistics import resampled_means
from crossfade.fusion.base import LabelledSignals
from crossfade.fusion.few_shot.network import Lists, losses
from crossfade.rng import generator
from crossfade.transfer.config import TransferConfig
from crossfade.transfer.drawing import asked, draw, event_places, lists_of
from crossfade.transfer.facts import Record, domain_facts
from crossfade.transfer.knowledge import Knowledge
from crossfade.types import Bools, Doubles

FEWEST = 20
"""People on each side below which the attack says nothing."""

RESAMPLES = 2_000

MOST_SHOTS = 5
"""Events of somebody's record that are history; what came later is what gives them away."""


@dataclass(frozen=True)
class Membership:
    """How well an attacker tells members of a source from others.

    Attributes:
        auc: Chance that a member looks more like one than somebody else does; 0.5 is guessing.
        low: Lower end of its 95 % interval.
        high: Upper end.
        n_members: People who were in the source.
        n_others: People who were not.
    """

    auc: float
    low: float
    high: float
    n_members: int
    n_others: int


def membership(dataset: Dataset, config: TransferConfig, seed: int) -> Membership:
    """Attack what would be exported of a source.

    A third of the people make the source; the attacker holds what it exported, the whole record of
    somebody who was in it or of somebody who was not, and a third that was neither. From that
    third a second export is made: somebody is taken for a member where the first foretells what
    they wanted better than the second does, which takes away how easy they are to foretell at all.

    Args:
        dataset: The whole source.
        config: How it is learned from.
        seed: Deals the thirds.

    Raises:
        DataError: If there are too few people.

    Source:
        Carlini et al. (2022), "Membership Inference Attacks From First Principles", arXiv 2112.03570,
        §4, with one shadow model; the difference of losses in place of its likelihood ratio.
    """
    rng = generator(seed, "transfer.membership")
    third = rng.integers(3, size=dataset.n_users)
    users = dataset.events["user_row"].to_numpy()
    shots = min(max(config.shots), MOST_SHOTS)
    able = np.bincount(users, minlength=dataset.n_users) > shots
    sides = [int((able & (third == side)).sum()) for side in (0, 1)]
    if min(sides) < FEWEST:
        raise DataError(
            f"{dataset.name}: {sides[0]} members and {sides[1]} others have more than {shots} events, {FEWEST} of "
            "each are needed; take more data or fewer shots"
        )
    members, reference = (dataset.where(pl.Series(third[users] == part)) for part in (0, 2))
    known, shadow = (Knowledge.of(part, config, seed) for part in (members, reference))
    small = draw(reference, min(config.users), shots, config.n_requests, rng)
    place = event_places(dataset, rng)
    people = np.flatnonzero(able & (third < 2)).astype(np.int32)
    trial = asked(small.log, dataset, people, place < shots)
    lists, own = (
        lists_of([one], config.bases, config.n_candidates, seed) for one in (trial, small.test)
    )
    assert lists is not None
    assert own is not None
    facts = domain_facts(small.log), Record.of(own).evidence()
    signs = _losses(shadow, facts, lists) - _losses(known, facts, lists)
    person = lists.signals.user_row
    assert person is not None
    told = np.isfinite(signs)
    return _area(signs[told], third[person[told]] == 0, rng)


def _losses(known: Knowledge, facts: tuple[Doubles, Doubles], lists: LabelledSignals) -> Doubles:
    return losses(known.prior.parameters(*facts), Lists.of(lists))


def _area(signs: Doubles, inside: Bools, rng: np.random.Generator) -> Membership:
    """Area under the curve with an interval over people: the mean place of a member among the others."""
    n_members, n_others = int(inside.sum()), int((~inside).sum())
    among = rankdata(signs)[inside] - rankdata(signs[inside])
    shares = (among / n_others)[:, None]
    drawn = resampled_means(shares, RESAMPLES, rng)[:, 0]
    # The others are a sample too: their part of the variance is that of their own shares.
    theirs = (rankdata(signs)[~inside] - rankdata(signs[~inside])) / n_members
    spread = float(np.hypot(drawn.std(), theirs.std() / np.sqrt(n_others)))
    auc = float(shares.mean())
    return Membership(auc, auc - 1.96 * spread, auc + 1.96 * spread, n_members, n_others)
