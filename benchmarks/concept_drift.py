"""What a change of tastes costs, who recovers from it how soon, and when a detector says so.

    python -m benchmarks.concept_drift [--data ../shared/data] [--seeds 3]

In the synthetic world every listener's taste changes at a declared time, at once or over four weeks. A system that
was fitted four weeks before answers half of each session, day by day, and is judged by the other half. Beside it
stand the same system with less and with more to adapt by, and one that never knew anything but the new world. The
detector looks at the losses of the system that is not refitted. Writes ``benchmarks/concept_drift.md``.
"""

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.concept_drift_page import (
    AFTER,
    BEFORE,
    CHANGE,
    DELTA,
    LEVEL,
    LIVE,
    Found,
    Losses,
    Streams,
    Watched,
    page,
)
from benchmarks.signals import ROOT, read_set
from crossfade.data import Dataset, Queries
from crossfade.data.dataset import to_datetime
from crossfade.data.splits import ProtocolConfig, Trial, make_plan, window_trial
from crossfade.data.world import TasteChange, WorldConfig, make_world
from crossfade.errors import DataError
from crossfade.evaluation.judge import ranked_lists
from crossfade.evaluation.metrics import locate, ndcg
from crossfade.evaluation.statistics import unit_means
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.meta.fading import tune_half_life
from crossfade.monitoring.concept import ConceptDrift
from crossfade.rng import generator
from crossfade.types import MICROSECONDS_PER_DAY as DAY_US
from crossfade.types import Doubles

WORLD = WorldConfig(n_listeners=400, n_tracks=1_000, n_artists=150, n_plays=80_000, n_days=140)
START_US = int(np.datetime64(WORLD.start, "us").astype(np.int64))
DEPTH = 10

BASES: dict[str, dict[str, Any]] = {
    "popularity": {"half_life_days": 30.0},
    "item_knn": {},
    "ease": {},
    "session_knn": {},
}
FADING = ("item_knn", "ease")
HALF_LIVES = (3.0, 10.0, 30.0, None)
CONFIG = HybridConfig(
    bases=BASES, blend={"fusion": "static", "n_earlier_blocks": 0}, protocol={"name": "repeat"}
)
QUIET = 5
"""Worlds without a change, each watched from day 40 on."""

MIXED = 100
"""Times that the losses of all days of a stream are mixed."""

REAL = ("movielens-100k", "thirtymusic-sessions")


