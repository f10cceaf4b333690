"""What adaptation gains: lists it changed against lists it would have changed, drawn by chance.

Nobody can want what they were not shown, so the list that was shown beats its shadow whichever of them it
is. Therefore some of a person's days, drawn by chance, go without adaptation, and lists are compared
between days. Credit is given only where the two lists differ, since the rest is the same on both kinds of day.
"""

from collections.abc import Iterator

import numpy as np

from crossfade.monitoring.measure import Measure, apart, mean_over_people
from crossfade.monitoring.outcomes import matured, pairs, wanted_after
from crossfade.monitoring.window import Lists, Window
from crossfade.types import MICROSECONDS_PER_DAY, Bools, Doubles, Ints


def adaptation(
    window: Window, until_us: int, horizon_us: int, *, rng: np.random.Generator, resamples: int
) -> Iterator[Measure]:
    """Gain, how many lists a head changed, and how much of them.

    ``adaptation_gain`` is the discounted gain of a list (1 / log2(1 + place) for each item wanted within the
    horizon that stands elsewhere in the shadow, or not at all) on days with adaptation, less that on days
    without, weighted by the chance of each. Of a person's day only the first list counts for which a head did: what
    came before it was the same on both kinds of day. ``n`` is the people of the kind that has fewer.

    Args:
        window: What was shown and done.
        until_us: The moment up to which outcomes are known.
        horizon_us: How long an outcome may take.
        rng: Draws people.
        resamples: Draws of all of them.
    """
    lists = window.lists
    has_shadow = ~np.isnan(lists.adapted)
    if not has_shadow.any():
        return
    person, moved = apart(lists.person), _moved(lists)
    in_some = has_shadow[lists.owner]
    for name, values, whose in (
        ("adapted", lists.adapted == 1, person),
        ("adaptation_moves", moved[in_some], person[lists.owner][in_some]),
    ):
        yield mean_over_people(name, "", values, whose, rng=rng, resamples=resamples)
    of = _first_of_day(lists, has_shadow & matured(lists, until_us, horizon_us))
    wanted = wanted_after(lists, window.acts, of, horizon_us)
    hit = np.isin(
        pairs(lists.owner, lists.item_row),
        pairs(wanted["owner"].to_numpy(), wanted["item_row"].to_numpy()),
    )
    credit = np.where(hit & moved, 1 / np.log2(1 + lists.place), 0.0)
    value: Doubles = np.bincount(lists.owner, weights=credit, minlength=len(lists)).astype(float)
    yield _difference(
        value[of],
        lists.adapted[of] == 1,
        lists.chance[of],
        lists.person[of],
        rng=rng,
        resamples=resamples,
    )


def _moved(lists: Lists) -> Bools:
    """Places whose item stands elsewhere in the shadow, ``(N,)``; all where there is none."""
    there = np.stack([lists.owner, lists.place, lists.item_row.astype(np.int64)], axis=1)
    other = np.stack(
        [lists.shadow_owner, lists.shadow_place, lists.shadow_row.astype(np.int64)], axis=1
    )
    _, number = np.unique(np.concatenate([there, other]), axis=0, return_inverse=True)
    number = number.ravel()
    return ~np.isin(number[: len(there)], number[len(there) :])


def _first_of_day(lists: Lists, of: Bools) -> Bools:
    """The earliest of some lists on each person's days, ``(n,)``."""
    at = np.flatnonzero(of)
    at = at[np.argsort(lists.time_us[at], kind="stable")]
    days = np.stack([lists.person[at], lists.time_us[at] // MICROSECONDS_PER_DAY], axis=1)
    first = np.zeros(len(lists), dtype=np.bool_)
    first[at[np.unique(days, axis=0, return_index=True)[1]]] = True
    return first


def _difference(
    value: Doubles,
    adapted: Bools,
    chance: Doubles,
    person: Ints,
    *,
    rng: np.random.Generator,
    resamples: int,
) -> Measure:
    """Mean with adaptation less mean without, with an interval over people."""
    who = np.unique(person, return_inverse=True)[1]
    n_people = int(who.max(initial=-1)) + 1
    parts = [(one, chance[one] ** -1) for one in (adapted, ~adapted)]
    # Of each person: weight and weighted value with adaptation, the same without, (n_people, 4).
    sums = np.stack(
        [
            np.bincount(who[one], weights=weight * times, minlength=n_people)
            for one, weight in parts
            for times in (1.0, value[one])
        ],
        axis=1,
    )
    n = min(len(np.unique(who[one])) for one, _ in parts)
    name = {"name": "adaptation_gain", "of": ""}
    if n == 0:
        return Measure(**name, value=None, n=0)
    times = rng.multinomial(n_people, np.full(n_people, 1 / n_people), size=resamples)
    drawn = _gain(np.asarray(times @ sums, dtype=np.float64))
    drawn = drawn[~np.isnan(drawn)]
    low, high = np.quantile(drawn, [0.025, 0.975]) if n > 1 and len(drawn) else (np.nan, np.nan)
    return Measure(**name, value=float(_gain(sums.sum(axis=0))), low=low, high=high, n=n)


def _gain(sums: Doubles) -> Doubles:
    """NaN where one kind of day has nobody."""
    weight, given, other, without = np.moveaxis(sums, -1, 0)
    both = (weight > 0) & (other > 0)
    gain = given / np.where(both, weight, 1.0) - without / np.where(both, other, 1.0)
    return np.where(both, gain, np.nan)
