"""What comes of lists, and what an experiment says of it."""

import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.experiments import Experiment
from crossfade.experiments.analysis import Analysis, analyse, verdict
from crossfade.experiments.intervals import Interval
from crossfade.experiments.outcomes import EVENTS, LISTS, counted
from crossfade.rng import generator

HOUR = 3_600_000_000
DAY = 24 * HOUR
LATE = 100 * DAY


def experiment(**changed: Any) -> Experiment:
    good = {
        "name": "shelf",
        "arms": [{"name": "a"}, {"name": "b"}],
        "minimal_effect": 0.1,
        "planned": 1000,
        "days": 2,
        "window_hours": 1,
    }
    return Experiment(**{**good, **changed})


def lists(*rows: tuple[str, int, str, str, list[str]]) -> pl.DataFrame:
    told = [(*row, "v1", [None] * len(row[-1])) for row in rows]
    return pl.DataFrame(told, LISTS, orient="row")


def event(
    unit: str, item: str, time_us: int, request: str | None = None, **more: Any
) -> dict[str, Any]:
    named = {"unit_id": unit, "item_id": item, "time_us": time_us, "request_id": request}
    return {**named, "event": "play", **more}


def outcome(metric: str, *events: dict[str, Any], **changed: Any) -> float:
    """Of one list of four items, shown at 0."""
    one = lists(("r1", 0, "ann", "a", ["w", "x", "y", "z"]))
    told = counted(experiment(metric=metric, **changed), one, pl.DataFrame(events, EVENTS), LATE)
    return float(told["value"].item())


LIKED = [
    event("ann", "x", 5),
    event("ann", "x", 6, event="like", value=4.0),
    event("ann", "y", 7, skipped=True),
    event("ann", "y", 8, event="skip"),
    event("ann", "z", 9, event="dislike", value=-1.0),
]


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("wanted", 2),  # the play and the like
        ("wanted_any", 1),
        ("click_share", 1 / 4),  # x, of four
        ("skip_share", 1 / 4),  # y, however often
        ("value", 3),
    ],
)
def test_metrics_by_hand(metric: str, expected: float) -> None:
    assert outcome(metric, *LIKED) == pytest.approx(expected)
    assert outcome(metric) == 0
    empty = lists(("r1", 0, "ann", "a", []))
    told = counted(experiment(metric=metric), empty, pl.DataFrame(LIKED, EVENTS), LATE)
    assert told["value"].item() == 0


def test_what_is_wanted_is_what_the_target_says() -> None:
    assert outcome("wanted", event("ann", "x", 5, value=3.0)) == 1
    assert outcome("wanted", event("ann", "x", 5, value=3.0), target={"min_value": 4}) == 0


@pytest.mark.parametrize(
    ("reaction", "counts"),
    [
        (event("ann", "x", 1), True),
        (event("ann", "x", HOUR), True),
        (event("ann", "x", HOUR + 1), False),  # too late
        (event("ann", "x", 0), False),  # with what was played while the list was made
        (event("ben", "x", 5), False),  # somebody else
        (event("ann", "elsewhere", 5), False),  # not of the list
        (event("ben", "x", -5, "r1"), True),  # who names the list reacts to it, by whatever clock
        (event("ann", "x", HOUR + 1, "r1"), False),
        (event("ann", "elsewhere", 5, "r1"), False),
        (event("ann", "x", 5, "another list"), False),
    ],
)
def test_an_event_reacts_to_the_list_it_names_or_that_had_its_item(
    reaction: dict[str, Any], *, counts: bool
) -> None:
    assert outcome("wanted", reaction) == counts


def test_an_event_counts_once_for_the_latest_list_that_had_its_item() -> None:
    shown = lists(
        ("r1", 0, "ann", "a", ["x"]),
        ("r2", 10, "ann", "a", ["x", "y"]),
        ("r3", 20, "ann", "a", ["y"]),
        ("r4", 0, "ben", "b", ["x"]),
    )
    events = pl.DataFrame([event("ann", "x", 30), event("ann", "y", 15)], EVENTS)
    told = counted(experiment(), shown, events, LATE).sort("unit_id")
    assert told.rows() == [("ann", "a", 2 / 3, 3), ("ben", "b", 0.0, 1)]
    first = counted(experiment(metric="wanted_any"), shown, events, LATE).sort("unit_id")
    assert first["value"].to_list() == [1 / 3, 0]  # both react to r2


def test_a_unit_counts_when_its_time_is_over_and_never_changes_afterwards() -> None:
    shown = lists(("r1", 0, "ann", "a", ["x"]), ("r2", 2 * DAY, "ann", "a", ["x"]))
    later = lists(("r3", 2 * DAY + 1, "ann", "a", ["x"]))
    events = pl.DataFrame([event("ann", "x", 2 * DAY + HOUR)], EVENTS)
    assert counted(experiment(), shown, events, 2 * DAY + HOUR).is_empty()
    then = counted(experiment(), shown, events, 2 * DAY + HOUR + 1)
    assert then.rows() == [("ann", "a", 0.5, 2)]
    assert counted(experiment(), shown.vstack(later), events, LATE).equals(then)


