"""What the service holds out on one machine: lists and events at once, events alone, a version that changes.

    python -m benchmarks.service [--bundle DIR] [--seconds 60] [--rounds 5]

Fits the system of `benchmarks.serving` (100,000 items), or takes one saved by it, starts ``crossfade
serve`` over a registry with it and a copy of it, in a process of its own, and asks over the loopback
address from this one; both share the machine's cores. Times count from the moment a request was due.
Writes ``benchmarks/service.md``.
"""

import argparse
import asyncio
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from benchmarks.service_load import Body, Load, at_rate, one_after_another, quantiles
from benchmarks.serving import fit
from crossfade.hybrid import HybridModel
from crossfade.store import Registry

PAGE = Path(__file__).with_suffix(".md")
CROSSFADE = str(Path(sys.executable).with_name("crossfade"))
N_ITEMS, N_LOG_USERS, N_USERS, K = 100_000, 40_000, 10_000, 10
LISTS_PER_S, EVENTS_PER_S = 150, 50
P99_BAR_MS, SINGLE_BAR, BATCH_BAR, RELOAD_BAR = 60.0, 300, 2_000, 3.0


@contextmanager
def running(registry: Path, folder: Path) -> Iterator[tuple[int, int]]:
    """A service in a process of its own: its port and its process id."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [CROSSFADE, "serve", "--registry", str(registry), "--no-keys"]
    command += ["--port", str(port), "--database", f"sqlite:///{folder / 'log.db'}"]
    settings = {**os.environ, "CROSSFADE_RATE_PER_S": "1e6", "CROSSFADE_BURST": "1000000"}
    with (folder / "service.log").open("w") as log:
        process = subprocess.Popen(command, stderr=log, env=settings)
        try:
            for _ in range(1_200):
                try:
                    urlopen(f"http://127.0.0.1:{port}/readyz").read()
                    break
                except URLError:
                    time.sleep(0.1)
            yield port, process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def resident_mb(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def together(
    port: int, asks: Callable[[], Body], event: Callable[[], Body], seconds: float, round_: int = 0
) -> tuple[Load, Load]:
    """Lists and events at their rates, at other moments in each round."""
    lists = at_rate(
        port, "/v1/recommendations", asks, LISTS_PER_S, seconds=seconds, seed=2 * round_ + 1
    )
    events = at_rate(port, "/v1/events", event, EVENTS_PER_S, seconds=seconds, seed=2 * round_ + 2)
    return await asyncio.gather(lists, events)


async def reloaded(
    port: int,
    *,
    asks: Callable[[], Body],
    event: Callable[[], Body],
    registry: Path,
    version: str,
    seconds: float,
) -> tuple[Load, Load]:
    """The same while another version is promoted from outside."""

    async def promote() -> None:
        await asyncio.sleep(seconds / 4)
        command = ["registry", "promote", version, "--registry", str(registry)]
        process = await asyncio.create_subprocess_exec(CROSSFADE, *command)
        assert await process.wait() == 0

    loads, _ = await asyncio.gather(together(port, asks, event, seconds), promote())
    return loads


def main() -> None:
    parser = argparse.ArgumentParser(description="What the service holds out.")
    parser.add_argument("--bundle", type=Path, help="Saved by `benchmarks.serving`; else made.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument(
        "--rounds", type=int, default=5, help="The first bar is judged by the median of these."
    )
    parser.add_argument("--to", type=Path, default=PAGE)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if asked.bundle is None:
            fit(N_ITEMS, N_LOG_USERS, Path(name) / "bundle")
        model = HybridModel.load(asked.bundle or Path(name) / "bundle")
    users = model.dataset.user_ids.ids[:N_USERS].to_list()
    items = model.dataset.item_ids.ids.to_list()
    rng = random.Random(0)  # noqa: S311  (who asks, not who may)

    def asks() -> Body:
        return {"user_id": rng.choice(users), "k": K}

    def event() -> Body:
        return {"user_id": rng.choice(users), "item_id": rng.choice(items)}

    def batch() -> Body:
        return {"events": [event() for _ in range(100)]}

    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        registry = folder / "registry"
        first = _added(registry, model)
        model.seed += 1  # a version of its own with the same lists
        second = _added(registry, model)
        assert first != second
        _promote(registry, first)
        with running(registry, folder) as (port, pid):
            asyncio.run(together(port, asks, event, 5))  # warm
            before = resident_mb(pid)
            rounds = [
                asyncio.run(together(port, asks, event, asked.seconds, round_))
                for round_ in range(asked.rounds)
            ]
            after = resident_mb(pid)
            single = asyncio.run(one_after_another(port, "/v1/events", event, 32, 15))
            many = asyncio.run(one_after_another(port, "/v1/events/batch", batch, 8, 15))
            swapped, _ = asyncio.run(
                reloaded(
                    port, asks=asks, event=event, registry=registry, version=second, seconds=30
                )
            )
    asked.to.write_text(
        _page(
            model,
            load,
            asked.seconds,
            rounds=rounds,
            single=single,
            many=many,
            swapped=swapped,
            memory=(before, after),
        )
    )
    print(asked.to.read_text())


def _added(registry: Path, model: HybridModel) -> str:
    return Registry(registry).add(model.save, datetime.now(UTC))


def _promote(registry: Path, version: str) -> None:
    Registry(registry).promote(version, datetime.now(UTC))


def _page(
    model: HybridModel,
    load: float,
    seconds: float,
    *,
    rounds: Sequence[tuple[Load, Load]],
    single: Load,
    many: Load,
    swapped: Load,
    memory: tuple[float, float],
) -> str:
    each = [quantiles(lists.ms)[1] for lists, _ in rounds]
    p99 = statistics.median(each)
    failed = sum(lists.failed + events.failed for lists, events in rounds)
    reload_p99 = quantiles(swapped.ms)[1]
    bars = (
        (
            f"{LISTS_PER_S} lists/s and {EVENTS_PER_S} events/s, {seconds:.0f} s, p99 of lists ≤ {P99_BAR_MS:g} ms",
            f"{p99:.1f} ms (median of {len(each)} rounds: {', '.join(f'{one:.1f}' for one in each)}), "
            f"{failed} failed",
            p99 <= P99_BAR_MS and not failed,
        ),
        (
            f"single events ≥ {SINGLE_BAR}/s, durable",
            f"{single.per_s:,.0f}/s",
            single.per_s >= SINGLE_BAR,
        ),
        (
            f"events in batches of 100 ≥ {BATCH_BAR:,}/s, durable",
            f"{100 * many.per_s:,.0f}/s",
            100 * many.per_s >= BATCH_BAR,
        ),
        (
            f"another version under the same load: none fails, p99 ≤ {RELOAD_BAR:g} × as usual",
            f"{swapped.failed} failed, {reload_p99:.1f} ms, {reload_p99 / p99:.1f} ×",
            not swapped.failed and reload_p99 <= RELOAD_BAR * p99,
        ),
    )
    told = {
        f"{name}, round {number}": load
        for number, pair in enumerate(rounds, 1)
        for name, load in zip(
            ("lists, while events come in", "events, while lists are made"), pair, strict=True
        )
    }
    rows = {
        **told,
        "single events, 32 connections": single,
        "batches of 100 events, 8 connections": many,
        "lists, while another version is loaded": swapped,
    }
    data = model.dataset
    lines = [
        "# What the service holds out",
        "",
        f"`python -m benchmarks.service` on {os.cpu_count()} cores that the service and the load share, load "
        f"average {load:.1f} at the start: {data.n_items:,} items, lists of {K} for {N_USERS:,} users, "
        f"{len(model.bases)} bases, `{model.blend.name}`, without reasons. Requests come at random moments; "
        f"times count from when they were due. SQLite, every event on the disk before it is acknowledged. "
        f"Resident memory {memory[0]:,.0f} MB before and {memory[1]:,.0f} MB after.",
        "",
        "| bar | measured | reached |",
        "| --- | --- | --- |",
        *(
            f"| {bar} | {found} | {'yes' if reached else '**no**'} |"
            for bar, found, reached in bars
        ),
        "",
        "| requests | n | failed | per second | p50 | p99 |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, one in rows.items():
        middle, high = quantiles(one.ms)
        lines.append(
            f"| {name} | {len(one.ms):,} | {one.failed} | {one.per_s:,.1f} | {middle:.1f} ms | {high:.1f} ms |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
