"""What live events give to lists in the session they come from, and what answering costs.

    python -m benchmarks.live [--data ../shared/data] [--sessions 400] [--bundle DIR]

A system is fitted on the older nine tenths of `thirtymusic-sessions`. Sessions that begin later are
replayed: before each play but the first a list is asked for, and judged by what the rest of the
session holds. Everybody asks with what came since the log ended, with the log alone, with the session
alone as somebody without a name, and as nobody. With ``--bundle`` (as `benchmarks.serving` saves one)
processor time of one and of several requests at once is measured. Writes ``benchmarks/live.md``.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.signals import ROOT, SEED, read_set
from crossfade.data import Dataset
from crossfade.evaluation.metrics import ndcg, recall
from crossfade.evaluation.statistics import Estimates, bootstrap, unit_means
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.online import Answer, Ask, Event, LiveSystem
from crossfade.rng import generator
from crossfade.types import Doubles

SET, OLD, K, DEPTH, MOST, AT_ONCE = "thirtymusic-sessions", 0.9, 20, 10, 30, 64
BASES: dict[str, dict[str, Any]] = {
    "popularity": {"half_life_days": 90.0},
    "trending": {"model": "popularity", "half_life_days": 7.0},
    "item_knn": {},
    "session_knn": {},
    "ials": {},
}
BLEND = {"fusion": "ridge", "n_earlier_blocks": 1}
LIVE, LOG = "log and live events", "log alone"
ARMS = (LIVE, LOG, "session alone, no user", "nobody")
AFTER = {"after 1 play": (1, 1), "after 2 or 3": (2, 3), "after 4 or more": (4, MOST)}
PARTS = {"all moments": (1, MOST), **AFTER}
N_EACH = (1, 8, 32)


@dataclass(frozen=True)
class Step:
    """One moment of a session: who asks, after how many plays, and what comes yet."""

    session: int
    n_played: int
    asks: tuple[Ask, ...]
    played: frozenset[str]
    wanted: frozenset[str]


def main() -> None:
    parser = argparse.ArgumentParser(description="What live events give to lists.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--sessions", type=int, default=400)
    parser.add_argument("--bundle", type=Path, help="A system over a large catalogue to time.")
    asked = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":  # which libraries read when they are loaded
        command = [sys.executable, "-m", "benchmarks.live", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "OMP_NUM_THREADS": "1"})  # noqa: S606
    whole = read_set(asked.data, SET)
    assert whole.time_us is not None
    moment = int(whole.time_us[int(OLD * whole.n_events)])
    log = whole.where(pl.Series(whole.time_us < moment))
    system = LiveSystem(HybridModel.fit(log, HybridConfig(bases=BASES, blend=BLEND), SEED))
    steps = list(_steps(whole, log, moment, asked.sessions))
    lines = _replayed(system, steps)
    if asked.bundle is not None:
        lines += _timed(LiveSystem(HybridModel.load(asked.bundle)))
    page = ROOT / "benchmarks" / "live.md"
    page.write_text("\n".join([*lines, ""]), encoding="utf-8")
    print(page.read_text(encoding="utf-8"))


# -- replay ----------------------------------------------------------------------------


def _steps(whole: Dataset, log: Dataset, moment: int, n_sessions: int) -> Iterator[Step]:
    """Every play but the first of sessions that begin after the log, drawn by chance."""
    events = whole.with_ids().with_columns(
        session=whole.events["session_row"], time_us=pl.col("timestamp").to_physical()
    )
    begun = events.group_by("session").agg(pl.col("time_us").min().alias("begins"), pl.len())
    late = begun.filter((pl.col("begins") >= moment) & (pl.col("len") >= 3)).sort("session")
    drawn = generator(SEED, "benchmarks.live").permutation(late["session"].to_numpy())[:n_sessions]
    since = events.filter(pl.col("time_us") >= moment)
    for number, session in enumerate(drawn.tolist()):
        mine = since.filter(pl.col("session") == session)
        user = str(mine["user_id"][0])
        theirs = _events(since.filter(pl.col("user_id") == user))
        known = set(log.item_ids.decode(log.queries([log.user_ids.row(user)]).item_row))
        plays = _events(mine)
        for n, play in enumerate(plays[1 : MOST + 1], start=1):
            past = {one.item_id for one in theirs if one.time_us < play.time_us}
            asks = (
                Ask(user, theirs, k=MOST + K, now_us=play.time_us),
                Ask(user, k=MOST + K, now_us=play.time_us),
                Ask(None, plays[:n], k=MOST + K, now_us=play.time_us),
                Ask(None, k=MOST + K, now_us=play.time_us),
            )
            wanted = {one.item_id for one in plays[n:]} - past - known
            yield Step(number, n, asks, frozenset(past | known), frozenset(wanted))


def _events(rows: pl.DataFrame) -> list[Event]:
    columns = ("item_id", "time_us", "played_ms", "session_id")
    told = rows.select(columns).iter_rows(named=True)
    return [Event(**one) for one in told]


def _judged(system: LiveSystem, steps: Sequence[Step]) -> Doubles:
    """NDCG and recall of each step for each way of asking, ``(n, 4, 2)``; NaN where nothing is wanted.

    Nobody is listed what they played: to those who do not say so it is taken from the list.
    """
    found = np.full((len(steps), len(ARMS), 2), np.nan)
    for start in range(0, len(steps), AT_ONCE):
        some = steps[start : start + AT_ONCE]
        answers = iter(system.answer([ask for step in some for ask in step.asks]))
        for at, step in enumerate(some, start):
            n_wanted = np.array([len(step.wanted)])
            for arm in range(len(ARMS)):
                answer = next(answers)
                assert isinstance(answer, Answer), answer
                listed = [line.item_id for line in answer.recommendations]
                shown = [item for item in listed if item not in step.played][:K]
                hits = np.zeros((1, K), dtype=np.bool_)
                hits[0, : len(shown)] = [item in step.wanted for item in shown]
                found[at, arm] = ndcg(hits[:, :DEPTH], n_wanted)[0], recall(hits, n_wanted)[0]
    return found


def _replayed(system: LiveSystem, steps: Sequence[Step]) -> list[str]:
    began = time.perf_counter()
    found = _judged(system, steps)
    minutes = (time.perf_counter() - began) / 60
    session = np.array([step.session for step in steps])
    n_played = np.array([step.n_played for step in steps])
    lines = [
        "# Live events",
        "",
        f"`python -m benchmarks.live`: {session.max() + 1:,} sessions of `{SET}` that began after the log "
        f"({system.model.dataset.n_events:,} events) ended, {len(steps):,} moments, {minutes:.1f} minutes; bases "
        f"{', '.join(BASES)}, blend `{system.model.blend.name}`.",
        "",
        f"Before each play but the first of a session, {K} songs that the person never played are listed and "
        "judged by those of the rest of the session. Means over sessions, of each the mean of its moments, with "
        f"95 % bootstrap intervals over sessions; *gain* is paired, over the {LOG}.",
    ]
    for title, (low, high) in PARTS.items():
        here = (n_played >= low) & (n_played <= high)
        means = unit_means(found[here].reshape(here.sum(), -1), session[here], session.max() + 1)
        means = means.reshape(-1, len(ARMS), 2)
        lines += [] if title in AFTER else ["", _bar(_gains(means)[ARMS.index(LIVE)])]
        lines += ["", f"## {title.capitalize()}", "", *_table(means)]
    return lines


def _bar(gain: Estimates) -> str:
    verdict = "pass" if gain.low[0] > 0 else "fail"
    return (
        f"Bar: with live events NDCG@{DEPTH} is higher than with the {LOG}, interval above 0: "
        f"{_gain(gain, 0)}, **{verdict}**."
    )


def _gains(means: Doubles) -> list[Estimates]:
    """Of each way of asking over the log alone."""
    gains = means - means[:, [ARMS.index(LOG)]]
    return [_estimates(gains[:, arm]) for arm in range(len(ARMS))]


def _estimates(values: Doubles) -> Estimates:
    return bootstrap(values, generator(SEED, "benchmarks.live.interval"))


def _table(means: Doubles) -> list[str]:
    """One row for each way of asking; ``means`` of sessions, ``(n, 4, 2)``."""
    lines = [
        f"| asked with | sessions | NDCG@{DEPTH} | gain [95 %] | recall@{K} | gain [95 %] |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for arm, (name, gain) in enumerate(zip(ARMS, _gains(means), strict=True)):
        level = _estimates(means[:, arm])
        told = ["", ""] if name == LOG else [_gain(gain, metric) for metric in range(2)]
        cells = [f"{mean:.4f} | {more}" for mean, more in zip(level.mean, told, strict=True)]
        lines.append(f"| {name} | {level.n[0]:,} | {' | '.join(cells)} |")
    return lines


def _gain(gain: Estimates, metric: int) -> str:
    return f"{gain.mean[metric]:+.4f} [{gain.low[metric]:+.4f}, {gain.high[metric]:+.4f}]"


# -- speed -----------------------------------------------------------------------------


def _timed(system: LiveSystem) -> list[str]:
    """Processor time of requests with five live events each, alone and together."""
    data, rng = system.model.dataset, generator(SEED, "benchmarks.live.speed")
    assert data.time_us is not None
    now_us = int(data.time_us[-1]) + 3_600_000_000

    def ask() -> Ask:
        user = int(rng.integers(data.n_users))
        items = rng.integers(data.n_items, size=5).tolist()
        events = [
            Event(item, now_us - 1 - at) for at, item in enumerate(data.item_ids.decode(items))
        ]
        return Ask(data.user_ids.id(user), events, k=K, now_us=now_us)

    taken: dict[int, list[float]] = {n: [] for n in N_EACH}
    system.answer([ask() for _ in range(max(N_EACH))])
    for _ in range(20):  # by turns, so that what else the machine does meets all alike
        for n in N_EACH:
            asks = [ask() for _ in range(n)]
            began = time.process_time()
            system.answer(asks)
            taken[n].append(1000 * (time.process_time() - began) / n)
    alone = float(np.median(taken[1]))
    lines = [
        "",
        "## Speed",
        "",
        f"Processor time over {data.n_items:,} items with {len(system.model.bases)} bases and "
        f"`{system.model.blend.name}`, one thread, medians of 20 calls; five live events each, known users.",
        "",
        "| requests at once | ms for each | of one alone |",
        "| ---: | ---: | ---: |",
    ]
    for n, each in taken.items():
        lines.append(f"| {n} | {np.median(each):.2f} | {np.median(each) / alone:.2f} |")
    return lines


if __name__ == "__main__":
    main()
