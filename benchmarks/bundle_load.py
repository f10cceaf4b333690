"""Time and memory of loading a bundle with a million items and a million users.

    python -m benchmarks.bundle_load                 5 rounds each way
    python -m benchmarks.bundle_load --rounds 1

The log is made up (5 million events; ids, titles, creators, genres). Fitting it is another question,
so the fitted arrays are made up too, in the shapes that fits have: popularity, iALS with 64 factors,
item-kNN with 20 neighbours. Each load is `HybridModel.load` in a process of its own, which reports
its seconds and its resident memory. A second bundle has a learned blend in it, whose model was
fitted on a small log of the same kind; what it reads of people and items comes from the large one.
Writes ``benchmarks/bundle_load.md``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl

from crossfade.data import Dataset, Target
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.meta.blending import BlendChoice
from crossfade.meta.learning import LearnedBlend
from crossfade.meta.track import TrackRecord
from crossfade.recommenders.registry import make_all
from crossfade.types import Arrays

NEWEST = pl.CompatLevel.newest()
PAGE = Path(__file__).with_suffix(".md")
N, N_EVENTS, N_SMALL, N_SMALL_EVENTS = 1_000_000, 5_000_000, 300, 9_000
FACTORS, NEIGHBOURS, N_LEARNED = 64, 20, 3
BAR_SECONDS, BAR_MEMORY = 3.0, 1.2
BASES: dict[str, dict[str, Any]] = {"popularity": {}, "ials": {}, "item_knn": {}}
CHOICE = BlendChoice(
    "zscore", {"popularity": 0.2, "ials": 0.5, "item_knn": 0.3}, True, "ials", 0.2, 0.1, "popularity"
)  # fmt: skip


def made_up(n: int, n_events: int, seed: int = 0) -> Dataset:
    """A log of n users and n items, some of them far more frequent than others."""
    rng = np.random.default_rng(seed)

    def names(prefix: str, numbers: Iterable[int]) -> pl.Series:
        column = pl.Series("number", numbers).cast(pl.String).str.zfill(7)
        return pl.select(pl.format(f"{prefix}{{}}", column)).to_series()

    user, item = ((n * rng.random(n_events) ** 2).astype(np.int32) for _ in range(2))
    first, last = 1_600_000_000_000_000, 1_700_000_000_000_000
    events = pl.DataFrame(
        {
            "user_row": user,
            "item_row": item,
            "timestamp": pl.Series(np.sort(rng.integers(first, last, n_events))),
        }
    ).with_columns(pl.col("timestamp").cast(pl.Datetime("us", "UTC")))
    items = pl.DataFrame(
        {
            "item_id": names("item-", range(n)),
            "title": names("The title of ", range(n)),
            "creator": names("creator ", rng.integers(0, max(1, n // 10), n)),
            "genres": pl.Series(rng.integers(0, 30, (n, 2))).arr.to_list().cast(pl.List(pl.String)),
        }
    )
    users = pl.DataFrame({"user_id": names("user-", range(n))})
    return Dataset.from_rows(events, items, users, name="made up", target=Target())


def states(dataset: Dataset, seed: int = 0) -> dict[str, Arrays]:
    """Arrays in the shapes of fitted bases."""
    rng, n = np.random.default_rng(seed), dataset.n_items
    support = np.bincount(dataset.events["item_row"].to_numpy(), minlength=n).astype(np.int64)
    share = (support / support.max()).astype(np.float32)
    neighbours: Arrays = {
        "neighbours.data": rng.random(n * NEIGHBOURS, dtype=np.float32),
        "neighbours.indices": rng.integers(0, n, n * NEIGHBOURS).astype(np.int32),
        "neighbours.indptr": np.arange(0, n * NEIGHBOURS + 1, NEIGHBOURS).astype(np.int32),
        "neighbours.shape": np.array([n, n], dtype=np.int64),
    }
    user, item = (rng.standard_normal((n, FACTORS), dtype=np.float32) for _ in range(2))
    found: dict[str, Arrays] = {
        "popularity": {"share": share},
        "ials": {"user": user, "item": item},
        "item_knn": neighbours,
    }
    return {label: {**arrays, "support": support} for label, arrays in found.items()}


def learned(dataset: Dataset, small: Dataset) -> LearnedBlend:
    """A fusion model fitted on the small log, with room for the people of the large one."""
    config = HybridConfig(bases=BASES, blend={"fusion": "ridge", "min_requests": 5})
    found = HybridModel.fit(small, config).learned
    assert found is not None
    return replace(found, track=TrackRecord.empty(dataset.n_users, len(BASES)))


def make(static: Path, with_blend: Path) -> None:
    """Both bundles."""
    dataset = made_up(N, N_EVENTS)
    config = HybridConfig(bases=BASES)
    arrays = states(dataset)
    bases = {
        label: type(base).restore(base.config.model_dump(), arrays[label])
        for label, base in make_all(config.bases).items()
    }
    fusion = learned(dataset, made_up(N_SMALL, N_SMALL_EVENTS))
    for place, blend in ((static, None), (with_blend, fusion)):
        HybridModel(dataset, config, bases, CHOICE, exclude_seen=True, seed=0, learned=blend).save(
            place
        )


def resident() -> tuple[float, float]:
    """Resident memory of this process now and at its peak, in MB."""
    with Path("/proc/self/status").open() as file:
        told = dict(line.split(":", 1) for line in file)
    now, peak = (int(told[name].split()[0]) / 1e3 for name in ("VmRSS", "VmHWM"))
    return now, peak


def forget(bundle: Path) -> None:
    """Drop the files from the page cache, so that the next load comes from the disk."""
    for file in bundle.rglob("*.*"):
        if file.is_file():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def load(bundle: Path) -> dict[str, float]:
    """One load; for a process of its own."""
    before, _ = resident()
    began, cpu = time.perf_counter(), time.process_time()
    model = HybridModel.load(bundle)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    after, peak = resident()
    arrays = [array for part in model.bundle().arrays.values() for array in part.values()]
    # As Arrow counts: Polars' own estimate forgets the views of short texts.
    tables = [table.to_arrow(compat_level=NEWEST) for table in model.dataset.tables().values()]
    for array in arrays:  # as if everything had been asked for
        array.reshape(-1)[:: max(1, 512 // array.itemsize)].copy()
    return {
        "seconds": seconds,
        "cpu": cpu,
        "resident": after - before,
        "peak": peak - before,
        "touched": resident()[0] - before,
        "arrays": sum(array.nbytes for array in arrays) / 1e6,
        "tables": sum(table.nbytes for table in tables) / 1e6,
    }


def steps(bundle: Path) -> dict[str, float]:
    """Seconds of each part of a load; for a process of its own."""
    from crossfade.files import open_published
    from crossfade.store import load_bundle
    from crossfade.store.bundle import SCHEMA

    clock = [time.perf_counter()]
    open_published(bundle, "bundle", SCHEMA)
    clock.append(time.perf_counter())
    found = load_bundle(bundle)
    clock.append(time.perf_counter())
    Dataset.from_tables(found.frames, "made up", Target())
    clock.append(time.perf_counter())
    check, read, data = np.diff(clock).tolist()
    return {"checksums": check, "tables and maps": read - check, "data set": data}


def measured(what: str, bundle: Path, rounds: int, *, cold: bool = False) -> dict[str, float]:
    """Medians over rounds, each in a process of its own."""
    found = []
    for number in range(rounds):
        if cold:
            forget(bundle)
        command = [sys.executable, "-m", "benchmarks.bundle_load", "--child", what, str(bundle)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found.append(json.loads(done.stdout))
        print(
            f"{what} {bundle.name}{' cold' if cold else ''} {number + 1}: {found[-1]}", flush=True
        )
    return {name: median(one[name] for one in found) for name in found[0]} | {
        "slowest": max(one.get("seconds", 0.0) for one in found)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--to", type=Path, default=PAGE)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        what, bundle = asked.child
        print(json.dumps({"load": load, "steps": steps}[what](Path(bundle))))
        return
    with tempfile.TemporaryDirectory() as name:
        static, blend = Path(name, "static"), Path(name, "learned")
        make(static, blend)
        n_bytes = sum(file.stat().st_size for file in static.rglob("*") if file.is_file())
        rows = {
            "static blend": measured("load", static, asked.rounds),
            "static blend, not in the page cache": measured(
                "load", static, asked.rounds, cold=True
            ),
            "learned blend": measured("load", blend, min(asked.rounds, N_LEARNED)),
        }
        parts = measured("steps", static, asked.rounds)
    asked.to.write_text(page(rows, parts, n_bytes / 1e6, asked.rounds), encoding="utf-8")
    print(asked.to.read_text(encoding="utf-8"))


def page(
    rows: dict[str, dict[str, float]], parts: dict[str, float], bundle_mb: float, rounds: int
) -> str:
    """The page."""
    static = rows["static blend"]
    rest = static["seconds"] - sum(seconds for name, seconds in parts.items() if name != "slowest")
    lines = [
        "# Loading a bundle",
        "",
        f"`python -m benchmarks.bundle_load` on {os.cpu_count()} cores, load average {os.getloadavg()[1]:.1f} over "
        "the last five minutes (1 per busy core). "
        f"{N:,} items, {N:,} users, {N_EVENTS:,} events; popularity, iALS with {FACTORS} factors, item-kNN with "
        f"{NEIGHBOURS} neighbours; {bundle_mb:,.0f} MB on disk, every checksum verified. Each load in a process of "
        f"its own, medians of {rounds} rounds ({min(rounds, N_LEARNED)} for the learned blend).",
        "",
        f"Bars: {BAR_SECONDS:.0f} s, and {BAR_MEMORY} × the bytes of arrays and tables in resident memory.",
        "",
        *(_against_bars(label, rows[label]) for label in ("static blend", "learned blend")),
        "",
        "| bundle | s | slowest | processor s | arrays MB | tables MB | resident MB | peak MB | all looked at MB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for label, row in rows.items():
        figures = [f"{row[name]:.1f}" for name in ("seconds", "slowest", "cpu")]
        figures += [
            f"{row[name]:,.0f}" for name in ("arrays", "tables", "resident", "peak", "touched")
        ]
        lines.append(f"| {label} | {' | '.join(figures)} |")
    told = [f"{name} {parts[name]:.2f} s" for name in parts if name != "slowest"]
    lines += [
        "",
        f"Where the time of the static blend goes: {', '.join(told)}, the rest (bases, labels, known items) "
        f"{max(rest, 0.0):.2f} s. What takes long to compute from the tables is in the bundle beside them. Arrays "
        "are mapped: their bytes count as resident only once they are looked at, and processes that serve the same "
        "version share them. Checksums need every byte once, so a bundle that is not in the page cache costs as "
        "much as the disk takes to read it.",
        "",
    ]
    return "\n".join(lines)


def _against_bars(label: str, row: dict[str, float]) -> str:
    everything = row["arrays"] + row["tables"]
    share, touched = row["resident"] / everything, row["touched"] / everything
    return (
        f"- {label}: {row['seconds']:.1f} s, **{_verdict(row['seconds'], BAR_SECONDS)}**; resident after the load "
        f"{share:.2f} ×, **{_verdict(share, BAR_MEMORY)}**; once every array has been looked at {touched:.2f} ×, "
        f"**{_verdict(touched, BAR_MEMORY)}**"
    )


def _verdict(value: float, bar: float) -> str:
    return "pass" if value <= bar else "fail"


if __name__ == "__main__":
    main()
