"""A task is one person: what they reacted to, then what they wanted next."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from crossfade.fusion.base import LabelledSignals
from crossfade.types import Bools, Doubles, Ints

N_SUPPORT, N_QUERY = 32, 16
"""Most wanted items on each side of a task."""


@dataclass(frozen=True, eq=False)
class Episodes:
    """T tasks: place i of both sides is the same person.

    Where both sides are cut from one list, what the person reacted to is no candidate of the query
    any more. What they wanted later stays a candidate of the support that nobody reacted to yet:
    whoever adapts to real reactions cannot leave it out, for it is not known.

    Attributes:
        support: What a person reacted to.
        query: What they wanted later.
    """

    support: LabelledSignals
    query: LabelledSignals

    def __post_init__(self) -> None:
        if len(self.support) != len(self.query):
            raise ValueError(
                f"{len(self.support)} support lists cannot be matched with {len(self.query)} query lists"
            )
        if self.support.signals.columns != self.query.signals.columns:
            raise ValueError("support and query lists must have the same columns")

    def __len__(self) -> int:
        return len(self.support)

    def take(self, places: Ints) -> "Episodes":
        """Some of the tasks, in the given order."""
        return Episodes(self.support.take(places), self.query.take(places))


def episodes_of(labelled: LabelledSignals, rng: np.random.Generator) -> Episodes:
    """Every task there is in some lists of the same width.

    Who has several lists gives one task for each two that follow one another. Who has just one
    with two wanted candidates or more gives a task cut from it, see `split_list`.

    Args:
        labelled: Lists; of two that name the same person, the one further down is later.
        rng: Cuts lists.
    """
    support, query = consecutive(labelled)
    alone = np.ones(len(labelled), dtype=np.bool_)
    alone[support], alone[query] = False, False
    cut = split_list(labelled.take(np.flatnonzero(alone)), rng)
    pairs = Episodes(
        limited(labelled.take(support), N_SUPPORT, rng), limited(labelled.take(query), N_QUERY, rng)
    )
    return Episodes(_below(pairs.support, cut.support), _below(pairs.query, cut.query))


def consecutive(labelled: LabelledSignals) -> tuple[Ints, Ints]:
    """Places of two lists of one person with something wanted, neighbours in their order.

    Strangers (-1) and lists without a wanted candidate that some base can score take no part.
    """
    people = labelled.signals.user_row
    nothing = np.zeros(0, dtype=np.int64)
    if people is None:
        return nothing, nothing
    teaching = (people >= 0) & teachable(labelled).any(axis=1)
    places = np.flatnonzero(teaching)
    places = places[np.argsort(people[places], kind="stable")]
    same = people[places[1:]] == people[places[:-1]]
    return places[:-1][same], places[1:][same]


def split_list(
    labelled: LabelledSignals,
    rng: np.random.Generator,
    when: Doubles | None = None,
    *,
    n_support: Ints | None = None,
    n_query: int = N_QUERY,
) -> Episodes:
    """Each list cut into support and query: the earlier wanted candidates, then the later ones.

    All other candidates are negatives on both sides, and so are the later wanted ones in the
    support: see `Episodes`. At most `N_SUPPORT` wanted ones go into the support and ``n_query`` into
    the query; the query has no other wanted candidates, not as negatives either.

    Args:
        labelled: Lists; those with fewer than two wanted candidates that some base can score
            give no task.
        rng: Orders wanted candidates whose time is not known.
        when: Time of each wanted candidate, ``(B, L)``, NaN where it is not known; None where
            no time is.
        n_support: Wanted candidates in the support of each list, ``(B,)``, cut so that one at
            least is left for the query; None takes two thirds.
        n_query: Most wanted candidates in the query.
    """
    wanted = teachable(labelled)
    n = wanted.sum(axis=1)
    places = np.flatnonzero(n >= 2)
    labelled, wanted, n = labelled.take(places), wanted[places], n[places]
    first = -(-2 * n // 3) if n_support is None else n_support[places]
    first = np.clip(first, 1, np.minimum(N_SUPPORT, n - 1))[:, None]
    place = order_of(wanted, None if when is None else when[places], rng)
    in_support = wanted & (place < first)
    in_query = wanted & (place >= first) & (place < first + n_query)
    elsewhere = labelled.n_relevant - labelled.relevant.sum(axis=1)
    known = replace(
        labelled, relevant=in_support, n_relevant=in_support.sum(axis=1).astype(np.float64)
    )
    return Episodes(known, _only(labelled, in_query, in_query.sum(axis=1) + elsewhere))


def limited(labelled: LabelledSignals, most: int, rng: np.random.Generator) -> LabelledSignals:
    """Lists with no more than ``most`` wanted candidates, drawn; the others are masked out."""
    wanted = teachable(labelled)
    kept = wanted & (order_of(wanted, None, rng) < most)
    return _only(labelled, kept, labelled.n_relevant - (labelled.relevant & ~kept).sum(axis=1))


def teachable(labelled: LabelledSignals) -> Bools:
    """Wanted candidates that some base can score, ``(B, L)``."""
    there: Bools = labelled.relevant & labelled.signals.scored
    return there


def order_of(wanted: Bools, when: Doubles | None, rng: np.random.Generator) -> Ints:
    """Place of each wanted candidate among those of its list, ``(B, L)``: by time, then drawn."""
    drawn = rng.random(wanted.shape)
    time = np.zeros(wanted.shape) if when is None else np.where(np.isnan(when), np.inf, when)
    order = np.lexsort((drawn, time, ~wanted), axis=1)
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(wanted.shape[1])[None, :], axis=1)
    return places


def _only(labelled: LabelledSignals, kept: Bools, n_relevant: Doubles) -> LabelledSignals:
    """The same lists with only some candidates wanted; the other wanted ones are masked out."""
    mask = labelled.signals.mask & (kept | ~labelled.relevant)
    return replace(
        labelled,
        signals=replace(labelled.signals, mask=mask),
        relevant=kept,
        n_relevant=n_relevant,
    )


def _below(one: LabelledSignals, other: LabelledSignals) -> LabelledSignals:
    """Lists of the same width, one block under the other."""

    def both(name: str) -> Any:
        first, second = getattr(one.signals, name), getattr(other.signals, name)
        return None if first is None else np.concatenate([first, second])

    names = ("score", "mask", "reciprocal_rank", "user", "item", "user_row")
    return LabelledSignals(
        replace(one.signals, **{name: both(name) for name in names}),
        np.concatenate([one.item_row, other.item_row]),
        np.concatenate([one.relevant, other.relevant]),
        np.concatenate([one.n_relevant, other.n_relevant]),
    )
