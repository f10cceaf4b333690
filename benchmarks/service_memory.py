"""What a running service keeps of people: resident memory after hours of traffic.

    python -m benchmarks.service_memory [--hours 3]

Each hour 10,000 users send 180,000 events, at random moments, and ask for one list each. They are the same
users every hour, so what grows from one hour to the next is what is kept of their events, or a leak. An hour is
sent as fast as the service takes it. Writes ``benchmarks/service_memory.md``.
"""

import argparse
import asyncio
import os
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.service import running
from benchmarks.service_load import Body, Connection
from crossfade.data.world import WorldConfig, make_world
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.store import Registry

PAGE = Path(__file__).with_suffix(".md")
N_USERS, N_EVENTS, BATCH, PARTS = 10_000, 180_000, 500, 10
BAR_KIB = 8.0


@dataclass(frozen=True)
class Hour:
    """What there was after an hour.

    Attributes:
        mib: Resident memory of all processes of the service.
        kib_per_user: How much more than before the first hour, of each active user.
    """

    mib: float
    kib_per_user: float


def hours(registry: Path, items: Sequence[str], n: int, folder: Path) -> list[Hour]:
    """Hours of traffic to a service over what a registry promotes."""
    rng = random.Random(0)  # noqa: S311  (who does what, not who may)
    with running(registry, folder) as (port, pid):
        asyncio.run(_hour(port, "warm", items, rng, n_users=1_000, n_events=18_000))
        before, seen = resident_mib(pid), list[Hour]()
        for _ in range(n):
            asyncio.run(_hour(port, "user", items, rng, n_users=N_USERS, n_events=N_EVENTS))
            mib = resident_mib(pid)
            seen.append(Hour(mib, (mib - before) * 1024 / N_USERS))
    return seen


async def _hour(
    port: int, name: str, items: Sequence[str], rng: random.Random, *, n_users: int, n_events: int
) -> None:
    users = [f"{name}{number}" for number in range(n_users)]
    rng.shuffle(users)
    for part in range(PARTS):
        batches = [
            {"events": [_event(rng, users, items) for _ in range(BATCH)]}
            for _ in range(n_events // PARTS // BATCH)
        ]
        await _all(port, "/v1/events/batch", batches, 4)
        await _all(
            port, "/v1/recommendations", [{"user_id": user} for user in users[part::PARTS]], 16
        )


def _event(rng: random.Random, users: Sequence[str], items: Sequence[str]) -> Body:
    played_ms = rng.randrange(300_000)
    return {"user_id": rng.choice(users), "item_id": rng.choice(items), "played_ms": played_ms}


async def _all(port: int, path: str, bodies: list[Body], n_connections: int) -> None:
    async def go() -> None:
        connection = Connection("127.0.0.1", port)
        while bodies:
            status = await connection.post(path, bodies.pop())
            assert status in {200, 201}, status
        connection.close()

    await asyncio.gather(*(go() for _ in range(n_connections)))


def resident_mib(pid: int) -> float:
    """Resident memory of a process and of those it started."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    started = [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    own = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return own + sum(resident_mib(child) for child in started)


def section(seen: Sequence[Hour]) -> list[str]:
    """Lines of Markdown for a page."""
    last = seen[-1]
    verdict = "yes" if last.kib_per_user <= BAR_KIB else "**no**"
    return [
        f"{N_EVENTS:,} events of {N_USERS:,} users an hour, who ask once each; resident memory of all processes, "
        "and how much more it is than before the first hour for each of these users "
        f"(bar: {BAR_KIB:g} KiB, reached: {verdict}).",
        "",
        "| hour | MiB | KiB per active user |",
        "| ---: | ---: | ---: |",
        *(f"| {n} | {hour.mib:,.1f} | {hour.kib_per_user:.2f} |" for n, hour in enumerate(seen, 1)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="What a running service keeps of people.")
    parser.add_argument("--hours", type=int, default=3)
    parser.add_argument("--to", type=Path, default=PAGE)
    asked = parser.parse_args()
    world = make_world(WorldConfig(n_listeners=80, n_tracks=300, n_plays=8_000), seed=3).dataset
    model = HybridModel.fit(world, HybridConfig.model_validate({"bases": {"popularity": {}}}))
    with tempfile.TemporaryDirectory() as name:
        registry = Path(name) / "registry"
        version = Registry(registry).add(model.save, datetime.now(UTC))
        Registry(registry).promote(version, datetime.now(UTC))
        seen = hours(registry, world.item_ids.ids.to_list(), asked.hours, Path(name))
    lines = ["# What the service keeps of people", "", "`python -m benchmarks.service_memory`.", ""]
    asked.to.write_text("\n".join([*lines, *section(seen), ""]))
    print(asked.to.read_text())


if __name__ == "__main__":
    main()
