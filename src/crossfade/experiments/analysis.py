"""What an experiment says so far: who counts, which arm does better, and whether to stop."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl
from scipy.special import chdtrc

from crossfade.experiments import outcomes
from crossfade.experiments.assignment import shares
from crossfade.experiments.config import Experiment
from crossfade.experiments.interleaving import AND
from crossfade.experiments.intervals import (
    Interval,
    Moments,
    always_valid,
    always_valid_mean,
    mean_interval,
    pairs_needed,
    units_needed,
    welch,
    without_what_was_before,
)

Verdict = Literal["better", "worse", "no difference", "go on", "none"]

LEAST_UNITS = 100
"""Units of an arm below which its spread is too unsure for any verdict."""

MISMATCH_P = 0.001
"""Units that are spread over the arms less likely than this were not assigned as they should be."""


@dataclass(frozen=True)
class ArmResult:
    """What came of one arm.

    Attributes:
        name: Of the arm.
        share: What part of the units it should get.
        n_seen: Units that got a list of it, whether they count yet or not.
        n: Units that count.
        n_lists: Their lists.
        mean: Of the metric, each unit once; NaN where none counts.
        interval: Of the mean, for one look.
        versions: What answered its lists, with how many, in the order in which they began to.
    """

    name: str
    share: float
    n_seen: int
    n: int
    n_lists: int
    mean: float
    interval: Interval
    versions: Mapping[str, int]


@dataclass(frozen=True)
class Comparison:
    """One arm against the first one, with what units did before the experiment taken away.

    Attributes:
        arm: Its name.
        n: Units of both that count.
        n_before: Those of them with lists before the experiment.
        difference: Its mean less that of the first arm.
        once: Interval for a single look at a moment fixed before.
        always: Interval that holds however often one looks.
        needed: Units of both that find the minimal effect in 4 of 5 experiments, looked at once; None
            where the spread is not known yet.
        verdict: By ``always`` alone. *better*, *worse*: it leaves 0 on that side. *no difference*: all of
            it is smaller than the minimal effect. *go on*: none of these yet. *none*: units are not
            spread as they should be, so that no difference means anything.
    """

    arm: str
    n: int
    n_before: int
    difference: float
    once: Interval
    always: Interval
    needed: int | None
    verdict: Verdict


@dataclass(frozen=True)
class Analysis:
    """What an experiment says so far.

    Attributes:
        arms: In the order of the settings.
        comparisons: Of each arm but the first.
        mismatch_p: How likely units are spread so unevenly over the arms by chance; NaN of none.
        mismatch: Whether that is too unlikely to believe: then assignment or logging is broken.
    """

    arms: Sequence[ArmResult]
    comparisons: Sequence[Comparison]
    mismatch_p: float
    mismatch: bool


def analyse(
    experiment: Experiment,
    lists: pl.DataFrame,
    events: pl.DataFrame,
    lists_before: pl.DataFrame,
    now_us: int,
) -> Analysis:
    """What an experiment says as of now.

    Args:
        experiment: Its settings.
        lists: That its arms answered, as `outcomes.LISTS`.
        events: Of its units, as `outcomes.EVENTS`, those from before it too.
        lists_before: Of its units, whose windows were over when it began.
        now_us: The moment of asking.
    """
    if experiment.design == "interleaved":
        return _interleaved(experiment, lists, events, now_us)
    units = _units(experiment, lists, events, lists_before, now_us)
    p = _mismatch_p(experiment, lists.unique(["unit_id", "arm"])["arm"].to_list())
    arms = [_arm(experiment, place, units, lists) for place in range(len(experiment.arms))]
    comparisons = [
        _compared(experiment, place, units, mismatch=p < MISMATCH_P)
        for place in range(1, len(experiment.arms))
    ]
    return Analysis(arms, comparisons, p, p < MISMATCH_P)


def _interleaved(
    experiment: Experiment, lists: pl.DataFrame, events: pl.DataFrame, now_us: int
) -> Analysis:
    """Each unit gives both arms a number, and counts with the difference."""
    names = [arm.name for arm in experiment.arms]
    sides = [outcomes.counted(experiment, lists, events, now_us, name) for name in names]
    values = [side["value"].to_numpy() for side in sides]
    alpha, planned = experiment.alpha, experiment.planned
    arms = [
        ArmResult(
            name,
            0.5,
            lists["unit_id"].n_unique(),
            len(side),
            int(side["n_lists"].sum()),
            Moments.of(value).mean,
            mean_interval(Moments.of(value), alpha),
            _versions(lists, place),
        )
        for place, (name, side, value) in enumerate(zip(names, sides, values, strict=True))
    ]
    # Who begins a list is by lot: what is written down must say so.
    p = _mismatch_p(experiment, lists["item_arms"].list.first().drop_nulls().to_list())
    difference = Moments.of(values[1] - values[0])
    always = always_valid_mean(difference, alpha, planned)
    unsure = difference.n < LEAST_UNITS or not difference.variance > 0
    one = Comparison(
        names[1],
        difference.n,
        0,
        difference.mean,
        mean_interval(difference, alpha),
        always,
        pairs_needed(difference, experiment.minimal_effect, alpha),
        _said(experiment, always, mismatch=p < MISMATCH_P, unsure=unsure),
    )
    return Analysis(arms, [one], p, p < MISMATCH_P)


def _versions(lists: pl.DataFrame, place: int) -> dict[str, int]:
    """What answered the lists of an arm, with how many; of interleaved ones by its own half."""
    versions: dict[str, int] = {}
    for version, n in (
        lists.sort("time_us", "request_id")
        .group_by("version", maintain_order=True)
        .len()
        .iter_rows()
    ):
        own = version.split(AND)[place if AND in version else 0]
        versions[own] = versions.get(own, 0) + n
    return versions


def _units(
    experiment: Experiment,
    lists: pl.DataFrame,
    events: pl.DataFrame,
    lists_before: pl.DataFrame,
    now_us: int,
) -> pl.DataFrame:
    """Those that count, with their ``before`` (null of none) and their ``adjusted`` values."""
    units = outcomes.counted(experiment, lists, events, now_us)
    before = outcomes.before(experiment, lists_before, events)
    units = units.join(before, on="unit_id", how="left", maintain_order="left")
    names = [arm.name for arm in experiment.arms]
    of = units["arm"].replace_strict(names, range(len(names)), return_dtype=pl.Int64)
    past = units["before"].fill_null(math.nan)
    adjusted = without_what_was_before(units["value"].to_numpy(), past.to_numpy(), of.to_numpy())
    return units.with_columns(adjusted=adjusted)


def _arm(experiment: Experiment, place: int, units: pl.DataFrame, lists: pl.DataFrame) -> ArmResult:
    name = experiment.arms[place].name
    mine = units.filter(pl.col("arm") == name)
    values = Moments.of(mine["value"].to_numpy())
    shown = lists.filter(pl.col("arm") == name)
    return ArmResult(
        name,
        _shares(experiment)[place],
        shown["unit_id"].n_unique(),
        values.n,
        int(mine["n_lists"].sum()),
        values.mean,
        mean_interval(values, experiment.alpha),
        _versions(shown, 0),
    )


def _compared(
    experiment: Experiment, place: int, units: pl.DataFrame, *, mismatch: bool
) -> Comparison:
    names = (experiment.arms[0].name, experiment.arms[place].name)
    both = units.filter(pl.col("arm").is_in(names))
    control, arm = (
        Moments.of(both.filter(pl.col("arm") == name)["adjusted"].to_numpy()) for name in names
    )
    # Each of several arms may be taken for better by chance: they share alpha.
    alpha = experiment.alpha / (len(experiment.arms) - 1)
    parts = (_shares(experiment)[0], _shares(experiment)[place])
    always = always_valid(control, arm, alpha, experiment.planned * sum(parts))
    # Rare outcomes that nobody had yet vary as little as impossible ones.
    unsure = min(control.n, arm.n) < LEAST_UNITS or not min(control.variance, arm.variance) > 0
    return Comparison(
        names[1],
        len(both),
        len(both) - both["before"].null_count(),
        arm.mean - control.mean,
        welch(control, arm, alpha),
        always,
        units_needed(control, arm, experiment.minimal_effect, alpha),
        _said(experiment, always, mismatch=mismatch, unsure=unsure),
    )


def _said(experiment: Experiment, always: Interval, *, mismatch: bool, unsure: bool) -> Verdict:
    return "none" if mismatch else "go on" if unsure else verdict(experiment, always)


def verdict(experiment: Experiment, always: Interval) -> Verdict:
    """What an interval that always holds says of an arm."""
    low, high = always.low, always.high
    if experiment.metric in outcomes.FEWER_IS_BETTER:
        low, high = -high, -low
    if low > 0:
        return "better"
    if high < 0:
        return "worse"
    if max(-low, high) < experiment.minimal_effect:
        return "no difference"
    return "go on"


def _mismatch_p(experiment: Experiment, seen: Sequence[str]) -> float:
    """P of Pearson's chi-square test that what was seen is spread over the arms by their shares."""
    if not seen:
        return math.nan
    squares = 0.0
    for arm, share in zip(experiment.arms, _shares(experiment), strict=True):
        expected = len(seen) * share
        squares += (seen.count(arm.name) - expected) ** 2 / expected
    return float(chdtrc(len(experiment.arms) - 1, squares))


def _shares(experiment: Experiment) -> list[float]:
    return shares([arm.weight for arm in experiment.arms])
