"""What `benchmarks.concept_drift` writes down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from crossfade.evaluation.statistics import bootstrap, unit_means
from crossfade.monitoring import MonitorConfig
from crossfade.rng import generator
from crossfade.types import Doubles, Ints

CHANGE, BEFORE, AFTER = 90, 28, 42
"""Day of the change, days before it from which the system serves, days after it."""

DELTA = MonitorConfig().concept_delta
WITHIN, WEEK = 0.1, 7

LIVE, LEVEL = "live events", "only the new world"


@dataclass(frozen=True)
class Losses:
    """One day of one system: of each person the mean loss, ``(n,)``."""

    day: int
    person: Ints
    loss: Doubles


Streams = dict[str, list[Losses]]
"""Days of each system, by its name."""


@dataclass(frozen=True)
class Found:
    """When a detector said so, and since when by its word; days, None for never."""

    said: int | None
    since: int | None
    checks: int
    alarms: int


@dataclass(frozen=True)
class Watched:
    """Days of one system, what was found in them, and what in days whose losses were mixed."""

    stream: list[Losses]
    found: Found
    mixed: list[Found]


Runs = Mapping[str, Sequence[tuple[Streams, Found]]]
"""Worlds by how their change came."""


ABOUT = """
On day 0 every listener gets a taste anew, or begins to on the way to day 28. Systems are fitted 28 days before on
bases `popularity`, `item_knn`, `ease`, `session_knn` with a static blend; lists are made half way through each
session and judged by its second half. Intervals are 95 %, over people, each in each world once.

