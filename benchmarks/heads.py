"""What adapting to a person's own reactions adds to lists, and what it costs.

    python -m benchmarks.heads [--data ../shared/data] [--people 400] [--bundle DIR]

A system is fitted on the older nine tenths of a log. People who come later are replayed event by event: before
each event a list is asked for with their head and without it, and judged by that event alone; then the
head learns from it. Of `thirtymusic-sessions` the people are left out on whom the defaults were chosen. With
``--bundle`` (as `benchmarks.serving` saves one) the time of an adaptation is measured. Writes
``benchmarks/heads.md``.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.live import BASES, DEPTH, OLD
from benchmarks.signals import ROOT, SEED, read_set
from crossfade.data import Dataset
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.meta.prequential import HARM, Gain, gain_of
from crossfade.online import Answer, Ask, Event, HeadConfig, LiveSystem
from crossfade.online.history import strengths
from crossfade.rng import generator

SETS = ("thirtymusic-sessions", "movielens-100k")
CHOSEN_ON = {"thirtymusic-sessions": 250}
"""People on whom the defaults of `HeadConfig` were chosen: the first of this order."""
FEWEST, MOST = 5, 40
SAYS = ("item_id", "time_us", "event", "value", "played_ms", "skipped", "session_id")
CONFIG = HeadConfig(deadline_ms=1e9)
"""No deadline, so that a slow machine gives the same numbers; time is measured apart."""


@dataclass(frozen=True)
class Moment:
    """One list before one wanted event, without the head and with it."""

    person: int
    n_reactions: int
    applied: bool
    shadow: float
    adapted: float


def main() -> None:
    parser = argparse.ArgumentParser(description="What adapting to reactions adds to lists.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--people", type=int, default=400)
    parser.add_argument("--bundle", type=Path, help="A system over a large catalogue to time.")
    asked = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":  # which libraries read when they are loaded
        command = [sys.executable, "-m", "benchmarks.heads", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "OMP_NUM_THREADS": "1"})  # noqa: S606
    lines = [
        "# Adapting to a person's own reactions",
        "",
        "`python -m benchmarks.heads`. Each system is fitted on the older nine tenths of its log with the blend "
        f"`auto` over {', '.join(BASES)}. People with {FEWEST} or more later events are replayed event by event "
        f"(at most {MOST}). "
        "Before each wanted event on an item that is new to the person, the list with the head and that of the "
        "shadow (the same system and history, no head) are judged by that one item: test first, learn then. "
        f"NDCG@{DEPTH}; means over moments, the gain over people, of each the mean of their moments, paired, "
        f"with 95 % bootstrap intervals. Harmed and helped: people whose mean moved by more than {HARM}. Settings "
        "are the defaults.",
        "",
        "So `adapt` is off by default in the service: it is for logs of sessions. In trials more `evidence` took "
        "away harm and gain alike.",
    ]
    for name in SETS:
        lines += _replayed(name, asked.data, asked.people)
    if asked.bundle is not None:
        lines += _timed(LiveSystem(HybridModel.load(asked.bundle)))
    page = ROOT / "benchmarks" / "heads.md"
    page.write_text("\n".join([*lines, ""]), encoding="utf-8")
    print(page.read_text(encoding="utf-8"))


# -- replay ----------------------------------------------------------------------------


def _replayed(name: str, data: Path, n_people: int) -> list[str]:
    began = time.perf_counter()
    whole = read_set(data, name)
    assert whole.time_us is not None
    moment = int(whole.time_us[int(OLD * whole.n_events)])
    log = whole.where(pl.Series(whole.time_us < moment))
    blend = {"fusion": "auto", "n_earlier_blocks": 1}
    system = LiveSystem(HybridModel.fit(log, HybridConfig(bases=BASES, blend=blend), SEED))
    people = _people(whole, moment)[CHOSEN_ON.get(name, 0) :][:n_people]
    moments = [one for at, events in enumerate(people) for one in _moments(system, at, *events)]
    minutes = (time.perf_counter() - began) / 60
    return [
        "",
        f"## {name}",
        "",
        f"{log.n_events:,} events in the log, blend `{system.model.blend.name}`, {len(people):,} people, "
        f"{len(moments):,} moments, {minutes:.1f} minutes.",
        "",
        *_table(moments),
    ]


def _people(whole: Dataset, moment: int) -> list[tuple[str, list[Event]]]:
    """Those with enough later events on known items, in an order drawn by chance."""
    since = whole.with_ids().with_columns(time_us=pl.col("timestamp").to_physical())
    since = since.filter(pl.col("time_us") >= moment)
    enough = since.group_by("user_id").len().filter(pl.col("len") >= FEWEST).sort("user_id")
    drawn = generator(0, "x").permutation(enough["user_id"].to_numpy())
    columns = [name for name in SAYS if name in since.columns]
    of_user = since.sort("time_us").partition_by("user_id", as_dict=True)
    return [
        (user, [Event(**one) for one in of_user[user,].select(columns).to_dicts()[:MOST]])
        for user in map(str, drawn.tolist())
    ]


def _moments(system: LiveSystem, person: int, user: str, events: Sequence[Event]) -> list[Moment]:
    data, head, found = system.model.dataset, None, []
    row = data.user_ids.rows([user])[0]
    past = set(data.item_ids.decode(data.queries([int(row)]).item_row)) if row >= 0 else set()
    wanted = strengths(events, data) > 0
    for at, event in enumerate(events):
        ask = Ask(user, events[:at], k=DEPTH, now_us=event.time_us, head=head)
        if wanted[at] and event.item_id not in past:
            shadow, adapted = (system.answer([one])[0] for one in (_without(ask), ask))
            assert isinstance(shadow, Answer)
            assert isinstance(adapted, Answer)
            n = 0 if head is None else head.n_reactions
            scores = (_judged(one, event.item_id) for one in (shadow, adapted))
            found.append(Moment(person, n, adapted.adaptation_applied, *scores))
        past.add(event.item_id)
        after = Ask(user, events[: at + 1], now_us=event.time_us + 1, head=head)
        head = system.adapt(after, CONFIG).head
    return found


def _without(ask: Ask) -> Ask:
    return Ask(ask.user_id, ask.events, k=ask.k, now_us=ask.now_us)


def _judged(answer: Answer, item_id: str) -> float:
    """NDCG of a list where one item is wanted."""
    listed = [line.item_id for line in answer.recommendations]
    return 1 / float(np.log2(2 + listed.index(item_id))) if item_id in listed else 0.0


def _table(moments: Sequence[Moment]) -> list[str]:
    lines = [
        "| moments | people | shadow | with heads | gain by person [95 %] | head applied | helped | harmed |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    parts = {
        "all": moments,
        "after 3 or more reactions": [one for one in moments if one.n_reactions >= 3],
        "where the head was applied": [one for one in moments if one.applied],
    }
    for title, some in parts.items():
        if some:
            lines.append(f"| {title} | {_row(some)} |")
    gain = _gain(moments)
    verdict = "pass" if gain.low > 0 else "fail"
    ever = len({one.person for one in moments if one.applied}) / len({m.person for m in moments})
    lines += [
        "",
        f"{100 * ever:.0f} % of people had a head that was applied at some moment. Bar: over all moments the gain "
        f"is above 0 with its interval: {gain.gain:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}], **{verdict}**.",
    ]
    return lines


def _gain(moments: Sequence[Moment]) -> Gain:
    """Over people, of each the mean of their moments."""
    person = np.array([one.person for one in moments])
    _, place, n = np.unique(person, return_inverse=True, return_counts=True)
    sums = [
        np.bincount(place, [getattr(one, arm) for one in moments]) / n
        for arm in ("shadow", "adapted", "applied")
    ]
    rng = generator(SEED, "benchmarks.heads.interval")
    return gain_of(sums[0], sums[1], sums[2] > 0, rng)


def _row(moments: Sequence[Moment]) -> str:
    gain = _gain(moments)
    level = [np.mean([getattr(one, arm) for one in moments]) for arm in ("shadow", "adapted")]
    applied = np.mean([one.applied for one in moments])
    return (
        f"{gain.n:,} | {level[0]:.4f} | {level[1]:.4f} | {gain.gain:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] | "
        f"{100 * applied:.0f} % | {100 * gain.helped:.0f} % | {100 * gain.harmed:.0f} %"
    )


# -- speed -----------------------------------------------------------------------------


def _timed(system: LiveSystem, n_people: int = 100, n_events: int = 10) -> list[str]:
    """Time of an adaptation after one more event on something that was listed."""
    data, rng = system.model.dataset, generator(SEED, "benchmarks.heads.speed")
    assert data.time_us is not None
    now_us, step_us = int(data.time_us[-1]) + 3_600_000_000, 60_000_000
    taken, size = [], 0
    for _ in range(n_people):
        user = data.user_ids.id(int(rng.integers(data.n_users)))
        (answer,) = system.answer([Ask(user, k=50, now_us=now_us)])
        assert isinstance(answer, Answer)
        listed, events, head = [line.item_id for line in answer.recommendations], [], None
        for at in range(1, n_events + 1):
            kind = "like" if rng.random() < 0.7 else "skip"
            item = listed[int(rng.integers(len(listed)))]
            events.append(Event(item, now_us + at * step_us, kind))
            ask = Ask(user, tuple(events), now_us=now_us + at * step_us + 1, head=head)
            began = time.perf_counter(), time.process_time()
            head = system.adapt(ask, CONFIG).head
            taken.append((time.perf_counter() - began[0], time.process_time() - began[1]))
        assert head is not None
        size = max(size, len(head.to_json()))
    milliseconds = 1000 * np.array(
        taken[2 * n_events :]
    )  # what is computed once is no adaptation's
    lines = [
        "",
        "## Speed",
        "",
        f"One adaptation after one more event, {data.n_items:,} items, {len(system.model.bases)} bases, blend "
        f"`{system.model.blend.name}`, one thread, {len(milliseconds):,} adaptations; "
        f"a head is at most {size:,} bytes of text.",
        "",
        "| ms | median | 99th percentile | most |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, values in zip(("wall", "processor"), milliseconds.T, strict=True):
        told = [np.percentile(values, at) for at in (50, 99, 100)]
        lines.append(f"| {name} | {' | '.join(f'{value:.1f}' for value in told)} |")
    late = float(np.percentile(milliseconds[:, 0], 99))
    lines += [
        "",
        f"Bar: 99th percentile by the clock at most 30 ms: {late:.1f} ms, "
        f"**{'pass' if late <= 30 else 'fail'}**.",
    ]
    return lines


if __name__ == "__main__":
    main()
