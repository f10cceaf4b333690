"""What a list loses when only the newest live events of a person count.

    python -m benchmarks.newest [--data ../shared/data] [--people 300]

A system is fitted on the older six tenths of a log and serves the rest without ever being fitted again, which
leaves people with far more live events than a week would. People with many of them are asked for at moments
drawn by chance after the first 100, with all that came since the log and with the newest 10, 25, … of these alone.
Lists are judged as they are: a song or film that was forgotten may be listed again, and takes a place. Writes
``benchmarks/newest.md``.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.signals import ROOT, SEED, read_set
from crossfade.data import Dataset
from crossfade.evaluation.metrics import ndcg
from crossfade.evaluation.statistics import bootstrap, unit_means
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.monitoring.replay import events_done
from crossfade.online import Answer, Ask, Event, LiveSystem, as_event
from crossfade.rng import generator
from crossfade.types import Doubles, Ints

PAGE = Path(__file__).with_suffix(".md")
SETS, OLD, K = ("thirtymusic-sessions", "movielens-100k"), 0.6, 10
NEWEST = (10, 25, 50, 100, 200, 500)
LEAST, AHEAD, MOMENTS = 100, 20, 4
CONFIG = HybridConfig(
    bases={
        "popularity": {"half_life_days": 90.0},
        "trending": {"model": "popularity", "half_life_days": 7.0},
        "item_knn": {},
        "session_knn": {},
        "ials": {},
    },
    blend={"fusion": "ridge", "n_earlier_blocks": 1},
)


@dataclass(frozen=True)
class Moment:
    """One moment of somebody: what happened since the log, and what they want next for the first time."""

    person: int
    ask: Ask
    wanted: frozenset[str]


def main() -> None:
    parser = argparse.ArgumentParser(description="What is lost when only newest events count.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--people", type=int, default=300)
    asked = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":  # which libraries read when they are loaded
        command = [sys.executable, "-m", "benchmarks.newest", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "OMP_NUM_THREADS": "1"})  # noqa: S606
    lines = [
        "# How many events of a person count",
        "",
        f"`python -m benchmarks.newest`. Systems are fitted on the older {OLD:.0%} of a log and never again. "
        f"People with more than {LEAST} live events, {MOMENTS} moments of each after the first {LEAST}; a list of "
        f"{K} is judged by what is new among the next {AHEAD} events. Means over people, of each the mean of "
        "their moments; *change* is paired, against all live events, with 95 % bootstrap intervals.",
    ]
    for name in SETS:
        lines += _measured(name, read_set(asked.data, name), asked.people)
    PAGE.write_text("\n".join([*lines, ""]), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


def _measured(name: str, whole: Dataset, n_people: int) -> list[str]:
    assert whole.time_us is not None
    start = int(whole.time_us[int(OLD * whole.n_events)])
    log = whole.where(pl.Series(whole.time_us < start))
    live = LiveSystem(HybridModel.fit(log, CONFIG, SEED))
    moments = list(_moments(whole, log, start, n_people))
    person = np.array([moment.person for moment in moments])
    n_live = np.array([len(moment.ask.events) for moment in moments])
    everything = _judged(live, moments, None, person)
    lines = [
        *("", f"## {name}", ""),
        f"{log.n_events:,} events in the log, blend `{live.model.blend.name}`; {len(everything):,} people, "
        f"{len(moments):,} moments with {np.median(n_live):.0f} live events in the middle and {n_live.max():,} "
        "at most.",
        "",
        f"| newest | NDCG@{K} | change [95 %] |",
        "| ---: | ---: | ---: |",
    ]
    for newest in NEWEST:
        mine = _judged(live, moments, newest, person)
        gain = bootstrap(mine - everything, generator(SEED, "benchmarks.newest.interval"))
        lines.append(
            f"| {newest} | {np.nanmean(mine):.4f} | {gain.mean[0]:+.4f} [{gain.low[0]:+.4f}, {gain.high[0]:+.4f}] |"
        )
    return [*lines, f"| all | {np.nanmean(everything):.4f} | |"]


def _moments(whole: Dataset, log: Dataset, start: int, n_people: int) -> Iterator[Moment]:
    assert whole.time_us is not None
    theirs: dict[str, list[Event]] = {}
    for event in events_done(whole, start, int(whole.time_us[-1]) + 1):
        theirs.setdefault(str(event.user_id), []).append(as_event(event))
    rng = generator(SEED, "benchmarks.newest")
    active = [name for name, some in theirs.items() if len(some) > LEAST + AHEAD]
    for number, at in enumerate(rng.permutation(len(active))[:n_people].tolist()):
        user, events = active[at], theirs[active[at]]
        known = (
            set(log.item_ids.decode(log.queries([log.user_ids.row(user)]).item_row))
            if user in log.user_ids
            else set()
        )
        places = np.arange(LEAST, len(events) - AHEAD)
        for place in np.sort(rng.permutation(places)[:MOMENTS]).tolist():
            seen = known | {one.item_id for one in events[:place]}
            wanted = {one.item_id for one in events[place : place + AHEAD]} - seen
            ask = Ask(user, events[:place], k=K, now_us=events[place].time_us)
            if wanted:
                yield Moment(number, ask, frozenset(wanted))


def _judged(
    live: LiveSystem, moments: Sequence[Moment], newest: int | None, person: Ints
) -> Doubles:
    """Mean NDCG of each person, ``(n_people, 1)``."""
    found = np.empty((len(moments), 1))
    for at, moment in enumerate(moments):
        events = moment.ask.events if newest is None else moment.ask.events[-newest:]
        (answer,) = live.answer([Ask(moment.ask.user_id, events, k=K, now_us=moment.ask.now_us)])
        assert isinstance(answer, Answer)
        hits = np.zeros((1, K), dtype=np.bool_)
        listed = [line.item_id in moment.wanted for line in answer.recommendations]
        hits[0, : len(listed)] = listed
        found[at] = ndcg(hits, np.array([len(moment.wanted)]))
    return unit_means(found, np.unique(person, return_inverse=True)[1], len(np.unique(person)))


if __name__ == "__main__":
    main()
