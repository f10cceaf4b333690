"""A service in a process of its own, and requests to it by hand over a socket."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAM = "import sys; sys.modules.update(dict.fromkeys({absent!r})); from crossfade.cli import main; main()"
SETTINGS = {"KEYS": "false", "RATE_PER_S": "1e6", "BURST": "1000000", "WORKERS": "0"}

Reply = tuple[int, bytes, bytes]
"""Status, head and body; status 0 where the connection was closed instead."""


@dataclass(frozen=True)
class Server:
    """A running service.

    Attributes:
        port: On the loopback address.
        process: It.
        log: What it writes to standard error.
    """

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def connect(self) -> socket.socket:
        """A connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def ask(self, line: str, body: bytes = b"", *headers: str) -> Reply:
        """The answer to one request on a connection of its own."""
        with suppress(ConnectionError), closing(self.connect()) as sock:
            return asked(sock, line, body, *headers)
        return 0, b"", b""

    def waited_for(self, line: str, status: int = 200) -> bool:
        """Whether a place comes to answer so within a minute."""
        for _ in range(600):
            if self.process.poll() is not None:
                return False
            if self.ask(line)[0] == status:
                return True
            time.sleep(0.1)
        return False

    def resident_mib(self) -> float:
        """Memory it takes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def served(
    arguments: Sequence[str], folder: Path, *absent: str, **settings: object
) -> Iterator[Server]:
    """``crossfade serve`` with these arguments, on settings as keywords, where some modules are ``absent``."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {**SETTINGS, "DATABASE": f"sqlite:///{folder / 'log.db'}"}
    given |= {name.upper(): str(value) for name, value in settings.items()}
    command = [sys.executable, "-c", PROGRAM.format(absent=list(absent)), "serve", *arguments]
    env = {**os.environ, **{f"CROSSFADE_{name}": value for name, value in given.items()}}
    with (folder / "stderr").open("ab") as log:
        process = subprocess.Popen([*command, "--port", str(port)], stderr=log, env=env)
    server = Server(port, process, folder / "stderr")
    try:
        if not server.waited_for("GET /readyz"):
            pytest.fail(server.log.read_text())
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def request(line: str, body: bytes = b"", *headers: str) -> bytes:
    """A request as it goes over the wire."""
    head = [f"{line} HTTP/1.1", "Host: x", "Content-Type: application/json", *headers]
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body


def asked(sock: socket.socket, line: str, body: bytes = b"", *headers: str) -> Reply:
    """The answer to one request."""
    sock.sendall(request(line, body, *headers))
    return reply(sock)


def reply(sock: socket.socket) -> Reply:
    """The next answer."""
    return next(replies(sock), (0, b"", b""))


def replies(sock: socket.socket) -> Iterator[Reply]:
    """Every answer that comes, until the other side closes."""
    raw = b""
    with suppress(ConnectionError):
        while True:
            while b"\r\n\r\n" not in raw:
                piece = sock.recv(65_536)
                if not piece:
                    return
                raw += piece
            head, _, raw = raw.partition(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            while len(raw) < size:
                piece = sock.recv(65_536)
                if not piece:
                    return
                raw += piece
            yield int(head.split(b" ", 2)[1]), head, raw[:size]
            raw = raw[size:]


@contextmanager
def many_files() -> Iterator[None]:
    """Room for 10,000 connections of this process; skips where that is not to be had."""
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < 10_500:
        pytest.skip("needs 10,500 open files: raise the hard limit (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))
