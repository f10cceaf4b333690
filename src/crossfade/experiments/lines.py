"""What people read of an experiment: every number with how many units it rests on and how sure it is."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from crossfade.data.dataset import to_datetime
from crossfade.experiments.analysis import Analysis, Comparison, Verdict
from crossfade.experiments.config import Experiment
from crossfade.experiments.intervals import Interval

if TYPE_CHECKING:
    from crossfade.store.log.experiments import StoredExperiment

MEANING: dict[Verdict, str] = {
    "better": "better: stop, and take it",
    "worse": "worse: stop",
    "no difference": "no difference that would matter: stop",
    "go on": "go on",
    "none": "none, since arms did not get their shares",
}


def title(stored: "StoredExperiment", experiment: Experiment) -> str:
    """One line: since when, for whom, what is looked at."""
    until = "" if stored.stopped_us is None else f" to {_day(stored.stopped_us)}"
    last = [step.traffic for step in stored.steps if step.traffic][-1]
    arms = ", ".join(arm.name for arm in experiment.arms)
    together = "" if experiment.design == "between" else " (interleaved)"
    state = "runs" if stored.stopped_us is None else "stopped"
    return (
        f"{stored.name}  {state}  {_day(stored.started_us)}{until}  "
        f"{100 * last:g}% of {experiment.unit}s  {experiment.metric}: {arms}{together}"
    )


def told(stored: "StoredExperiment", experiment: Experiment, analysis: Analysis) -> list[str]:
    """All of it: the arms, then each of them against the first."""
    lines = [title(stored, experiment)]
    if analysis.mismatch:
        lines += [
            "",
            f"ARMS DID NOT GET THEIR SHARES (p = {analysis.mismatch_p:.1g}). Assignment or what is written down is",
            "broken, and no difference below means anything: find out why before you go on.",
        ]
    level = f"{1 - experiment.alpha:.0%}"
    rows = [["arm", "share", "seen", "count", "lists", experiment.metric, f"{level} interval"]]
    rows += [
        [
            arm.name,
            f"{arm.share:.1%}",
            f"{arm.n_seen:,}",
            f"{arm.n:,}",
            f"{arm.n_lists:,}",
            _number(arm.mean),
            _ends(arm.interval, ""),
        ]
        for arm in analysis.arms
    ]
    lines += ["", *_table(rows)]
    changed = changed_versions({arm.name: arm.versions for arm in analysis.arms})
    lines += ["", *changed] if changed else []
    for one in analysis.comparisons:
        lines += ["", *_compared(one, experiment)]
    return lines


def changed_versions(by_arm: Mapping[str, Mapping[str, int]]) -> list[str]:
    """A sentence for each arm whose lists are not all by one version; see `ArmResult.versions`."""
    return [
        f"{arm} was answered by {_listed(f'{version} ({n:,} lists)' for version, n in versions.items())}: "
        "what served changed, and the arm stands for all of them."
        for arm, versions in by_arm.items()
        if len(versions) > 1
    ]


def _compared(one: Comparison, experiment: Experiment) -> Sequence[str]:
    before = f", {one.n_before:,} of them with lists from before"
    needed = "not known yet" if one.needed is None else f"{one.needed:,}"
    return [
        f"{one.arm} against {experiment.arms[0].name}: {_number(one.difference, '+')}, "
        f"n = {one.n:,}{before if experiment.design == 'between' else ', each with lists of both'}",
        f"  at any time          {_ends(one.always, '+')}",
        f"  looked at just once  {_ends(one.once, '+')}",
        f"  units needed         {needed}",
        f"  verdict              {MEANING[one.verdict]}",
    ]


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}"


def _number(value: float, sign: str = "") -> str:
    return "-" if math.isnan(value) else f"{value:{sign}.4f}"


def _ends(interval: Interval, sign: str) -> str:
    return f"{_number(interval.low, sign)} to {_number(interval.high, sign)}"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Names to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _day(time_us: int) -> str:
    return f"{to_datetime(time_us):%Y-%m-%d}"
