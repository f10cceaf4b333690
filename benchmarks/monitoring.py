"""How often a monitor cries wolf, and what it finds when something is wrong.

    python -m benchmarks.monitoring [--data ../shared/data]

A system is fitted on the older part of a log; the rest is replayed through a live system week by week, as a
service would have written it down, and each week is looked at alone: once as it was, and once with each
of some faults. An alert in a week as it was is called false. `movielens-100k` is real and moves by itself:
nearly everybody in the later weeks is new. `thirtymusic-sessions` is real too, and the same people come
back. The synthetic world stays as it is. Writes ``benchmarks/monitoring.md``.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.signals import ROOT, SEED, read_set
from crossfade.data import Dataset
from crossfade.data.world import WorldConfig, make_world
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.monitoring import MonitorConfig, MonitorReport, monitor
from crossfade.monitoring.replay import events_done, lists_shown
from crossfade.online import LiveSystem
from crossfade.rng import generator
from crossfade.store.log import Impression, Log, NewEvent

PAGE = Path(__file__).with_suffix(".md")
DAY_US = 86_400_000_000
WORLD = WorldConfig(n_listeners=600, n_tracks=1_500, n_plays=150_000)
CONFIG = HybridConfig(
    bases={
        "popularity": {"half_life_days": 30.0},
        "item_knn": {},
        "genre_popularity": {},
        "ials": {},
    },
    blend={"fusion": "confidence_weighted", "n_earlier_blocks": 0},
)
MONITOR = MonitorConfig()
SHOCK, N_LISTS = 0.3, 2_000


@dataclass(frozen=True, eq=False)
class Week:
    """What a service would have written down."""

    since_us: int
    until_us: int
    shown: list[Impression]
    events: list[NewEvent]


def main() -> None:
    parser = argparse.ArgumentParser(description="False alarms and found faults of a monitor.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    asked = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":  # which libraries read when they are loaded
        command = [sys.executable, "-m", "benchmarks.monitoring", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "OMP_NUM_THREADS": "1"})  # noqa: S606
    lines = [
        "# What a monitor finds",
        "",
        "Made by `python -m benchmarks.monitoring`. A system serves the weeks after its log; each week is",
        "looked at alone, with the default rules. A shock sends "
        f"{SHOCK:.0%} of the events of a week to five items that hardly anybody knew.",
    ]
    world = make_world(WORLD, seed=SEED).dataset
    lines += _judged("the synthetic world", world, 0.75)
    lines += _judged("movielens-100k", read_set(asked.data, "movielens-100k"), 0.6)
    lines += [
        "",
        "What moves in `movielens-100k` as it was is `early_adopter_score`: nearly everybody in these weeks is",
        "somebody else than in the log. Why it moves in the second and third week of all is not found.",
    ]
    lines += _judged("thirtymusic-sessions", read_set(asked.data, "thirtymusic-sessions"), 0.6)
    PAGE.write_text("\n".join([*lines, ""]), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


def _judged(name: str, whole: Dataset, share: float) -> list[str]:
    assert whole.time_us is not None
    start = int(whole.time_us[int(share * whole.n_events)])
    log = whole.where(pl.Series(whole.time_us < start))
    with tempfile.TemporaryDirectory() as folder:
        model = HybridModel.fit(log, CONFIG, SEED)
        model.save(Path(folder) / "bundle")
        weeks = list(_weeks(LiveSystem(model), whole, start))
        longer = [replace(week, events=[_longer(one) for one in week.events]) for week in weeks]
        rng, rare = generator(SEED, "benchmarks.shock"), _rare(model)
        shocked = [
            replace(week, events=[_shocked(one, rare, rng) for one in week.events])
            for week in weeks
        ]
        bare = [
            replace(week, shown=[_without_one_base(one) for one in week.shown]) for week in weeks
        ]
        cases = {"as it was": weeks}
        if "genres" in whole.items.columns:
            broken = LiveSystem(_with_shuffled_genres(model))
            cases["genres of the catalogue permuted"] = list(_weeks(broken, whole, start))
        if "played_ms" in whole.events.columns:
            cases["plays last three times as long"] = longer
        cases |= {
            "a shock of popularity": shocked,
            "one base silent": bare,
        }
        began = time.process_time()
        found = {case: [_report(model, week) for week in some] for case, some in cases.items()}
        seconds = (time.process_time() - began) / sum(map(len, found.values()))
    heading = f"{log.n_events:,} events, {log.n_users:,} users, {log.n_items:,} items; {len(weeks)} weeks follow"
    return [
        *("", f"## {name}", ""),
        f"{heading}. One report takes {seconds:.1f} s of processor time.",
        "",
        "| weeks | with an alert | measures judged, per week | alerts, per week | of what, in how many weeks |",
        "| --- | --- | --- | --- | --- |",
        *(_row(case, reports) for case, reports in found.items()),
    ]


def _weeks(live: LiveSystem, whole: Dataset, start: int) -> Iterator[Week]:
    assert whole.time_us is not None
    rng = generator(SEED, "benchmarks.monitoring")
    n_weeks = int(whole.time_us[-1] - start) // (7 * DAY_US)
    for number in range(min(n_weeks, 8)):
        since = start + number * 7 * DAY_US
        until = since + 7 * DAY_US
        shown = lists_shown(live, whole, since, until, n_lists=N_LISTS, rng=rng)
        yield Week(since, until, shown, events_done(whole, since, until))


def _report(model: HybridModel, week: Week) -> MonitorReport:
    with tempfile.TemporaryDirectory() as folder, Log.open(f"sqlite:///{folder}/log.db") as log:
        log.add_impressions(week.shown)
        log.append(week.events, week.until_us)
        return monitor(log, model, week.since_us, week.until_us, config=MONITOR)


def _row(case: str, reports: Sequence[MonitorReport]) -> str:
    n = len(reports)
    alerts = [{(one.rule, one.of) for one in report.alerts} for report in reports]
    judged = {rule.measure for rule in MONITOR.rules}
    n_judged = np.mean([sum(one.name in judged for one in report.measures) for report in reports])
    often = Counter(f"{rule} {of}".strip() for some in alerts for rule, of in some).most_common(4)
    return (
        f"| {case} | {sum(bool(some) for some in alerts)} of {n} | {n_judged:.0f} | "
        f"{np.mean([len(some) for some in alerts]):.1f} | "
        f"{'; '.join(f'{what} ({times})' for what, times in often)} |"
    )


# -- faults -----------------------------------------------------------------------------


def _with_shuffled_genres(model: HybridModel) -> HybridModel:
    """The same version over a catalogue in which each item has the genres of another."""
    items = model.dataset.items
    order = generator(SEED, "benchmarks.genres").permutation(items.height)
    moved = items.with_columns(genres=items["genres"].gather(order))
    return HybridModel(
        replace(model.dataset, items=moved),
        model.config,
        model.bases,
        model.blend.choice,
        exclude_seen=model.blend.exclude_seen,
        seed=model.seed,
        version=model.version,
        learned=model.learned,
    )


def _longer(event: NewEvent) -> NewEvent:
    return event if event.played_ms is None else replace(event, played_ms=3 * event.played_ms)


def _rare(model: HybridModel) -> list[str]:
    """Five items of those with the fewest events."""
    dataset = model.dataset
    count = np.bincount(dataset.events["item_row"], minlength=dataset.n_items)
    return dataset.item_ids.decode(np.argsort(count, kind="stable")[:5].tolist())


def _shocked(event: NewEvent, rare: Sequence[str], rng: np.random.Generator) -> NewEvent:
    if rng.random() >= SHOCK:
        return event
    return replace(event, item_id=rare[int(rng.integers(len(rare)))])


def _without_one_base(shown: Impression) -> Impression:
    """A list to which one base said nothing."""
    items = []
    for item in shown.items:
        left = {label: weight for label, weight in item.weights.items() if label != "item_knn"}
        total = sum(left.values())
        items.append(
            replace(item, weights={k: v / total for k, v in left.items()} if total else {})
        )
    return replace(shown, items=items)


if __name__ == "__main__":
    main()
