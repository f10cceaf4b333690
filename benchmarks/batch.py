"""Time and memory of making the lists of many users over a large catalogue.

    python -m benchmarks.batch                     fits the system first, some minutes
    python -m benchmarks.batch --bundle DIR        takes a fitted one

Top 20 of the made-up log of `serving_log` (100,000 items, 40,000 users; seven bases, a learned blend),
without reasons. Each run is `recommend_all` in a process of its own, on one thread and on two by turns:
first a quarter of the users, then all of them into another directory, which is timed. What the second
adds to the peak of the memory is what grows with the number of users. Writes ``benchmarks/batch.md``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.bundle_load import resident
from benchmarks.serving_log import make_log
from crossfade.batch import recommend_all
from crossfade.hybrid import HybridConfig, HybridModel

PAGE = Path(__file__).with_suffix(".md")
N_ITEMS, N_LOG_USERS, K, BAR = 100_000, 40_000, 20, 1_000
THREADS = (1, 2)
SETTINGS = HybridConfig(
    bases={
        "popularity": {"half_life_days": 90.0},
        "trending": {"model": "popularity", "half_life_days": 7.0},
        "item_knn": {},
        "nmf": {},
        "ials": {},
        "session_knn": {},
        "content_knn": {},
    },
    blend={"n_earlier_blocks": 0, "max_requests": 500},
)


def make(directory: Path) -> None:
    """Fit the system."""
    HybridModel.fit(make_log(N_ITEMS, N_LOG_USERS, 0), SETTINGS).save(directory)


def timed(bundle: Path, n_users: int, folder: Path) -> dict[str, float]:
    """One run; for a process of its own."""
    model = HybridModel.load(bundle)
    users = model.dataset.user_ids.ids[:n_users].to_list()
    chunk = max(1, n_users // 4)
    recommend_all(model, folder / "first", k=K, users=users[:chunk], chunk=chunk)
    _, before = resident()
    began, cpu = time.perf_counter(), time.process_time()
    made = recommend_all(model, folder / "all", k=K, users=users, chunk=chunk)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    assert made.n_made == n_users
    _, after = resident()
    return {
        "rate": n_users / seconds,
        "per_cpu": n_users / cpu,
        "busy": cpu / seconds,
        "peak": after,
        "grown": after - before,
    }


def measured(bundle: Path, n_users: int, n_threads: int) -> dict[str, float]:
    """The same in that process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.batch", "--bundle", str(bundle)]
        command += ["--users", str(n_users), "--child", folder]
        environment = {**os.environ, "OMP_NUM_THREADS": str(n_threads)}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, float] = json.loads(done.stdout)
    print(f"{n_threads} threads: {found}", flush=True)
    return found


def page(rows: dict[int, list[dict[str, float]]], n_users: int, told: str) -> str:
    """The page."""
    two = median(one["rate"] for one in rows[2])
    verdict = "pass" if two >= BAR else "fail"
    lines = [
        "# Lists of all users",
        "",
        f"`python -m benchmarks.batch` on {os.cpu_count()} cores, load average {os.getloadavg()[1]:.1f} over the "
        f"last five minutes (1 per busy core, this benchmark among them). {told}; top {K} for {n_users:,} users "
        f"without reasons, medians of {len(rows[1])} rounds.",
        "",
        f"- users/s on two threads: {two:,.0f}, bar {BAR:,}: **{verdict}**",
        f"- peak memory that three times as many users add on two threads: "
        f"{median(one['grown'] for one in rows[2]):,.0f} MB",
        "",
        "| threads | users/s | best round | users per processor second | processors got | peak MB | added MB |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for n_threads, found in rows.items():
        of = {name: median(one[name] for one in found) for name in found[0]}
        best = max(one["rate"] for one in found)
        lines.append(
            f"| {n_threads} | {of['rate']:,.0f} | {best:,.0f} | {of['per_cpu']:,.0f} | {of['busy']:.2f} | "
            f"{of['peak']:,.0f} | {of['grown']:,.0f} |"
        )
    lines += [
        "",
        "Users per processor second do not depend on what else the machine does, but for caches and memory that "
        "are shared; users/s do: *processors got* says how many of them the run really had.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bundle", type=Path, help="A fitted system; otherwise one is fitted.")
    parser.add_argument("--users", type=int, default=2_048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--to", type=Path, default=PAGE)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(timed(asked.bundle, asked.users, asked.child)))
        return
    with tempfile.TemporaryDirectory() as name:
        bundle = asked.bundle or Path(name, "bundle")
        if asked.bundle is None:
            make(bundle)
        rows: dict[int, list[dict[str, float]]] = {n_threads: [] for n_threads in THREADS}
        for _ in range(asked.rounds):
            for n_threads, found in rows.items():
                found.append(measured(bundle, asked.users, n_threads))
        model = HybridModel.load(bundle)
    data = model.dataset
    told = (
        f"{data.n_items:,} items, a log of {data.n_users:,} users and {data.n_events:,} events; "
        f"{len(model.bases)} bases, blend {model.blend.name}"
    )
    asked.to.write_text(page(rows, asked.users, told), encoding="utf-8")
    print(asked.to.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
