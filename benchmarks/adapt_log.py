"""What updates from the log are worth: no update, a judged weekly one, a full fit every week.

    python -m benchmarks.adapt_log [--data ../shared/data] [--set thirtymusic-sessions]

A system is fitted on the first 80 % of the time of a public log. The rest comes in as live events, week
by week, through an event log. At the start of each week whoever wants something new that week is asked
for, and every system answers with the same live events: the first one, the one that `crossfade adapt`
serves by then, and one that is fitted in full on everything so far. Writes ``benchmarks/adapt_log.md``.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl

from benchmarks.signals import ROOT, SEED, read_set
from crossfade.data import Dataset
from crossfade.data.dataset import to_datetime
from crossfade.evaluation.statistics import bootstrap, unit_means
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.online import LiveSystem
from crossfade.online.updates import AdaptConfig, adapt
from crossfade.online.updates.judging import answered, live_events, newest_requests
from crossfade.rng import generator
from crossfade.store import Registry
from crossfade.store.log import Log, NewEvent
from crossfade.types import MICROSECONDS_PER_DAY, Doubles

OLD, WEEK_US, DEPTH = 0.8, 7 * MICROSECONDS_PER_DAY, 10
BASES: dict[str, dict[str, Any]] = {
    "popularity": {"half_life_days": 90.0},
    "item_knn": {},
    "ials": {},
}
CONFIG = HybridConfig(bases=BASES, blend={"fusion": "ridge", "n_earlier_blocks": 1})
ARMS = ("no update", "`adapt`, weekly", "full fit, weekly")

T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description="What updates from the log are worth.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--set", default="thirtymusic-sessions")
    asked = parser.parse_args()
    whole = read_set(asked.data, asked.set)
    assert whole.time_us is not None
    first, last = int(whole.time_us[0]), int(whole.time_us[-1])
    starts = range(first + int(OLD * (last - first)), last - WEEK_US, WEEK_US)
    with tempfile.TemporaryDirectory() as folder:
        lines = _weeks(whole, list(starts), Path(folder))
    title = [
        "# Updates from the log",
        "",
        f"`python -m benchmarks.adapt_log --set {asked.set}`: `{asked.set}` from "
        f"{to_datetime(starts[0]):%Y-%m-%d} on, {len(starts)} weeks; bases {', '.join(BASES)}, blend `ridge`.",
        "",
    ]
    page = ROOT / "benchmarks" / "adapt_log.md"
    page.write_text("\n".join([*title, *lines, ""]), encoding="utf-8")
    print(page.read_text(encoding="utf-8"))


def _weeks(whole: Dataset, starts: list[int], folder: Path) -> list[str]:
    """Ask, then learn, week by week."""
    registry, config = Registry(folder / "registry"), AdaptConfig()
    old = whole.before(to_datetime(starts[0]))
    first, _ = _timed(partial(HybridModel.fit, old, CONFIG, SEED))
    registry.promote(registry.add(first.save, to_datetime(starts[0])), to_datetime(starts[0]))
    served = full = first
    found: list[Doubles] = []
    users: list[np.ndarray[Any, Any]] = []
    rows, seconds = [], dict.fromkeys(ARMS, 0.0)
    with Log.open(f"sqlite:///{folder / 'log.db'}") as log:
        for number, start in enumerate(starts, 1):
            end = to_datetime(start + WEEK_US)
            rng = generator(SEED, f"benchmarks.adapt_log.{number}")
            sofar = whole.before(end)
            (trial,) = newest_requests(sofar, start, CONFIG.protocol, 100_000, rng)
            live = live_events(sofar, old, trial.queries.user_row)
            systems = (LiveSystem(first), LiveSystem(served), LiveSystem(full))
            values = [answered(system, trial, sofar, live, DEPTH) for system in systems]
            found.append(np.stack(values, axis=1))
            users.append(trial.queries.user_row)
            log.append(_events(sofar, start), start + WEEK_US)
            learn = partial(adapt, log, registry, end + timedelta(seconds=1), config)
            done, took = _timed(partial(learn, mode="weekly", seed=SEED))
            seconds[ARMS[1]] += took
            served = registry.read_promoted(HybridModel.load)
            full, took = _timed(partial(HybridModel.fit, sofar, CONFIG, SEED))
            seconds[ARMS[2]] += took
            means = " | ".join(f"{mean:.4f}" for mean in found[-1].mean(axis=0))
            said = done.decision
            assert said is not None
            low = "none" if said.newest.low is None else f"{said.newest.low:+.4f}"
            verdict = "accepted" if said.accepted else "refused"
            old_requests = f"{said.replayed.difference:+.4f} of {said.replayed.promoted:.4f}"
            rows.append(
                f"| {number} | {len(trial.queries):,} | {means} | {said.newest.n_users:,} | "
                f"{said.newest.difference:+.4f} ({low}) | {old_requests} | {verdict} |"
            )
            print(rows[-1], flush=True)
    return [*_summary(found, users, seconds), *_table(rows)]


def _events(sofar: Dataset, start: int) -> list[NewEvent]:
    """What came in during the last week."""
    names = ("event", "value", "played_ms", "skipped", "session_id")
    week = sofar.with_ids().with_columns(time_us=pl.col("timestamp").to_physical())
    return [
        NewEvent(
            row["item_id"],
            row["time_us"],
            row["user_id"],
            **{name: row[name] for name in names if row.get(name) is not None},
        )
        for row in week.filter(pl.col("time_us") >= start).iter_rows(named=True)
    ]


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.process_time()
    return work(), time.process_time() - began


def _summary(
    found: list[Doubles], users: list[np.ndarray[Any, Any]], seconds: dict[str, float]
) -> list[str]:
    people, unit = np.unique(np.concatenate(users), return_inverse=True)
    per_user = unit_means(np.concatenate(found), unit.astype(np.int64), len(people))
    gain = per_user - per_user[:, :1]
    said = bootstrap(gain, generator(SEED, "benchmarks.adapt_log"))
    lines = [
        f"{len(people):,} people, of each the mean of their weeks; *gain* is paired, over no update, with "
        "95 % bootstrap intervals over people. Processor time of all updates, judging included.",
        "",
        f"| system | NDCG@{DEPTH} | gain [95 %] | seconds |",
        "| --- | ---: | ---: | ---: |",
    ]
    for at, arm in enumerate(ARMS):
        told = f"{said.mean[at]:+.4f} [{said.low[at]:+.4f}, {said.high[at]:+.4f}]" if at else ""
        lines.append(f"| {arm} | {per_user[:, at].mean():.4f} | {told} | {seconds[arm]:.0f} |")
    return lines


def _table(rows: list[str]) -> list[str]:
    return [
        "",
        "## Week by week",
        "",
        "Means over that week's requests, asked before the week; then what `adapt` judged by after it.",
        "",
        "| week | requests | no update | adapt | full | judged people | newest (lower end) | replayed | |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
        *rows,
    ]


if __name__ == "__main__":
    main()