*neither*: histories end where the log of the system ended. *live events*: histories go on, the system stays. The
others are fitted anew every week from day 0 on, with live events: on everything; with training evidence that halves
in 10 days (`item_knn`, `ease`); with half-lives tuned each week by `tune_half_life`; on what came since the change,
once the detector has said so. *only the new world*: a system that was fitted on 90 days in which the later tastes
always held, in that world. *gain* is the mean over the six weeks, paired by person. *recovered* is the first day of
a week, after the worst one, that is within a tenth of the level, in the median world (earliest to latest).
"""
WATCHED = """
Where no change was declared. As it was, something may have changed: the worlds drift slowly, and a system that is
not refitted grows old. With the losses of all days mixed whatever is found is false.
"""


def page(runs: Runs, watched: Mapping[str, Sequence[Watched]]) -> list[str]:
    """The whole page, line by line."""
    n_seeds = len(next(iter(runs.values())))
    lines = [
        "# Concept drift",
        "",
        f"Made by `python -m benchmarks.concept_drift`; {n_seeds} worlds for each way to change.",
        *ABOUT.splitlines(),
    ]
    for name, some in runs.items():
        lines += ["", f"## Tastes change {name}", "", *_weeks(some), "", *_days(some)]
    return [*lines, "", "## The detector", "", *_detector(runs, watched)]


def _weeks(some: Sequence[tuple[Streams, Found]]) -> list[str]:
    names = list(some[0][0])
    heads = ["before", *(f"week {week + 1}" for week in range(AFTER // WEEK))]
    starts = [CHANGE - WEEK, *range(CHANGE, CHANGE + AFTER, WEEK)]
    lines = [
        f"| NDCG@10 | {' | '.join(heads)} | gain over live events | recovered on day |",
        f"| --- | {'---: | ' * len(heads)}---: | --- |",
    ]
    for name in names:
        cells = [_told(_people(some, name, start, start + WEEK)) for start in starts]
        if name == LEVEL:
            gain, recovered = "", "(the level)"
        else:
            gain = "" if name == LIVE else _gain(some, name)
            recovered = _recovered(some, name)
        lines.append(f"| {name} | {' | '.join(cells)} | {gain} | {recovered} |")
    return lines


def _days(some: Sequence[tuple[Streams, Found]]) -> list[str]:
    names = [name for name in some[0][0] if name != LEVEL]
    lines = [
        f"| day | {' | '.join(names)} | people |",
        f"| ---: | {'---: | ' * len(names)}---: |",
    ]
    for day in range(CHANGE - 3, CHANGE + 2 * WEEK):
        values = [_people(some, name, day, day + 1) for name in names]
        told = " | ".join(f"{np.nanmean(one):.3f}" for one in values)
        n = int((~np.isnan(values[0])).sum())
        lines.append(f"| {day - CHANGE} | {told} | {n} |")
    return lines


def _detector(runs: Runs, watched: Mapping[str, Sequence[Watched]]) -> list[str]:
    lines = [
        f"`ConceptDrift` with `delta = {DELTA}` on the losses of *live events*, one check a day, from four weeks",
        "before the change on. Days from the change to the check that found it, and to when it is said to begin:",
        "",
        "| change | found in | after days | said to begin on day | alarms before |",
        "| --- | --- | --- | --- | ---: |",
    ]
    for name, some in runs.items():
        true = [one for _, one in some if one.said is not None and one.said >= CHANGE]
        said = [one.said - CHANGE for one in true if one.said is not None]
        since = [one.since - CHANGE for one in true if one.since is not None]
        early = sum(one.said is not None for _, one in some) - len(true)
        counts = f"{len(true)} of {len(some)}"
        lines.append(f"| {name} | {counts} | {_range(said)} | {_range(since)} | {early} |")
    lines += [
        *WATCHED.splitlines(),
        "",
        "| log | days | people a day | loss, first and last quarter | changes | streams mixed | false alarms |",
        "| --- | ---: | ---: | --- | --- | ---: | --- |",
    ]
    for name, logs in watched.items():
        streams = [one.stream for one in logs]
        n_days = sum(map(len, streams))
        n_people = np.mean([len(day.loss) for stream in streams for day in stream])
        first, last = (
            np.concatenate([day.loss for stream in streams for day in stream[part(stream)]]).mean()
            for part in (_first_quarter, _last_quarter)
        )
        mixed = [found for one in logs for found in one.mixed]
        changes = sum(one.found.alarms for one in logs)
        false, checks = sum(one.alarms for one in mixed), sum(one.checks for one in mixed)
        lines.append(
            f"| {name} | {n_days} | {n_people:.0f} | {first:.3f}, {last:.3f} | {changes} of {n_days} | "
            f"{len(mixed)} | {false} of {checks:,} |"
        )
    return lines


def _first_quarter(stream: Sequence[Losses]) -> slice:
    return slice(max(1, len(stream) // 4))


def _last_quarter(stream: Sequence[Losses]) -> slice:
    return slice(-max(1, len(stream) // 4), None)


def _people(some: Sequence[tuple[Streams, Found]], name: str, start: int, stop: int) -> Doubles:
    """NDCG of each person of each world between two days, NaN where they did not ask, ``(worlds x people,)``."""
    found = []
    for streams, _ in some:
        days = [one for one in streams[name] if start <= one.day < stop]
        n = 1 + max(int(one.person.max()) for one in streams[LIVE])
        loss = np.concatenate([one.loss for one in days]) if days else np.zeros(0)
        person = np.concatenate([one.person for one in days]) if days else np.zeros(0, np.int64)
        kept = person < n
        found.append(1 - unit_means(loss[kept][:, None], person[kept], n)[:, 0])
    return np.concatenate(found)


def _told(values: Doubles) -> str:
    if np.isnan(values).all():
        return ""
    said = bootstrap(values[:, None], generator(0, "benchmarks.concept_drift"), resamples=500)
    return f"{said.mean[0]:.3f} [{said.low[0]:.3f}, {said.high[0]:.3f}]"


def _gain(some: Sequence[tuple[Streams, Found]], name: str) -> str:
    both = [_people(some, one, CHANGE, CHANGE + AFTER) for one in (name, LIVE)]
    said = bootstrap(
        (both[0] - both[1])[:, None], generator(0, "benchmarks.concept_drift"), resamples=1_000
    )
    return f"{said.mean[0]:+.4f} [{said.low[0]:+.4f}, {said.high[0]:+.4f}]"


def _recovered(some: Sequence[tuple[Streams, Found]], name: str) -> str:
    """Days until a week is within reach of the level, over worlds."""
    days = []
    for one in some:
        level = np.nanmean(_people([one], LEVEL, CHANGE, CHANGE + AFTER))
        starts = range(CHANGE, CHANGE + AFTER - WEEK + 1)
        weeks = [np.nanmean(_people([one], name, day, day + WEEK)) for day in starts]
        worst = int(np.argmin(weeks))
        after = zip(starts[worst:], weeks[worst:], strict=True)
        days.append(next((day for day, value in after if value >= (1 - WITHIN) * level), None))
    there = [day - CHANGE for day in days if day is not None]
    told = [_range(there)] if there else []
    never = len(days) - len(there)
    return ", ".join([*told, *([f"not in {never} of {len(days)}"] if never else [])])


def _range(days: Sequence[int]) -> str:
    if not days:
        return "never"
    return f"{median(days):.0f} ({min(days)} to {max(days)})"