@settings(max_examples=25)
@given(st.integers(0, 10 * DAY), st.integers(0, 1000))
def test_the_future_never_changes_a_unit_that_counts(now: int, seed: int) -> None:
    rng = generator(seed, "test")
    shown = lists(
        *((f"r{i}", int(rng.integers(10 * DAY)), f"u{i % 5}", "a", ["x"]) for i in range(20))
    )
    events = pl.DataFrame(
        [event(f"u{i % 5}", "x", int(rng.integers(10 * DAY))) for i in range(40)], EVENTS
    )
    past, done = (frame.filter(pl.col("time_us") < now) for frame in (shown, events))
    assert counted(experiment(), past, done, now).equals(counted(experiment(), shown, events, now))


# -- what is said of it --------------------------------------------------------------------


def world(
    n: int, effect: float, *, lost: float = 0.0, past: bool = False, **changed: Any
) -> Analysis:
    """Units 0 … n − 1, each in the arm that the settings give, with a taste that was there before."""
    rng = generator(5, "test")
    whole = experiment(planned=max(n, 2), **changed)
    shown, before, events = list[Any](), list[Any](), list[Any]()
    for i in range(n):
        unit, arm = f"u{i}", whole.arms[i % len(whole.arms)].name
        if arm != "a" and rng.random() < lost:
            continue
        taste = float(rng.gamma(2.0, 1.0))
        for names, time_us, gain in ((before, 0, 0.0), (shown, DAY, effect * (arm == "b"))):
            request = f"{unit} {time_us}"
            names.append((request, time_us, unit, None if time_us == 0 else arm, ["x"]))
            n_events = int(rng.poisson(taste + gain))
            events += [event(unit, "x", time_us + 1 + k, request) for k in range(n_events)]
    frame = pl.DataFrame(events, EVENTS)
    return analyse(whole, lists(*shown), frame, lists(*(before if past else [])), LATE)


def test_a_better_arm_is_called_better_and_the_past_makes_it_surer() -> None:
    blind, seeing = world(2000, 0.5), world(2000, 0.5, past=True)
    (one,), (other,) = blind.comparisons, seeing.comparisons
    assert (one.n_before, other.n_before, one.n) == (0, 2000, 2000)
    assert other.verdict == "better"
    assert other.always.low < 0.5 < other.always.high
    assert other.once.high - other.once.low < 0.92 * (one.once.high - one.once.low)
    assert other.needed is not None
    assert one.needed is not None
    assert other.needed < 0.85 * one.needed
    a, b = seeing.arms
    assert (a.name, a.share, a.n_seen, a.n, a.n_lists) == ("a", 0.5, 1000, 1000, 1000)
    assert a.interval.low < 2 < a.interval.high
    assert b.interval.low < 2.5 < b.interval.high
    assert not seeing.mismatch


def test_nothing_is_decided_on_few_units_nor_without_any() -> None:
    assert world(198, 5.0).comparisons[0].verdict == "go on"
    assert world(200, 5.0).comparisons[0].verdict == "better"
    nobody = world(0, 0.0)
    assert nobody.comparisons[0].verdict == "go on"
    assert math.isnan(nobody.mismatch_p)
    assert not nobody.mismatch
    assert (nobody.arms[0].n, nobody.arms[0].n_seen) == (0, 0)


def test_outcomes_that_nobody_had_yet_decide_nothing() -> None:
    found = world(1000, 0.0, metric="value").comparisons[0]
    assert found.difference == 0
    assert found.verdict == "go on"


def test_units_that_went_missing_in_one_arm_are_noticed_and_nothing_else_is_said() -> None:
    found = world(2000, 5.0, lost=0.2)
    assert found.mismatch
    assert found.mismatch_p < 1e-3
    assert found.comparisons[0].verdict == "none"
    assert not world(2000, 5.0, lost=0.01).mismatch
    # 1000 and 1000 of 2000 at shares of 1/3 and 2/3: 2000 (1/2 - 1/3)² (3 + 3/2) = 250.
    uneven = world(2000, 0.0, arms=[{"name": "a"}, {"name": "b", "weight": 2}])
    assert uneven.mismatch_p == pytest.approx(math.erfc(math.sqrt(250 / 2)), rel=0.05)


def test_three_arms_share_alpha() -> None:
    found = world(900, 0.5, arms=[{"name": "a"}, {"name": "b"}, {"name": "c"}])
    assert [one.arm for one in found.comparisons] == ["b", "c"]
    assert found.comparisons[0].n == 600
    assert sum(arm.share for arm in found.arms) == pytest.approx(1)
    a, b = (arm.interval.high - arm.mean for arm in found.arms[:2])  # at 0.05: 1.96 errors
    both = found.comparisons[0].once.high - found.comparisons[0].difference
    assert both == pytest.approx(math.hypot(a, b) * 2.2414 / 1.96, rel=0.005)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.01, 0.3, "better"),
        (0.01, 0.02, "better"),
        (-0.3, -0.01, "worse"),
        (-0.09, 0.09, "no difference"),
        (-0.11, 0.09, "go on"),
        (-0.09, 0.1, "go on"),
        (math.nan, math.nan, "go on"),
    ],
)
def test_verdicts_by_hand(low: float, high: float, expected: str) -> None:
    assert verdict(experiment(), Interval(low, high)) == expected
    turned = {"better": "worse", "worse": "better"}.get(expected, expected)
    fewer = experiment(metric="skip_share")
    assert verdict(fewer, Interval(low, high)) == turned
