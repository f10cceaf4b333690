"""What is usual: ranges, how far another stretch may lie, and how popular items are with others."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.data import Dataset
from crossfade.monitoring.alerts import RULES, broken
from crossfade.monitoring.drift import Sample
from crossfade.monitoring.facts import Wanted
from crossfade.monitoring.inputs import normalisation
from crossfade.monitoring.measure import Measure
from crossfade.monitoring.usual import with_usual

DAY_US = 86_400_000_000


def measure(value: float | None, of: str = "x") -> Measure:
    return Measure(name="psi", of=of, value=value, n=100)


def test_limits_are_those_of_one_more_draw() -> None:
    # By the table of Student's distribution with 3 degrees of freedom: 4.541 is passed once in a hundred.
    (found,) = with_usual([measure(9.0)], [[measure(one)] for one in (1.0, 2.0, 3.0, 4.0)], 0.01)
    reach = 4.541 * np.sqrt(5 / 3) * np.sqrt(1.25)
    assert (found.usual_low, found.usual_high, found.n_usual) == (1.0, 4.0, 4)
    assert found.expected_low == pytest.approx(2.5 - reach, abs=1e-3)
    assert found.expected_high == pytest.approx(2.5 + reach, abs=1e-3)
    assert found.value == 9.0


def test_what_nothing_is_known_of_has_no_limits() -> None:
    one, other = with_usual(
        [measure(1.0), measure(2.0, "y")], [[measure(None), measure(5.0, "y")]], 0.01
    )
    assert one == measure(1.0)
    assert (other.usual_low, other.n_usual, other.expected_high) == (5.0, 1, None)


@given(st.floats(0.001, 0.5), st.lists(st.floats(-10, 10), min_size=2, max_size=9))
def test_the_rarer_an_alarm_may_be_the_wider_the_limits(share: float, values: list[float]) -> None:
    each = [[measure(one)] for one in values]
    (often,), (rarely,) = (with_usual([measure(0.0)], each, part) for part in (share, share / 10))
    assert often.expected_high is not None
    assert rarely.expected_high is not None
    assert rarely.expected_high >= often.expected_high >= np.mean(values) - 1e-9


def test_a_quiet_world_alarms_as_often_as_it_is_told_to() -> None:
    # Ninety measures of a world in which nothing happens, over and over, with eight stretches before.
    rng, alarms, n_worlds, n = np.random.default_rng(0), 0, 200, 90
    rule = next(one for one in RULES if one.name == "input_drift").changed(at_least=None, slack=0.0)
    ranges = 0
    for _ in range(n_worlds):
        values = rng.normal(100, 1, (9, n))
        found, *each = [[measure(one, str(at)) for at, one in enumerate(row)] for row in values]
        told = with_usual(found, each, 0.1 / n)
        alarms += bool(broken(told, [rule]))
        bare = [one.model_copy(update={"expected_high": None}) for one in told]
        ranges += bool(broken(bare, [rule]))
    assert 0.04 < alarms / n_worlds < 0.17
    assert ranges == n_worlds  # as by the largest of eight alone


def test_popularity_is_that_with_others_before() -> None:
    # a: ann day 0, bob day 1, again day 3; b: ann day 2; c: nobody before day 4.
    plays = [("ann", "a", 0), ("bob", "a", 1), ("ann", "b", 2), ("bob", "a", 3), ("eve", "c", 4)]
    start = 1_600_000_000_000_000
    frame = pl.DataFrame(plays, schema=["user_id", "item_id", "day"], orient="row").select(
        "user_id",
        "item_id",
        timestamp=(start + pl.col("day") * DAY_US).cast(pl.Datetime("us", "UTC")),
    )
    data = Dataset.build(frame, None, name="few")
    wanted = Wanted.of(data)

    def popularity(user: str | None, item: str | None, day: int) -> float:
        user_row = -1 if user is None else data.user_ids.row(user)
        item_row = -1 if item is None else data.item_ids.row(item)
        rows = np.array([user_row], np.int32), np.array([item_row], np.int32)
        return float(wanted.popularity(*rows, start + day * DAY_US)[0])

    # On day 4: a has two users, b one; of three wishes one is of items with fewer users than two.
    assert popularity(None, "a", 4) == pytest.approx(1 / 3)
    assert popularity("ann", "a", 4) == 0  # one other: none of items with fewer than one
    assert popularity(None, "b", 4) == popularity("ann", "b", 4) == popularity("eve", "c", 4) == 0
    assert popularity("eve", "a", 9) == pytest.approx(2 / 4)
    assert popularity("bob", "a", 1) == 0  # ann's alone, and nothing has fewer
    assert np.isnan(popularity("ann", None, 4))
    assert np.isnan(popularity("ann", "a", 0))  # nothing was wanted before


def test_a_shift_of_few_people_has_a_wide_interval() -> None:
    rng = np.random.default_rng(0)

    def shift(n: int, moved: float) -> Measure:
        both = [
            {"request plays_per_day": Sample(rng.normal(by, 1, size), np.arange(size))}
            for by, size in ((moved, n), (0.0, 4_000))
        ]
        return normalisation(*both)[0]

    few, many = shift(25, 1.0), shift(2_500, 1.0)
    for one, reach in ((few, 1.96 / 5), (many, 1.96 / 50)):
        assert one.value is not None
        assert one.low is not None
        assert one.high is not None
        assert one.high - one.value == pytest.approx(reach, rel=0.35)
        assert one.low < 1.0 < one.high
    assert shift(25, 0.0).low == 0
