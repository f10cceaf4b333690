"""What adaptation gains, in worlds where it helps, harms or does nothing by construction."""

from collections.abc import Callable

import numpy as np
import pytest

from crossfade.data import Dataset
from crossfade.monitoring.adaptation import adaptation
from crossfade.monitoring.measure import Measure
from crossfade.monitoring.window import People, Window, acts_of, lists_of
from crossfade.rng import generator
from crossfade.store.log import Impression, ImpressionItem, NewEvent, Shadow

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
N_ITEMS, K = 60, 5
UNTIL = 30 * DAY_US


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    import polars as pl

    plays = {"user_id": ["u"] * N_ITEMS, "item_id": [f"i{at:02}" for at in range(N_ITEMS)]}
    return Dataset.build(pl.DataFrame(plays), None, name="items")


def shown(
    name: str,
    user: str,
    time_us: int,
    lists: tuple[list[str], list[str]],
    *,
    adapted: bool,
    held: float,
) -> Impression:
    """A list and its shadow; the first of two is the one without the head."""
    mine, other = lists[adapted], lists[not adapted]
    items = [ImpressionItem(item, at, 0.0) for at, item in enumerate(mine, 1)]
    shadow = Shadow(other, adapted, 1 - held if adapted else held)
    return Impression(name, time_us, "v", "blend", items, user, shadow=shadow)


def found(dataset: Dataset, shown: list[Impression], events: list[NewEvent]) -> dict[str, Measure]:
    people = People()
    window = Window(lists_of(shown, dataset, [], people), acts_of(events, dataset, people), 0)
    told = adaptation(window, UNTIL, DAY_US, rng=generator(0, "test"), resamples=200)
    return {one.name: one for one in told}


def world(
    dataset: Dataset, chance: Callable[[bool], float], seed: int, held: float = 0.3
) -> tuple[list[Impression], list[NewEvent]]:
    """People who are shown three lists a day for twelve days and want only what they are shown.

    ``chance`` is that of wanting an item of the list, by whether the head put it there. Three items are on
    both lists at other places, two on one of them alone.
    """
    rng, lists, events = np.random.default_rng(seed), [], []
    for person in range(60):
        for day in range(12):
            adapted = bool(rng.random() >= held)
            items = [f"i{at:02}" for at in rng.permutation(N_ITEMS)[:7].tolist()]
            both = (items[:5], [items[5], *items[2:5], items[6]])
            for hour in (8, 12, 16):
                time_us = day * DAY_US + hour * HOUR_US
                name, user = f"{person}-{day}-{hour}", f"u{person}"
                lists.append(shown(name, user, time_us, both, adapted=adapted, held=held))
                events += [
                    NewEvent(item, time_us + HOUR_US, user)
                    for item in both[adapted]
                    if rng.random() < chance(adapted)
                ]
    return lists, events


@pytest.mark.parametrize("kind", ["helps", "harms"])
def test_a_gain_or_loss_is_found_and_its_size_too(dataset: Dataset, kind: str) -> None:
    rates = {True: 0.10, False: 0.05} if kind == "helps" else {True: 0.05, False: 0.10}
    lists, events = world(dataset, rates.__getitem__, seed=1)
    gain = found(dataset, lists, events)["adaptation_gain"]
    assert gain.low is not None
    assert gain.high is not None
    assert gain.n >= 55
    # Wanted within the day after the first list: at one of three times. Places 1 to 5 differ, except
    # those where both lists have the same item, of which there are none.
    wanted = {adapted: 1 - (1 - rate) ** 3 for adapted, rate in rates.items()}
    truth = (wanted[True] - wanted[False]) * (1 / np.log2(1 + np.arange(1, K + 1))).sum()
    assert gain.low <= truth <= gain.high
    assert (gain.low > 0) if kind == "helps" else (gain.high < 0)


