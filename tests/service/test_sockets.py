"""What only a socket can do to a service: send or read slowly, without end, in crowds, or two requests as one."""

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from tests.service.serving import Server, asked, many_files, replies, reply, request, served

MOST, PATIENCE_S = 40, 0.5
N_BIG = 250
"""Answers of 40 KB, more than a machine holds for a connection."""
POST = "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module", params=["httptools", pytest.param("h11", marks=pytest.mark.slow)])
def server(
    bundle: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Server]:
    absent = () if request.param == "httptools" else ("httptools", "uvloop")
    folder = tmp_path_factory.mktemp("serving")
    limits = {"max_connections": MOST, "body_timeout_s": PATIENCE_S}
    with served(["--bundle", str(bundle)], folder, *absent, **limits) as running:
        yield running


@pytest.fixture(autouse=True)
def goes_on(server: Server) -> Iterator[None]:
    """Whatever was done to it, it answers afterwards, and its log is one JSON object a line."""
    yield
    assert server.waited_for("GET /readyz")
    assert server.ask("POST /v1/recommendations", b"{}")[0] == 200
    for line in server.log.read_text().split("\n")[:-1]:  # the last one is being written
        assert json.loads(line)["message"]


# -- slowly --------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [b"X-A: b\r\n", b"X", b"\r\n"])
def test_who_sends_a_head_slowly_is_cut_off(server: Server, line: bytes) -> None:
    with closing(server.connect()) as sock:
        if line != b"\r\n":
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        with pytest.raises(ConnectionError):
            trickle(sock, line)


def trickle(sock: socket.socket, line: bytes) -> None:
    """Something always comes in."""
    for _ in range(100):
        sock.sendall(line)
        time.sleep(PATIENCE_S / 10)


def test_also_of_the_second_request_of_a_connection(server: Server) -> None:
    with closing(server.connect()) as sock:
        assert asked(sock, "GET /healthz")[0] == 200
        sock.sendall(b"GET /healthz HTTP/1.1\r\n")
        assert reply(sock)[0] == 0


def test_who_says_nothing_is_cut_off(server: Server) -> None:
    with closing(server.connect()) as sock:
        assert reply(sock)[0] == 0


def test_between_two_requests_a_connection_may_be_silent_for_longer(server: Server) -> None:
    with closing(slow_reader(server)) as sock:
        sock.sendall(request("GET /openapi.json") * N_BIG)
        for _, told in zip(range(N_BIG), replies(sock), strict=False):
            assert told[0] == 200
            time.sleep(2 * PATIENCE_S / N_BIG)  # all of them take longer, each much less
        time.sleep(3 * PATIENCE_S)
        assert asked(sock, "POST /v1/recommendations", b"{}")[0] == 200


