"""What one request costs over a catalogue of 100,000 items: seven bases, a learned blend, reasons.

    python -m benchmarks.serving [--bundle DIR]

Fits a system on a made-up log (several minutes), or takes one saved by an earlier run with
``--bundle``, and asks for known users one after the other on one thread. The floor beside it is
the exact product of one user vector with all item vectors of one base, and its 100 best. Writes
``benchmarks/serving.md``.

    python -m benchmarks.serving --items 1000000 --users 250000 --bundle DIR --blend-of DIR

The same over a million items, where bases of vectors propose through an index. The bases are fitted
on the larger log, with fewer rounds; the blend is that of the smaller system, learned in the same
kind of world: what a request costs does not depend on what a blend has learned. Writes
``benchmarks/serving_1000000.md``.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.serving_log import make_log
from benchmarks.signals import ROOT, SEED
from crossfade.cli.progress import reporter
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.meta.blending import BlendConfig
from crossfade.meta.lists import ListBuilder
from crossfade.progress import reporting_to
from crossfade.recommenders.factors import FactorRecommender
from crossfade.types import Doubles

N_USERS, N_REQUESTS, N_WARM, K = 40_000, 300, 30, 20
P50_BAR_MS, P99_BAR_MS = 10.0, 25.0
LARGE, LARGE_P99_BAR_MS, LARGE_RATIO_BAR = 1_000_000, 40.0, 3.0
N_COMPARED = 100
BASES = {
    "popularity": {"model": "popularity", "half_life_days": 90.0},
    "trending": {"model": "popularity", "half_life_days": 7.0},
    "item_knn": {"model": "item_knn"},
    "nmf": {"model": "nmf"},
    "ials": {"model": "ials"},
    "session_knn": {"model": "session_knn"},
    "content_knn": {"model": "content_knn"},
}
FLOOR = "ials"


@dataclass(frozen=True)
class Timed:
    """Milliseconds of many calls, by the clock and of the processor."""

    clock: Doubles
    processor: Doubles


def main() -> None:
    parser = argparse.ArgumentParser(description="What one request costs.")
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=N_USERS)
    parser.add_argument("--bundle", type=Path, help="Saved by an earlier run; made if missing.")
    parser.add_argument("--blend-of", type=Path, help="A saved system whose blend serves.")
    parser.add_argument("--to", type=Path)
    asked = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":  # which libraries read when they are loaded
        command = [sys.executable, "-m", "benchmarks.serving", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "OMP_NUM_THREADS": "1"})  # noqa: S606
    load = os.getloadavg()[0]
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        bundle = asked.bundle or Path(folder) / "bundle"
        if not bundle.exists():
            fit(asked.items, asked.users, bundle, asked.blend_of)
        model = HybridModel.load(bundle)
    large = model.dataset.n_items >= LARGE
    page = asked.to or ROOT / "benchmarks" / f"serving{f'_{asked.items}' if large else ''}.md"
    page.write_text(_page(model, load, large=large), encoding="utf-8")
    print(page.read_text(encoding="utf-8"))


def fit(n_items: int, n_users: int, bundle: Path, blend_of: Path | None = None) -> None:
    # One cut to learn from and 500 lists of it: what a request costs does not depend on more.
    blend = BlendConfig(n_earlier_blocks=0, max_requests=500)
    with reporting_to(reporter()):
        log = make_log(n_items, n_users, SEED)
        if blend_of is None:
            HybridModel.fit(log, HybridConfig(bases=BASES, blend=blend), SEED).save(bundle)
            return
        from_there = HybridModel.load(blend_of)
        assert from_there.learned is not None
        strangers = np.full(log.n_users, -1, dtype=np.int32)
        bases = {**BASES, "nmf": {"max_iterations": 8}, "ials": {"iterations": 5}}
        HybridModel.fit(
            log,
            HybridConfig(bases=bases, blend=blend),
            SEED,
            from_there.blend.choice,
            from_there.learned.moved(strangers),
        ).save(bundle)


def _timed(calls: dict[str, Callable[[str], object]], users: list[str]) -> dict[str, Timed]:
    """Each call for every user, by turns: machines change their speed from second to second."""
    for user in users[:N_WARM]:
        for call in calls.values():
            call(user)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for user in users[N_WARM:]:
        for name, call in calls.items():
            began, worked = time.perf_counter(), time.process_time()
            call(user)
            worked, took = time.process_time() - worked, time.perf_counter() - began
            times[name].append((1000 * took, 1000 * worked))
    return {name: Timed(*np.array(pairs).T) for name, pairs in times.items()}


def _floor(model: HybridModel) -> Callable[[str], object]:
    """Product and 100 best of one base, as NumPy does it."""
    base = model.bases[FLOOR]
    assert isinstance(base, FactorRecommender)
    vectors = base.embeddings()
    user, item = np.nan_to_num(vectors.user), np.nan_to_num(vectors.item)

    def ask(name: str) -> object:
        scores = item @ user[model.dataset.user_ids.row(name)]
        best = np.argpartition(scores, -100)[-100:]
        return best[np.argsort(-scores[best])]

    return ask


def _bar(p50: float, p99: float, ratio: float, *, large: bool) -> str:
    if large:
        verdict = "pass" if p99 <= LARGE_P99_BAR_MS and ratio <= LARGE_RATIO_BAR else "fail"
        return (
            f"Bar: p99 at most {LARGE_P99_BAR_MS:g} ms and {LARGE_RATIO_BAR:g} times the floor, with reasons: "
            f"{p99:.1f} ms and {ratio:.1f} times (medians), **{verdict}**."
        )
    verdict = "pass" if p50 <= P50_BAR_MS and p99 <= P99_BAR_MS else "fail"
    return (
        f"Bar: p50 at most {P50_BAR_MS:g} ms and p99 at most {P99_BAR_MS:g} ms on one core, with reasons: "
        f"{p50:.1f} and {p99:.1f} ms, **{verdict}**. That is {ratio:.1f} times the floor."
    )


def _indexed(model: HybridModel, users: list[str]) -> list[str]:
    """What the indexes find, and how much of a list they leave as it is."""
    lists = model.blend.learned
    if not model.near or lists is None:
        return []
    parts = []
    for label, near in model.near.items():
        found = near.index.report["recall"]
        parts.append(f"{label} {found['mean']:.3f} (n = {found['n_queries']})")

    def listed() -> list[set[str]]:
        return [{r.item_id for r in model.recommend(user=u, k=K)} for u in users]

    through = listed()
    assert isinstance(lists.lists, ListBuilder)
    model.blend.learned = replace(lists, lists=replace(lists.lists, near={}))
    whole = listed()
    model.blend.learned = lists
    same = [len(a & b) / max(1, len(b)) for a, b in zip(through, whole, strict=True)]
    drawn = np.random.default_rng(SEED).choice(same, (1000, len(same))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return [
        f"Through an index, with its recall of the 100 largest products: {'; '.join(parts)}. Of the lists that are "
        f"made without it {np.mean(same):.1%} of the items [{low:.1%}, {high:.1%}] are in those made with it, "
        f"n = {len(same)}.",
        "",
    ]


def _page(model: HybridModel, load: float, *, large: bool) -> str:
    users = model.dataset.users["user_id"].to_list()[: N_WARM + N_REQUESTS]
    calls: dict[str, Callable[[str], object]] = {
        "with reasons": lambda u: model.recommend(user=u, k=K, explain=True),
        "without reasons": lambda u: model.recommend(user=u, k=K),
        f"floor: product of {FLOOR}, 100 best": _floor(model),
    }
    rows = _timed(calls, users)
    said = [line for u in users[N_WARM:] for line in model.recommend(user=u, k=K, explain=True)]
    silent = sum(line.why is None for line in said) / len(said)
    first, floor = rows["with reasons"], list(rows.values())[-1]
    p50, p99 = (float(np.quantile(first.clock, q)) for q in (0.5, 0.99))
    data, ratio = model.dataset, float(np.median(first.clock) / np.median(floor.clock))
    lines = [
        "# Speed of one request",
        "",
        f"`python -m benchmarks.serving` on {os.cpu_count()} cores, one thread, load average {load:.1f} at the "
        f"start: {data.n_items:,} items, {data.n_users:,} users, {data.n_events:,} events of a made-up log, "
        f"{len(model.bases)} bases, `{model.blend.name}`; lists of {K} for {N_REQUESTS} known users, the rows "
        "below by turns.",
        "",
        f"{_bar(p50, p99, ratio, large=large)} Of {len(said):,} listed items {silent:.1%} have no reason that "
        "can be said.",
        "",
        *_indexed(model, users[N_WARM : N_WARM + N_COMPARED]),
        "| request | p50 | p99 | p50 of processor time | n |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, one in rows.items():
        cells = [*np.quantile(one.clock, [0.5, 0.99]), np.median(one.processor)]
        numbers = " | ".join(f"{cell:.2f} ms" for cell in cells)
        lines.append(f"| {name} | {numbers} | {len(one.clock)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