def test_that_people_want_what_they_are_shown_is_no_gain(dataset: Dataset) -> None:
    # Whatever is shown is wanted as often: a list beats its shadow in all of these worlds.
    inside = 0
    for seed in range(12):
        lists, events = world(dataset, lambda _: 0.07, seed)
        gain = found(dataset, lists, events)["adaptation_gain"]
        assert gain.low is not None
        assert gain.high is not None
        inside += gain.low <= 0 <= gain.high
    assert inside >= 10  # of 12, where 11 are expected


@pytest.mark.parametrize(
    ("shadow", "places"),
    [
        (["a", "b", "c"], []),  # the same list
        (["a", "c", "b"], [2, 3]),
        (["a", "b", "x"], [3]),
        (["a"], [2, 3]),
        ([], [1, 2, 3]),
    ],
)
def test_credit_is_given_where_lists_differ(
    dataset: Dataset, shadow: list[str], places: list[int]
) -> None:
    ids = dict(zip("abcx", dataset.item_ids.ids.to_list(), strict=False))
    both = ([ids[name] for name in shadow], [ids[name] for name in "abc"])
    lists = [
        shown("r1", "ann", HOUR_US, both, adapted=True, held=0.5),
        shown("r2", "bob", HOUR_US, both, adapted=False, held=0.5),
    ]
    events = [NewEvent(ids[name], 2 * HOUR_US, "ann") for name in "abc"]
    told = found(dataset, lists, events)
    assert told["adaptation_gain"].value == pytest.approx(sum(1 / np.log2(1 + at) for at in places))
    assert told["adaptation_gain"].n == 1
    assert told["adapted"].value == 0.5


def test_only_the_first_list_of_a_day_counts(dataset: Dataset) -> None:
    ids = dataset.item_ids.ids.to_list()
    both = ([ids[0]], [ids[1]])
    lists = [
        shown("r0", "bob", HOUR_US, both, adapted=False, held=0.5),
        shown("r1", "ann", 3 * HOUR_US, both, adapted=True, held=0.5),
        shown("r2", "ann", HOUR_US, ([ids[0]], [ids[2]]), adapted=True, held=0.5),
        shown("r3", "ann", DAY_US + HOUR_US, ([ids[0]], [ids[3]]), adapted=True, held=0.5),
    ]
    second, first, next_day = (
        found(dataset, lists, [NewEvent(ids[at], time_us, "ann")])["adaptation_gain"].value
        for at, time_us in ((1, 4 * HOUR_US), (2, 4 * HOUR_US), (3, DAY_US + 2 * HOUR_US))
    )
    assert (second, first, next_day) == (0.0, 0.5, 0.5)


def test_days_are_weighted_by_their_chance(dataset: Dataset) -> None:
    # Days that were rarely held back stand for more of those with a head's counterpart.
    ids = dataset.item_ids.ids.to_list()
    both = ([ids[0]], [ids[1]])
    lists = [
        shown("r1", "ann", HOUR_US, both, adapted=True, held=0.5),
        shown("r2", "bob", HOUR_US, both, adapted=False, held=0.5),
        shown("r3", "eve", HOUR_US, both, adapted=False, held=0.1),
    ]
    gain = found(dataset, lists, [NewEvent(ids[0], 2 * HOUR_US, "eve")])["adaptation_gain"]
    assert gain.value == pytest.approx(-10 / 12)


def test_without_days_of_both_kinds_there_is_no_gain(dataset: Dataset) -> None:
    ids = dataset.item_ids.ids.to_list()
    one = shown("r1", "ann", HOUR_US, ([ids[0]], [ids[1]]), adapted=True, held=0.0)
    told = found(dataset, [one], [])
    assert (told["adaptation_gain"].value, told["adaptation_gain"].n) == (None, 0)
    young = shown("r2", "bob", UNTIL - HOUR_US, ([ids[0]], [ids[1]]), adapted=False, held=0.5)
    assert found(dataset, [one, young], [])["adaptation_gain"].n == 0
    assert found(dataset, [], []) == {}