def slow_reader(server: Server) -> socket.socket:
    """A connection whose side of it holds little."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    sock.settimeout(30)
    sock.connect(("127.0.0.1", server.port))
    return sock


def test_a_slow_body_is_told_that_it_is(server: Server) -> None:
    with closing(server.connect()) as sock:
        sock.sendall(f"{POST}Content-Length: 1000\r\n\r\n{{".encode())
        sock.settimeout(PATIENCE_S / 10)
        for _ in range(100):
            sock.sendall(b" ")  # something always comes in
            with suppress(TimeoutError):
                if sock.recv(1, socket.MSG_PEEK):
                    break
        status, _, body = reply(sock)
    assert status == 408
    assert json.loads(body)["error"]["code"] == "too_slow"


def test_who_takes_no_answer_in_is_cut_off(server: Server) -> None:
    before = server.resident_mib()
    with closing(slow_reader(server)) as sock:
        sock.settimeout(PATIENCE_S)
        with suppress(TimeoutError, ConnectionError):
            sock.sendall(request("GET /openapi.json") * N_BIG)
        time.sleep(4 * PATIENCE_S)
        sock.settimeout(30)
        assert len(list(replies(sock))) < N_BIG
    assert server.resident_mib() < before + 20


# -- without end ---------------------------------------------------------------------------


def test_requests_sent_ahead_are_answered_in_order(server: Server) -> None:
    n_asked, pad = 200, f"X-Pad: {'x' * 1_000}"
    sent = b"".join(
        request("GET /healthz", b"", f"X-Request-ID: r{n}", pad)
        if n % 2
        else request("POST /v1/recommendations", b'{"k":1}', f"X-Request-ID: r{n}", pad)
        for n in range(n_asked)
    )
    with closing(server.connect()) as sock:
        for at in range(0, len(sent), 997):  # no piece ends where a request does
            sock.sendall(sent[at : at + 997])
        told = replies(sock)
        for n in range(n_asked):
            status, head, _ = next(told)
            assert status == 200
            assert f"x-request-id: r{n}\r\n".encode() in head + b"\r\n"


@pytest.mark.parametrize("first", [b"", request("GET /healthz"), request("GET /healthz") * 50])
def test_a_head_without_end_takes_no_memory(server: Server, first: bytes) -> None:
    before = server.resident_mib()
    for line in (b"X-A: " + b"b" * 65_536 + b"\r\n", b"b" * 65_536):
        with closing(server.connect()) as sock, suppress(ConnectionError):
            sock.sendall(first + b"GET /healthz HTTP/1.1\r\nX-A: ")
            for _ in range(1_000):
                sock.sendall(line)
    assert server.resident_mib() < before + 20


def test_fifty_megabytes_are_refused_and_not_kept(server: Server) -> None:
    before = server.resident_mib()
    piece = b"x" * 2**20
    with closing(server.connect()) as sock:
        sock.sendall(f"{POST}Content-Length: {50 * 2**20}\r\n\r\n".encode())
        assert reply(sock)[0] == 413  # before any of it came
        for _ in range(50):
            sock.sendall(piece)
        assert asked(sock, "GET /healthz")[0] == 200  # the body is over, and its connection good
    with closing(server.connect()) as sock:
        sock.sendall(f"{POST}Transfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(50):
            sock.sendall(b"100000\r\n" + piece + b"\r\n")
        sock.sendall(b"0\r\n\r\n")
        assert reply(sock)[0] == 413
    raw = told_to(server, f"{POST}\r\n".encode() + 50 * piece)  # of no length: another request
    assert set(re.findall(rb"HTTP/1.1 (\d+) ", raw)) <= {b"400", b"422"}
    assert server.resident_mib() < before + 30


# -- as two --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 4", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 4"),
        ("Content-Length: 4", "Content-Length: 40"),
        ("Content-Length: -4",),
        ("Content-Length: 4, 40",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding : chunked",),
        ("Transfer-Encoding: xchunked",),
    ],
)
def test_a_request_whose_length_is_open_to_two_readings_is_not_answered_as_two(
    server: Server, lines: tuple[str, ...]
) -> None:
    inner = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
    head = "\r\n".join(["POST /v1/events HTTP/1.1", "Host: x", *lines, "", ""])
    for over in (
        True,
        False,
    ):  # a connection whose caller has gone may be cut before the second answer
        raw = told_to(server, head.encode() + b"0\r\n\r\n" + inner, over=over)
        assert raw.count(b"HTTP/1.1 ") <= 1
        assert b" 200 " not in raw
        assert b" 500 " not in raw


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x01\x02\x03" * 100,
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"GET /healthz\x1b[31m HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nA\x00B: c\r\n\r\n",
        b"GET http://evil.example/v1/models/ HTTP/1.1\r\nHost: y\r\n\r\n",
        b"GET /v1/models/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /dashboard HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /openapi.json HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
    ],
)
def test_a_strange_request_is_refused_and_no_host_is_believed(server: Server, raw: bytes) -> None:
    told = told_to(server, raw)
    assert b" 500 " not in told
    assert b" 101 " not in told
    assert b"evil.example" not in told


def told_to(server: Server, raw: bytes, *, over: bool = True) -> bytes:
    """All that is answered to some bytes; where they are not ``over``, what is answered within a second."""
    told = b""
    with closing(server.connect()) as sock, suppress(ConnectionError, TimeoutError):
        sock.sendall(raw)
        if over:
            sock.shutdown(socket.SHUT_WR)
        else:
            sock.settimeout(1.0)
        while piece := sock.recv(65_536):
            told += piece
    return told


# -- in crowds -----------------------------------------------------------------------------


def test_beyond_the_limit_connections_are_told_to_come_again_and_those_there_are_go_on(
    server: Server,
) -> None:
    crowd(server, MOST + MOST // 2, {503})


def test_far_beyond_it_they_are_closed_unheard(server: Server) -> None:
    crowd(server, 4 * MOST, {0})


@pytest.mark.slow
def test_ten_thousand_too(server: Server) -> None:
    with many_files():
        crowd(server, 10_000, {0, 503})


def crowd(server: Server, n: int, told: set[int]) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(closing(server.connect()))
        assert asked(first, "GET /healthz")[0] == 200
        for _ in range(n):
            stack.enter_context(closing(server.connect()))
        status, _, body = server.ask("GET /healthz")
        assert status in told
        assert not body or json.loads(body)["error"]["code"] == "busy"
        assert asked(first, "POST /v1/recommendations", b"{}")[0] == 200
    assert server.waited_for("GET /healthz")
