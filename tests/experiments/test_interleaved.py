"""What interleaved lists say of two arms: credit by hand, no effect where there is none, and the units it takes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossfade.experiments import Experiment
from crossfade.experiments.analysis import Analysis, analyse
from crossfade.experiments.interleaving import coins, team_draft
from crossfade.experiments.outcomes import EVENTS, LISTS, counted
from crossfade.rng import generator

HOUR = 3_600_000_000
DAY = 24 * HOUR
LATE = 100 * DAY


def experiment(design: str = "interleaved", **changed: Any) -> Experiment:
    good = {"name": "shelf", "arms": [{"name": "a"}, {"name": "b"}], "minimal_effect": 0.1,
            "planned": 1000, "days": 2, "window_hours": 1, "design": design}  # fmt: skip
    return Experiment(**{**good, **changed})


def event(unit: str, item: str, time_us: int, request: str | None, **more: Any) -> dict[str, Any]:
    named = {"unit_id": unit, "item_id": item, "time_us": time_us, "request_id": request}
    return {**named, "event": "play", **more}


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("wanted", (1.5, 0.5)), ("wanted_any", (0.5, 0.5)), ("click_share", (0.25, 0.125)),
     ("skip_share", (0.0, 0.125)), ("value", (2.0, 0.0))],
)  # fmt: skip
def test_credit_by_hand(metric: str, expected: tuple[float, float]) -> None:
    """Two lists of four: w and x are by a, y and z by b in the first, the other way round in the second."""
    rows = [("r1", 0, "ann", None, list("wxyz"), "v1", list("aabb")),
            ("r2", DAY, "ann", None, list("wxyz"), "v1", list("bbaa"))]  # fmt: skip
    events = [
        event("ann", "w", 5, "r1", value=4.0), event("ann", "x", 6, None), event("ann", "w", 7, "r1"),
        event("ann", "w", DAY + 5, "r2"), event("ann", "x", DAY + 6, None, event="skip"),
    ]  # fmt: skip
    frames = pl.DataFrame(rows, LISTS, orient="row"), pl.DataFrame(events, EVENTS)
    whole = experiment(metric=metric)
    told = [counted(whole, *frames, LATE, team)["value"].to_list() for team in ("a", "b")]
    assert told == [[expected[0]], [expected[1]]]
    found = analyse(whole, *frames, frames[0].clear(), LATE)
    assert [arm.mean for arm in found.arms] == list(expected)
    assert found.comparisons[0].difference == expected[1] - expected[0]
    # Before its time is over nothing of the unit is told.
    assert analyse(whole, *frames, frames[0].clear(), 2 * DAY).comparisons[0].n == 0


def world(n: int, rates: tuple[float, float], design: str, k: int = 6) -> Analysis:
    """Units whose activity differs; an item of either arm is wanted at that arm's rate. The lists share nothing."""
    rng, whole = generator(11, "test"), experiment(design, planned=n)
    own = ([f"a{i}" for i in range(k)], [f"b{i}" for i in range(k)])
    lists, events = list[Any](), list[Any]()
    for unit in map(str, range(n)):
        arm = int(rng.integers(2))
        picks = team_draft(own, k, coins("shelf", unit, unit, k))
        teams = [pick.team for pick in picks] if design == "interleaved" else [arm] * k
        items = [own[pick.team][pick.at] for pick in picks] if design == "interleaved" else own[arm]
        activity = rng.gamma(1.0)
        is_pair = design == "interleaved"
        names = ["ab"[team] if is_pair else None for team in teams]
        lists.append((unit, 0, unit, None if is_pair else "ab"[arm], items, "v1", names))
        wanted = rng.poisson(activity * np.array([rates[team] for team in teams]))
        events += [
            event(unit, item, 1, unit)
            for item, times in zip(items, wanted, strict=True)
            for _ in range(times)
        ]
    frame = pl.DataFrame(lists, LISTS, orient="row")
    return analyse(whole, frame, pl.DataFrame(events, EVENTS), frame.clear(), LATE)


def test_without_a_preference_each_arm_has_half_the_credit_and_there_is_no_effect() -> None:
    found, k, rate = world(3000, (0.5, 0.5), "interleaved"), 6, 0.5
    (one,) = found.comparisons
    for arm in found.arms:
        assert arm.interval.low < k * rate / 2 < arm.interval.high
    assert one.once.low < 0 < one.once.high
    assert one.verdict in {"go on", "no difference"}
    assert not found.mismatch


def test_a_preference_is_found_with_fewer_units_in_the_ratio_that_theory_says() -> None:
    """Of n units, half in each arm, the difference varies by 4 (k·p + k²·p²·Var(activity)) / n, and the effect is
    k·d; interleaved by k·p / n, and the effect is half. So it takes 1 + k·p·Var(activity) times fewer."""
    k, rates = 6, (0.5, 0.55)
    pair, apart = (world(4000, rates, design) for design in ("interleaved", "between"))
    p = sum(rates) / 2
    (one,), (other,) = pair.comparisons, apart.comparisons
    assert one.difference == pytest.approx(k * (rates[1] - rates[0]) / 2, abs=0.1)
    assert one.needed is not None
    assert other.needed is not None
    # `needed` is of the same minimal effect; half of it is what interleaved lists show of it.
    ratio = other.needed / (4 * one.needed)
    assert ratio == pytest.approx(1 + k * p, rel=0.15)
    assert ratio > 3.5


@pytest.mark.parametrize("better", [0, 1])
def test_a_clear_preference_is_called_by_its_name(better: int) -> None:
    rates = (0.9, 0.3) if better == 0 else (0.3, 0.9)
    (one,) = world(400, rates, "interleaved").comparisons
    assert one.verdict == ("worse", "better")[better]
    assert one.always.low < one.once.low < one.difference < one.once.high < one.always.high


def test_who_begins_a_list_is_by_lot_and_where_it_is_not_nothing_is_said() -> None:
    def named(first: Callable[[int], str]) -> Analysis:
        rows = [
            (str(i), 0, str(i), None, ["x", "y"], "v1", [first(i), "ba"[first(i) == "b"]])
            for i in range(400)
        ]
        lists = pl.DataFrame(rows, LISTS, orient="row")
        return analyse(experiment(), lists, pl.DataFrame([], EVENTS), lists.clear(), LATE)

    assert not named(lambda i: "ab"[i % 2]).mismatch
    broken = named(lambda i: "ab"[i % 3 == 0])
    assert broken.mismatch
    assert broken.comparisons[0].verdict == "none"


def test_nothing_is_decided_on_nobody() -> None:
    none = pl.DataFrame([], LISTS, orient="row")
    found = analyse(experiment(), none, pl.DataFrame([], EVENTS), none, LATE)
    assert found.comparisons[0].verdict == "go on"
    assert [arm.n for arm in found.arms] == [0, 0]
