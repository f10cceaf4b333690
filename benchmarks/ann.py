"""Time and recall of searching a million 64-d item vectors of a trained tower.

    python -m benchmarks.ann [--items 1000000] [--steps 400] [--vectors FOLDER]

Makes a synthetic catalogue and clicks, trains a small two-tower network on them in plain
PyTorch (`benchmarks.ann_catalogue`), and asks for the 100 nearest items of people it was not
trained on: exactly, with crossfade's index in each storage, and with what FAISS offers besides.
Everything approximate is tuned to the same target on the same queries and judged on others; all
queries run one at a time on one core. Bars: p99 of 5 ms with recall@100 of 0.97. Writes
``benchmarks/ann.md``. ``--vectors`` keeps the towers' vectors there and takes them from there.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.ann_catalogue import all_items, all_users, make_catalogue, make_clicks, train
from crossfade.arrays import top_k
from crossfade.index import IndexConfig, build_index
from crossfade.index.quality import measured
from crossfade.types import Doubles, Floats, Rows

ROOT = Path(__file__).parent.parent
K, TARGET, BAR_MS = 100, 0.97, 5.0
N_USERS, N_STRANGERS = 60_000, 8_000
N_TUNE, N_JUDGE, N_TIMED, N_TIMED_EXACT = 200, 400, 2_000, 400
SEED = 0

faiss_lib: Any = faiss
Search = Callable[[Floats], Rows]
"""One query, shape ``(1, width)``, to the rows found for it, shape ``(k,)``."""


@dataclass(frozen=True)
class Asked:
    """Vectors of people the tower was not trained on, no one in two groups."""

    tune: Floats
    spare: Floats
    judge: Floats
    timed: Floats

    @classmethod
    def of(cls, users: Floats) -> Self:
        """Four groups of the rows of ``users``."""
        tune, spare, judge = np.split(users[: 2 * N_TUNE + N_JUDGE], [N_TUNE, 2 * N_TUNE])
        return cls(tune, spare, judge, users[-N_TIMED:])


@dataclass(frozen=True)
class Line:
    """One row of the table."""

    name: str
    settings: str
    recall: str
    ms: Doubles
    cpu_ms: Doubles
    build_seconds: float
    bytes_per_vector: float


def make_vectors(n_items: int, n_steps: int, folder: Path | None) -> tuple[Floats, Floats, str]:
    """Vectors of items and of strangers, and how they came about."""
    if folder is not None and (folder / "about.txt").exists():
        about = (folder / "about.txt").read_text(encoding="utf-8")
        return np.load(folder / "items.npy"), np.load(folder / "users.npy"), about
    rng = np.random.default_rng(SEED)
    start = time.perf_counter()
    catalogue = make_catalogue(n_items, rng)
    clicks = make_clicks(catalogue, N_USERS, rng)
    made = time.perf_counter() - start
    print(f"catalogue and clicks in {made:.0f} s", flush=True)
    tower, losses = train(catalogue, clicks[:-N_STRANGERS], n_steps, SEED)
    items = all_items(tower, catalogue)
    users = all_users(tower, items, clicks[-N_STRANGERS:])
    wanted = (users[:500] * items[clicks[-N_STRANGERS:, -1][:500]]).sum(axis=1)
    others = users[:500] @ items[rng.integers(n_items, size=20_000)].T
    ahead = float(np.median((others > wanted[:, None]).mean(axis=1)))
    about = (
        f"{n_steps:,} steps of 512 clicks, loss {losses[0]:.2f} to {np.mean(losses[-20:]):.2f}; "
        f"the click held back of a stranger ranks in the first {ahead:.2%} of the catalogue (median)"
    )
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "items.npy", items)
        np.save(folder / "users.npy", users)
        (folder / "about.txt").write_text(about, encoding="utf-8")
    return items, users, about


def brute_force(items: Floats, queries: Floats) -> Rows:
    parts = [top_k(queries[i : i + 16] @ items.T, K) for i in range(0, len(queries), 16)]
    return np.concatenate(parts)


def recalls(search: Search, queries: Floats, truth: Rows) -> Doubles:
    hits = [
        len(np.intersect1d(search(query[None, :]), wanted))
        for query, wanted in zip(queries, truth, strict=True)
    ]
    return np.array(hits) / K


def judge(
    name: str, settings: str, search: Search, asked: Asked, truth: Rows, *, n_timed: int,
    build_seconds: float, bytes_per_vector: float,
) -> Line:  # fmt: skip
    """Recall and times on one core."""
    with threadpool_limits(1):
        share = measured(recalls(search, asked.judge, truth), K, np.random.default_rng(SEED))
        wall, cpu = [], []
        for query in asked.timed[:n_timed, None, :]:
            start, busy = time.perf_counter(), time.thread_time()
            search(query)
            cpu.append(time.thread_time() - busy)
            wall.append(time.perf_counter() - start)
    recall = f"{share.mean:.4f} ({share.low:.4f}–{share.high:.4f})"
    line = Line(
        name, settings, recall, np.array(wall) * 1e3, np.array(cpu) * 1e3, build_seconds, bytes_per_vector
    )  # fmt: skip
    print(name, settings, recall, f"p99 {np.quantile(line.ms, 0.99):.2f} ms", flush=True)
    return line


# -- those who compete -----------------------------------------------------------------


def plain(items: Floats, asked: Asked, truth: Rows) -> Line:
    def search(query: Floats) -> Rows:
        scores = items @ query[0]
        best = np.argpartition(scores, -K)[-K:]
        return best[np.argsort(-scores[best])].astype(np.int32)

    return judge(
        "NumPy: product, partition, sort", "exact", search, asked, truth,
        n_timed=N_TIMED_EXACT, build_seconds=0, bytes_per_vector=items[0].nbytes,
    )  # fmt: skip


def ours(items: Floats, asked: Asked, truth: Rows, name: str, **settings: Any) -> Line:
    config = IndexConfig(target_recall=TARGET, recall_k=K, max_rank_change=1e3, **settings)
    # The build tunes on half of these and reports on the other half; none of them is judged with here.
    queries = np.concatenate([asked.tune, asked.spare])
    index = build_index(items, config, version="benchmark", seed=SEED, queries=queries)
    report = index.report
    tuned = report["tuned"]
    shown = (
        "exact"
        if tuned is None
        else f"{tuned['n_probe']} of {tuned['n_lists']} lists, {tuned['n_candidates']} candidates"
    )
    if report["storage"] != "float32":
        moved = report["rank_change"]
        shown += f", ranks move by {moved['mean']:.2f} ({moved['low']:.2f}–{moved['high']:.2f})"
    return judge(
        name, shown, lambda query: index.search(query, K)[0][0], asked, truth,
        n_timed=N_TIMED if tuned is not None else N_TIMED_EXACT,
        build_seconds=report["build_seconds"], bytes_per_vector=report["bytes_per_vector"],
    )  # fmt: skip


def other(
    items: Floats, asked: Asked, truth: Rows, tuning_truth: Rows, *, spelling: str, knob: str,
    values: Sequence[int], prepare: Callable[[Any], None],
) -> Line:  # fmt: skip
    """A FAISS index of another kind, its one knob turned until the target is reached."""
    start = time.perf_counter()
    index = faiss_lib.index_factory(items.shape[1], spelling, faiss.METRIC_INNER_PRODUCT)
    prepare(index)
    index.train(items)
    index.add(items)
    seconds = time.perf_counter() - start
    space = faiss_lib.ParameterSpace()

    def search(query: Floats) -> Rows:
        found: Rows = index.search(query, K)[1][0]
        return found

    reached = False
    for value in values:
        space.set_index_parameter(index, knob, value)
        shares = recalls(search, asked.tune, tuning_truth)
        reached = shares.mean() >= min(TARGET + 2 * shares.std() / np.sqrt(len(shares)), 1)
        if reached:
            break
    n_bytes = faiss_lib.serialize_index(index).nbytes / len(items)
    shown = f"{knob} {value}" + ("" if reached else ", target not reached")
    return judge(
        f"FAISS {spelling}", shown, search, asked, truth,
        n_timed=N_TIMED, build_seconds=seconds, bytes_per_vector=n_bytes,
    )  # fmt: skip


def short_training(index: Any) -> None:
    index.cp.max_points_per_centroid = 48


def quick_graph(index: Any) -> None:
    index.hnsw.efConstruction = 40


def compete(items: Floats, users: Floats) -> list[Line]:
    asked = Asked.of(users)
    truth, tuning_truth = brute_force(items, asked.judge), brute_force(items, asked.tune)
    probes = [16, 32, 64, 91, 128, 181, 256, 362, 512, 1024]
    n_lists = 2 ** round(np.log2(len(items)) / 2)
    return [
        plain(items, asked, truth),
        ours(items, asked, truth, "crossfade exact", kind="exact"),
        ours(items, asked, truth, "**crossfade faiss, float32**", kind="faiss"),
        ours(items, asked, truth, "crossfade faiss, float16", kind="faiss", storage="float16"),
        ours(items, asked, truth, "crossfade faiss, pq (32 bytes)", kind="faiss", storage="pq"),
        *(
            other(
                items, asked, truth, tuning_truth, spelling=f"IVF{n_lists},{codes}", knob="nprobe",
                values=probes, prepare=short_training,
            )
            for codes in ("Flat", "SQ8")
        ),
        other(
            items, asked, truth, tuning_truth, spelling="HNSW24,Flat", knob="efSearch",
            values=[128, 256, 362, 512, 724, 1024], prepare=quick_graph,
        ),
    ]  # fmt: skip


# -- the page --------------------------------------------------------------------------


def table(lines: list[Line]) -> list[str]:
    rows = [
        "| | settings | recall@100 (95 % interval) | p50 ms | p95 ms | p99 ms | p99 ms of CPU | queries timed | "
        "build s | bytes a vector |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for line in lines:
        p50, p95, p99 = np.quantile(line.ms, [0.5, 0.95, 0.99])
        rows.append(
            f"| {line.name} | {line.settings} | {line.recall} | {p50:.2f} | {p95:.2f} | {p99:.2f} | "
            f"{np.quantile(line.cpu_ms, 0.99):.2f} | {len(line.ms):,} | {line.build_seconds:.1f} | "
            f"{line.bytes_per_vector:.0f} |"
        )
    return rows


def page(n_items: int, about: str, large: list[Line], few: int, small: list[Line]) -> str:
    busy = f"load average {os.getloadavg()[1]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    return "\n".join(
        [
            "# Searching item vectors",
            "",
            f"Made by `python -m benchmarks.ann`: {n_items:,} items of a synthetic catalogue, 64-d vectors of "
            f"length 1 from a two-tower network trained on its clicks: {about}. Queries are vectors of people it "
            f"was not trained on, one at a time on one core; {os.cpu_count()} cores for building ({busy}: other "
            f"work ran beside it). Bar: p99 ≤ {BAR_MS:g} ms with recall@100 ≥ {TARGET}.",
            "",
            f"Whatever is approximate was tuned on {N_TUNE} queries to a recall@100 of {TARGET} with two standard "
            f"errors to spare; the recall shown is on {N_JUDGE} others, against exact search in float32. "
            "Milliseconds are of the wall clock, with every interruption by other work; those of CPU leave "
            "interruptions out. Build seconds of crossfade include measuring recall and rank changes; bytes "
            "include all an index needs.",
            "",
            *table(large),
            "",
            f"## Where exact search ends: {few:,} vectors",
            "",
            *table(small),
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Time and recall of searching item vectors.")
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--vectors", type=Path, default=None)
    parser.add_argument("--to", type=Path, default=ROOT / "benchmarks" / "ann.md")
    wanted = parser.parse_args()
    start = time.perf_counter()
    items, users, about = make_vectors(wanted.items, wanted.steps, wanted.vectors)
    large = compete(items, users)
    few = IndexConfig().exact_below
    some = items[np.random.default_rng(SEED).permutation(len(items))[:few]]
    asked = Asked.of(users)
    truth = brute_force(some, asked.judge)
    small = [
        ours(some, asked, truth, "crossfade exact", kind="exact"),
        ours(some, asked, truth, "crossfade faiss, float32", kind="faiss"),
    ]
    text = page(wanted.items, about, large, few, small)
    text += f"\nThe whole run took {(time.perf_counter() - start) / 60:.1f} minutes.\n"
    wanted.to.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
