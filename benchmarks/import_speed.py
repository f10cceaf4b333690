"""Time and peak memory of importing one large CSV file.

    python -m benchmarks.import_speed             10 million rows
    python -m benchmarks.import_speed --rows 20   20 million rows
    python -m benchmarks.import_speed --quoted    all ids and times in quotes

The file is generated (100,000 users, 200,000 items, ids of ten or so characters, ISO
times with a zone, ratings) and imported by the command line in a process of its own,
whose peak resident memory the system reports. Bars: 10 million rows in 60 s and 2 GB.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

CHUNK_ROWS = 1_000_000
N_USERS, N_ITEMS = 100_000, 200_000
FIRST_S, LAST_S = 1_400_000_000, 1_600_000_000
BAR_SECONDS, BAR_MB = 60.0, 2_000.0


def write_log(path: Path, n_rows: int, *, quoted: bool = False, seed: int = 0) -> None:
    """A log of ``n_rows`` events as CSV, written piece by piece."""
    rng = np.random.default_rng(seed)
    with path.open("wb") as file:
        for start in range(0, n_rows, CHUNK_ROWS):
            n = min(CHUNK_ROWS, n_rows - start)
            # Squared uniforms make some users and items far more frequent than others.
            users = (N_USERS * rng.random(n) ** 2).astype(np.int64)
            items = (N_ITEMS * rng.random(n) ** 2).astype(np.int64)
            times = pl.Series(rng.integers(FIRST_S, LAST_S, n))
            frame = pl.DataFrame(
                {
                    "user": users,
                    "item": items,
                    "rated_at": times,
                    "rating": rng.integers(1, 6, n),
                }
            ).select(
                pl.format("user_{}", "user").alias("user"),
                pl.format("track:{}", "item").alias("item"),
                pl.from_epoch("rated_at").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "rating",
            )
            style: Literal["non_numeric", "necessary"] = "non_numeric" if quoted else "necessary"
            frame.write_csv(file, include_header=start == 0, quote_style=style)


def measure(n_rows: int, folder: Path, *, quoted: bool) -> tuple[float, float, float, float]:
    """Size of the file in MB; seconds, processor seconds and peak MB of its import."""
    log = folder / "log.csv"
    write_log(log, n_rows, quoted=quoted)
    command = [sys.executable, "-c", "from crossfade.cli import main; main()", "import"]
    command += ["--events", str(log), "--to", str(folder / "data")]
    command += ["--map", "events.user_id=user", "--map", "events.item_id=item"]
    command += ["--map", "events.timestamp=rated_at", "--map", "events.value=rating"]
    # Some generated events coincide; they shall not stop the clock.
    command += ["--on-error", "skip"]
    began = time.perf_counter()
    subprocess.run(command, check=True)
    seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (
        log.stat().st_size / 1e6,
        seconds,
        used.ru_utime + used.ru_stime,
        used.ru_maxrss / 1e3,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=float, default=10.0, help="millions of rows")
    parser.add_argument("--quoted", action="store_true", help="put texts in quotes")
    arguments = parser.parse_args()
    n_rows = round(arguments.rows * 1e6)
    with tempfile.TemporaryDirectory() as folder:
        size_mb, seconds, cpu_seconds, peak_mb = measure(
            n_rows, Path(folder), quoted=arguments.quoted
        )
    print(
        f"{n_rows:,} rows, {size_mb:,.0f} MB of CSV: {seconds:.1f} s "
        f"({n_rows / seconds:,.0f} rows/s), {cpu_seconds:.0f} processor seconds, peak {peak_mb:,.0f} MB"
    )
    if n_rows == 10_000_000:
        print(f"bars: {BAR_SECONDS:.0f} s, {BAR_MB:,.0f} MB")


if __name__ == "__main__":
    main()
