"""A load generator for a service on this machine: kept connections, times from when a request was due."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]


@dataclass
class Load:
    """What became of some requests.

    Attributes:
        ms: From the moment a request was due to its answer; waiting for a free connection counts.
        failed: Answers of another status than 200 or 201, and connections that broke.
        seconds: From the first to the last.
    """

    ms: list[float] = field(default_factory=list)
    failed: int = 0
    seconds: float = 0.0

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return len(self.ms) / self.seconds


class Connection:
    """One kept connection."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: Body) -> int:
        """The status of the answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
        writer.write(head.encode() + f"Content-Length: {len(content)}\r\n\r\n".encode() + content)
        raw = await reader.readuntil(b"\r\n\r\n")
        size = int(raw.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(size)
        return int(raw.split(b" ", 2)[1])

    def close(self) -> None:
        """Let go of it."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _one(
    load: Load, free: asyncio.Queue[Connection], due: float, path: str, body: Body
) -> None:
    connection = await free.get()
    try:
        status = await connection.post(path, body)
        load.failed += status not in {200, 201}
        load.ms.append(1000 * (time.perf_counter() - due))
    except (OSError, asyncio.IncompleteReadError, IndexError):
        load.failed += 1
        connection.close()
    finally:
        free.put_nowait(connection)


def _connections(port: int, n: int) -> asyncio.Queue[Connection]:
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(n):
        free.put_nowait(Connection("127.0.0.1", port))
    return free


async def at_rate(
    port: int, path: str, make: Callable[[], Body], per_s: float, *, seconds: float, seed: int
) -> Load:
    """Requests at random moments, so many a second, whether the answers keep up or not."""
    load, free, rng = Load(), _connections(port, 200), random.Random(seed)  # noqa: S311  (moments, not secrets)
    began = due = time.perf_counter()
    tasks = []
    while due < began + seconds:
        due += rng.expovariate(per_s)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(_one(load, free, due, path, make())))
    await asyncio.gather(*tasks)
    load.seconds = time.perf_counter() - began
    while not free.empty():
        free.get_nowait().close()
    return load


async def one_after_another(
    port: int, path: str, make: Callable[[], Body], n_connections: int, seconds: float
) -> Load:
    """Each connection asks again as soon as it is answered."""
    load, free = Load(), _connections(port, n_connections)
    began = time.perf_counter()

    async def go() -> None:
        while time.perf_counter() < began + seconds:
            await _one(load, free, time.perf_counter(), path, make())

    await asyncio.gather(*(go() for _ in range(n_connections)))
    load.seconds = time.perf_counter() - began
    while not free.empty():
        free.get_nowait().close()
    return load


def quantiles(values: Sequence[float]) -> tuple[float, float]:
    """Median and 99th percentile."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
