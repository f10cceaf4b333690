"""How fast the 18 session features of a log are, and how much memory they take.

    python -m benchmarks.session_features

Each size runs in a process of its own, so that one run's memory does not hide another's.
The log is made and saved first, in yet another process; what is measured is `fit_reference`
on the first 60 % of it and `session_features` as of its end. Times are the
best of three, for other work on the machine only ever makes them longer.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from crossfade.data import load_dataset, save_dataset
from crossfade.data.world import WorldConfig, make_world
from crossfade.features import fit_reference, session_features

SIZES = (1_000_000, 3_000_000, 10_000_000)
REPEATS = 3
TABLE = Path(__file__).with_suffix(".md")


def make(n_plays: int, directory: Path) -> None:
    save_dataset(make_world(WorldConfig.of_size(n_plays)).dataset, directory)


def measure(directory: Path) -> dict[str, float]:
    dataset = load_dataset(directory)
    times = dataset.events["timestamp"]
    end = times[-1] + timedelta(seconds=1)
    base = dataset.before(times[dataset.n_events * 6 // 10])
    loaded_mb = peak_mb()
    runs = []
    for _ in range(REPEATS):
        start, cpu = time.perf_counter(), time.process_time()
        reference = fit_reference(base)
        fitted, cpu_fitted = time.perf_counter(), time.process_time()
        frame = session_features(dataset, end, reference)
        runs.append(
            {
                "fit_s": fitted - start,
                "features_s": time.perf_counter() - fitted,
                "fit_cpu_s": cpu_fitted - cpu,
                "features_cpu_s": time.process_time() - cpu_fitted,
            }
        )
    return {
        **{name: min(run[name] for run in runs) for name in runs[0]},
        "n_events": dataset.n_events,
        "n_users": frame.height,
        "loaded_mb": loaded_mb,
        "peak_mb": peak_mb(),
    }


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_fresh_process(step: str, n_plays: int, directory: Path) -> str:
    command = [
        sys.executable,
        "-m",
        "benchmarks.session_features",
        step,
        str(n_plays),
        str(directory),
    ]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def table(rows: list[dict[str, float]]) -> str:
    first = rows[0]["features_cpu_s"] / rows[0]["n_events"]
    columns = (
        "events", "users", "fit reference (s)", "features (s)", "features (CPU s)",
        "CPU µs per event", "growth", "loaded (MB)", "peak (MB)",
    )  # fmt: skip
    lines = [
        "# Session features: time and memory",
        "",
        f"`python -m benchmarks.session_features` on {os.cpu_count()} cores. Bar: 10 million events within "
        "30 s and 4 GB, time per event at most 20 % above that of 1 million.",
        "",
        f"Each figure is the best of {REPEATS} runs in one process. Growth compares CPU time per event, which "
        "other work on the machine stretches less than the clock. Peak memory is of the whole process, the log "
        "itself included; the column before it is the peak after loading alone.",
        "",
        f"| {' | '.join(columns)} |",
        f"|{' ---: |' * len(columns)}",
    ]
    for row in rows:
        cost = row["features_cpu_s"] / row["n_events"]
        cells = (
            f"{row['n_events']:,}", f"{row['n_users']:,}", f"{row['fit_s']:.2f}", f"{row['features_s']:.2f}",
            f"{row['features_cpu_s']:.2f}", f"{cost * 1e6:.2f}", f"{cost / first:.2f}",
            f"{row['loaded_mb']:,.0f}", f"{row['peak_mb']:,.0f}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def main() -> None:
    if len(sys.argv) > 1:
        step, n_plays, directory = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
        if step == "make":
            make(n_plays, directory)
        else:
            print(json.dumps(measure(directory)))
        return
    rows = []
    for n_plays in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            directory = Path(folder) / "world"
            in_fresh_process("make", n_plays, directory)
            rows.append(json.loads(in_fresh_process("measure", n_plays, directory)))
    TABLE.write_text(table(rows), encoding="utf-8")
    print(TABLE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