def main() -> None:
    parser = argparse.ArgumentParser(description="Recovery from a change of tastes.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    with ProcessPoolExecutor(2) as pool:
        seeds = range(asked.seeds)
        changes = {
            name: pool.map(partial(_changed, over_days), seeds)
            for name, over_days in (("at once", 1), ("over four weeks", 28))
        }
        quiet = pool.map(_quiet, range(QUIET))
        runs = {name: list(some) for name, some in changes.items()}
        watched = {"worlds without a change": list(quiet)}
    watched |= {name: [_real(read_set(asked.data, name))] for name in REAL}
    lines = page(runs, watched)
    path = ROOT / "benchmarks" / "concept_drift.md"
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    print(path.read_text(encoding="utf-8"))


def _changed(over_days: int, seed: int) -> tuple[Streams, Found]:
    """All systems in one world that changes, and what the detector said of the one that is not refitted."""
    whole = _world(seed, TasteChange(day=CHANGE, over_days=over_days))
    new = _world(seed, TasteChange(day=0))
    first = _fit(_until(whole, CHANGE - BEFORE))
    streams: Streams = {}
    known = _until(whole, CHANGE - BEFORE)
    everyday = range(CHANGE - BEFORE, CHANGE + AFTER)
    streams["neither"] = _stream(whole, everyday, first, known)
    streams[LIVE] = _stream(whole, everyday, first)
    found = _detect(streams[LIVE])
    weeks = range(CHANGE, CHANGE + AFTER, 7)
    ways: dict[str, Callable[[int], HybridModel]] = {
        "refit weekly": lambda day: _fit(_until(whole, day)),
        "refit, fading in 10 days": lambda day: _fit(
            _until(whole, day), dict.fromkeys(FADING, 10.0)
        ),
        "refit, fading tuned": lambda day: _fit(_until(whole, day), _tuned(_until(whole, day))),
        "refit on what came since": lambda day: _fit(_since(whole, day, found)),
    }
    for name, way in ways.items():
        streams[name] = streams[LIVE][:BEFORE] + [
            one for week in weeks for one in _stream(whole, range(week, week + 7), way(week))
        ]
    only_new = _fit(_until(new, CHANGE))
    streams[LEVEL] = _stream(new, range(CHANGE, CHANGE + AFTER), only_new)
    print(over_days, seed, found, flush=True)
    return streams, found


def _quiet(seed: int) -> Watched:
    """The detector in a world that does not change at a time."""
    whole = _world(100 + seed, None)
    model = _fit(_until(whole, 40))
    return _watched(_stream(whole, range(40, WORLD.n_days), model))


def _real(whole: Dataset) -> Watched:
    """The detector on the days after six tenths of a real log."""
    assert whole.time_us is not None
    start = int(whole.time_us[int(0.6 * whole.n_events)]) // DAY_US * DAY_US
    config = CONFIG.changed(protocol={"name": "time"})
    model = HybridModel.fit(whole.before(to_datetime(start)), config, 0)
    days = range((int(whole.time_us[-1]) - start) // DAY_US)
    return _watched(_stream(whole, days, model, origin_us=start, protocol=config.protocol))


def _watched(stream: list[Losses]) -> Watched:
    """Days as they were, and often over with the losses of all days mixed: what is found there is false."""
    rng = generator(0, "benchmarks.concept_drift")
    losses = np.concatenate([one.loss for one in stream])
    ends = np.cumsum([len(one.loss) for one in stream])[:-1]
    mixed = []
    for _ in range(MIXED):
        parts = np.split(rng.permutation(losses), ends)
        days = [replace(one, loss=loss) for one, loss in zip(stream, parts, strict=True)]
        mixed.append(_detect(days))
    return Watched(stream, _detect(stream), mixed)


def _world(seed: int, change: TasteChange | None) -> Dataset:
    return make_world(WORLD.changed(taste_change=change), seed).dataset


def _until(whole: Dataset, day: int) -> Dataset:
    return whole.before(to_datetime(START_US + day * DAY_US))


def _since(whole: Dataset, day: int, found: Found) -> Dataset:
    """All there is by a day; once the detector has spoken, only what came since the change by its word."""
    sofar = _until(whole, day)
    if found.said is None or found.since is None or found.said >= day or day - found.since < 7:
        return sofar
    since, until = (to_datetime(START_US + at * DAY_US) for at in (found.since, day))
    return whole.between(since, until)


def _fit(log: Dataset, fading: dict[str, float | None] | None = None) -> HybridModel:
    bases = {
        label: {**entry, "half_life_days": fading[label]} if fading and label in fading else entry
        for label, entry in BASES.items()
    }
    return HybridModel.fit(log, CONFIG.changed(bases=bases), 0)


def _tuned(log: Dataset) -> dict[str, float | None]:
    plan = make_plan(log, CONFIG.protocol, 0)
    return {
        label: tune_half_life(plan, label, half_lives_days=HALF_LIVES).half_life_days
        for label in FADING
    }


def _stream(
    whole: Dataset,
    days: Sequence[int],
    model: HybridModel,
    known: Dataset | None = None,
    *,
    origin_us: int = START_US,
    protocol: ProtocolConfig = CONFIG.protocol,
) -> list[Losses]:
    """Losses of a system day by day; with ``known`` histories end where that log ends."""
    found = []
    for day in days:
        window = (origin_us + day * DAY_US, origin_us + (day + 1) * DAY_US)
        try:
            trial = window_trial(whole, str(day), window, protocol)
        except DataError:  # nobody asks on that day
            continue
        if known is not None:
            trial = replace(trial, queries=_of_before(trial.queries, known))
        loss = 1 - _ndcg(model, trial)
        person, unit = np.unique(trial.queries.user_row, return_inverse=True)
        each = unit_means(loss[:, None], unit.astype(np.int64), len(person))[:, 0]
        found.append(Losses(day, person.astype(np.int64), each))
    return found


def _of_before(queries: Queries, known: Dataset) -> Queries:
    return known.queries(queries.user_row, queries.as_of_us)


def _ndcg(model: HybridModel, trial: Trial) -> Doubles:
    hits, _ = locate(ranked_lists(model.blend, trial, DEPTH), trial.relevant)
    return ndcg(hits, np.diff(trial.relevant.indptr))


def _detect(stream: Sequence[Losses]) -> Found:
    """The first change that is found, and how often one is."""
    drift, said, since, alarms = ConceptDrift(DELTA), None, None, 0
    for one in stream:
        change = drift.add(one.loss, np.full(len(one.loss), one.day))
        if change is not None:
            alarms += 1
            if said is None:
                said, since = one.day, change.at_us
    return Found(said, since, len(stream), alarms)


if __name__ == "__main__":
    main()
