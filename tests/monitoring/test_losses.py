"""What a list lost, by hand, and what is made of it day by day."""

import math

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset
from crossfade.monitoring.losses import concept_drift, list_losses
from crossfade.monitoring.window import People, Window, acts_of, lists_of
from crossfade.rng import generator
from crossfade.store.log import Impression, ImpressionItem, NewEvent
from crossfade.types import Doubles

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
ITEMS = [f"i{at}" for at in range(9)]
DATASET = Dataset.build(
    pl.DataFrame({"user_id": ["ann"] * 9, "item_id": ITEMS}), None, name="items"
)


def shown(time_us: int, user: str | None, items: str = "abc") -> Impression:
    """A list of three items whose names are i0, i1, i2 for "abc"."""
    names = [ITEMS["abcdefghi".index(one)] for one in items]
    return Impression(
        f"{user}-{time_us}", time_us, "v", "blend",
        [ImpressionItem(name, at, 0.0) for at, name in enumerate(names, 1)], user,
    )  # fmt: skip


def window(lists: list[Impression], events: list[NewEvent]) -> Window:
    people = People()
    return Window(lists_of(lists, DATASET, [], people), acts_of(events, DATASET, people), 0)


def losses(lists: list[Impression], events: list[NewEvent], *, unmet: bool = False) -> list[float]:
    met = DATASET.events if unmet else None
    found = list_losses(window(lists, events), 10 * DAY_US, DAY_US, met)
    return [float(one) for one in found]


def test_a_loss_is_one_less_the_gain_of_the_list() -> None:
    second = 1 / math.log2(3)
    best = [1, 1 + second, 1 + second + 0.5]
    cases = [
        ([0], 0.0),  # the one thing that was wanted, on top
        ([1], 1 - second),  # a place late
        ([5], 1.0),  # not there
        ([0, 1, 2], 0.0),
        ([1, 5], 1 - second / best[1]),
        ([0, 5, 6, 7, 8], 1 - 1 / best[2]),  # a list of three cannot hold five
    ]
    for wanted, expected in cases:
        events = [NewEvent(ITEMS[at], 1 + at, "bob") for at in wanted]
        assert losses([shown(0, "bob")], events) == [pytest.approx(expected, abs=1e-12)]


def test_where_nothing_can_be_said_there_is_no_loss() -> None:
    lists = [
        shown(0, "bob"),  # wanted nothing
        shown(0, "cat"),  # wanted something too late
        shown(0, "dan"),  # skipped
        shown(0, None),  # nobody
        shown(10 * DAY_US - 1, "eve"),  # has not matured
    ]
    events = [
        NewEvent("i0", DAY_US + 1, "cat"),
        NewEvent("i0", 1, "dan", skipped=True),
        NewEvent("i0", 10 * DAY_US, "eve"),
    ]
    assert np.isnan(losses(lists, events)).all()
    assert losses([], []) == []


def test_what_somebody_had_met_is_not_missed_where_lists_leave_it_out() -> None:
    # Bob is no user of the log. He met i5 before his list, and i6 only after it.
    events = [NewEvent("i5", 1, "bob"), NewEvent("i5", 9, "bob"), NewEvent("i6", 9, "bob")]
    both = [shown(5, "bob"), shown(5, "ann")]
    events += [NewEvent("i7", 9, "ann")]  # which she has in the log
    assert losses(both, events) == [1, 1]
    unmet = losses(both, [*events, NewEvent("i0", 10, "bob")], unmet=True)
    assert unmet[0] == pytest.approx(1 - 1 / (1 + 1 / math.log2(3)))  # of i0 and i6, not of i5
    assert math.isnan(unmet[1])


def followed(
    loss: Doubles, person: list[str], day: list[int]
) -> tuple[list[tuple[float, int]], Doubles]:
    lists = [shown(at * DAY_US + 5, name) for name, at in zip(person, day, strict=True)]
    concept, found = concept_drift(
        window(lists, []), loss, delta=0.05, rng=generator(0, "test"), resamples=200
    )
    days = [(one.loss, one.n) for one in concept.days]
    told = [np.nan] * 4
    for one in found:
        numbers = (one.value, one.low, one.high, float(one.n))
        told = [np.nan if number is None else number for number in numbers]
    return days, np.array([*told, concept.changed_us or np.nan])


def test_everybody_counts_once_a_day_and_unknown_losses_not_at_all() -> None:
    days, told = followed(
        np.array([1.0, 1.0, 1.0, 0.0, np.nan, np.nan]),
        ["bob", "bob", "bob", "cat", "dan", "dan"],
        [3, 3, 3, 3, 3, 5],
    )
    assert days == [(0.5, 2)]
    assert told[0] == 0  # no change
    assert told[3] == 2
    assert np.isnan(told[4])
    nothing, told = followed(np.array([np.nan]), ["bob"], [3])
    assert nothing == []
    assert np.isnan(told).all()


def test_a_change_is_told_with_its_day_and_an_interval_over_people() -> None:
    # Each of 40 people is shown a list a day for six days; from the fourth on three quarters of them lose all.
    names = [f"p{at}" for at in range(40)]
    day = np.repeat(np.arange(6), 40)
    loses = np.tile(np.arange(40) % 4 > 0, 6) & (day >= 3)
    days, told = followed(loses.astype(np.float64), names * 6, day.tolist())
    assert days == [(0.0, 40)] * 3 + [(0.75, 40)] * 3
    assert told[4] == 3 * DAY_US
    assert told[[0, 3]].tolist() == [0.75, 40]
    # A share of 0.75 of 40 people: 1.96 √(0.75 · 0.25 / 40) = 0.134 to either side.
    assert told[1:3] == pytest.approx([0.75 - 0.134, 0.75 + 0.134], abs=0.04)


def test_one_busy_person_is_no_change_of_the_world() -> None:
    # 200 lists of one person that begin to miss, among ten people for whom nothing changes.
    day = np.repeat(np.arange(10), 30)
    person = ["busy"] * 20 + [f"p{at}" for at in range(10)]
    loss = np.where((day >= 5) & (np.tile(np.arange(30), 10) < 20), 1.0, 0.0)
    days, told = followed(loss, person * 10, day.tolist())
    assert days[9][0] == pytest.approx(1 / 11)
    assert days[9][1] == 11
    assert np.isnan(told[4])
