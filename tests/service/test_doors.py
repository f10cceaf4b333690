"""Who is let in, how often, with how much, and what every refusal looks like."""

import json
import logging
from collections.abc import Iterator

import pytest
from tests.service.conftest import Running, Start

from crossfade.errors import ConfigError
from crossfade.service.access import Rates
from crossfade.service.config import ServiceConfig
from crossfade.service.state import now_us
from crossfade.service.wire import JsonLines

PLACES = {
    "read": [
        ("POST", "/v1/recommendations"),
        ("GET", "/v1/recommendations"),
        ("POST", "/v1/explanations"),
        ("POST", "/v1/predictions"),
        ("GET", "/v1/similar-items"),
        ("GET", "/v1/models"),
        ("GET", "/v1/experiments"),
        ("GET", "/v1/experiments/{name}"),
        ("GET", "/v1/monitoring"),
        ("GET", "/metrics"),
        *[("GET", f"/v1/{noun}") for noun in ("item", "items", "user", "users")],
    ],
    "write": [
        ("POST", "/v1/events"),
        ("POST", "/v1/events/batch"),
        *[(m, f"/v1/{noun}") for noun in ("item", "user") for m in ("PUT", "PATCH", "DELETE")],
        *[("POST", f"/v1/{noun}") for noun in ("items", "users")],
    ],
    "admin": [
        ("POST", "/v1/forget"),
        ("POST", "/v1/models/promote"),
        ("POST", "/v1/models/rollback"),
        ("POST", "/v1/experiments"),
        ("POST", "/v1/experiments/{name}/traffic"),
        ("POST", "/v1/experiments/{name}/stop"),
    ],
}
OPEN = {"/healthz", "/readyz", "/openapi.json"}


def test_every_place_has_a_role_or_is_open_on_purpose(running: Running) -> None:
    told = running.nobody.get("/openapi.json").json()
    places = {(method.upper(), path) for path, on in told["paths"].items() for method in on}
    known = {place for role in PLACES.values() for place in role}
    assert {place for place in places if place[1] not in OPEN} == known
    assert told["openapi"].startswith("3.1")


@pytest.mark.parametrize("role", PLACES)
def test_without_the_role_nothing_is_answered(running: Running, role: str) -> None:
    below = {"read": [], "write": [running.read], "admin": [running.read, running.write]}
    for method, path in PLACES[role]:
        refused = running.nobody.request(method, path)
        assert refused.status_code == 401, (path, refused.text)
        assert refused.json()["error"]["code"] == "no_key"
        assert refused.headers["www-authenticate"] == "Bearer"
        for client in below[role]:
            refused = client.request(method, path)
            assert refused.status_code == 403, (path, refused.text)
            assert refused.json()["error"]["code"] == "not_allowed"


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic abc", "Bearer cf_x_y", "Bearer \x7f", "cf_x_y"]
)
def test_what_is_no_key_opens_nothing(running: Running, header: str) -> None:
    answer = running.nobody.get("/v1/models", headers={"Authorization": header})
    assert answer.status_code == 401


def test_an_expired_key_and_a_revoked_one_open_nothing(running: Running) -> None:
    log = running.service.log
    expired = log.add_key("old", "admin", now_us(), now_us() - 1)
    revoked = log.add_key("new", "read", now_us())
    assert log.revoke_key(revoked.split("_")[1], now_us())
    for key in (expired, revoked):
        answer = running.nobody.get("/v1/models", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 401


def test_a_key_may_ask_so_often_and_then_must_wait(start: Start) -> None:
    running = start(rate_per_s=0.001, burst=3)
    for _ in range(3):
        assert running.read.get("/v1/models").status_code == 200
    refused = running.read.get("/v1/models")
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 1
    assert running.write.get("/v1/models").status_code == 200  # another key has its own


def test_who_tries_keys_must_wait(running: Running) -> None:
    tried = {"Authorization": "Bearer cf_a_b"}
    codes = [running.nobody.get("/v1/models", headers=tried).status_code for _ in range(40)]
    assert codes[0] == 401
    assert codes[-1] == 429
    assert running.read.get("/v1/models").status_code == 200  # who has a key is not kept out


def test_tokens_come_back_with_time_and_never_more_than_the_burst() -> None:
    now = [0.0]
    rates = Rates(2.0, 4, lambda: now[0])
    assert [rates.wait_s("a") for _ in range(4)] == [0, 0, 0, 0]
    assert rates.wait_s("a") == pytest.approx(0.5)
    now[0] = 0.5
    assert rates.wait_s("a") == 0
    assert rates.wait_s("a") > 0
    now[0] = 1e6
    assert [rates.wait_s("a") > 0 for _ in range(5)] == [False] * 4 + [True]


def test_without_keys_only_this_machine_may_be_listened_on(start: Start) -> None:
    assert start(keys=False).nobody.get("/v1/models").status_code == 200
    with pytest.raises(ConfigError, match="loopback"):
        ServiceConfig(keys=False, host="0.0.0.0")


def test_a_body_may_not_be_too_large_whatever_it_says_of_itself(start: Start) -> None:
    running = start(max_body_bytes=1_000)
    stated = running.write.post("/v1/events", content=b"x" * 5_000)
    assert stated.status_code == 413
    assert stated.json()["error"]["code"] == "too_large"

    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 100

    streamed = running.write.post("/v1/events", content=pieces())
    assert streamed.status_code == 413


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[" * 100_000, b"\xff\xfe", b'{"a":' * 50_000, b"null", b'"x"', b"[]", b"NaN"],
)
def test_a_body_that_is_no_request_is_refused_in_the_one_shape(
    running: Running, body: bytes
) -> None:
    answer = running.write.post(
        "/v1/events", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in {400, 422}
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "request_id", "details"}
    assert error["request_id"] == answer.headers["x-request-id"]


def test_places_and_methods_that_are_not_there_are_refused_in_the_one_shape(
    running: Running,
) -> None:
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("GET", "/../../etc/passwd", 404),
        ("DELETE", "/v1/events", 405),
    ):
        answer = running.admin.request(method, path)
        assert answer.status_code == status
        assert answer.json()["error"]["request_id"]


def test_half_a_character_and_numbers_that_are_none_are_refused(running: Running) -> None:
    body = b'{"item_id":"\\ud800","user_id":"b","value":NaN}'
    answer = running.write.post(
        "/v1/events", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422
    assert len(answer.json()["error"]["details"]) == 2


def test_other_origins_get_no_leave_unless_named(start: Start) -> None:
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    closed = start().nobody.options("/v1/recommendations", headers=asked)
    assert "access-control-allow-origin" not in closed.headers
    named = start(cors_origins=("https://shop.example",))
    opened = named.nobody.options("/v1/recommendations", headers=asked)
    assert opened.headers["access-control-allow-origin"] == "https://shop.example"


def test_a_line_of_the_log_cannot_be_forged_and_names_nobody(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "crossfade.service.access"):
        answer = running.read.get(
            "/v1/recommendations",
            params={"user_id": "Mallory\n{}"},
            headers={"X-Request-ID": 'a" forged'},
        )
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] != 'a" forged'
    (line,) = [JsonLines().format(record) for record in caplog.records]
    assert "\n" not in line
    told = json.loads(line)
    assert told["message"] == "GET /v1/recommendations 200"
    assert told["ms"] > 0
    assert "Mallory" not in line


def test_a_request_id_of_the_caller_is_kept_where_it_is_sound(running: Running) -> None:
    answer = running.read.get("/v1/models", headers={"X-Request-ID": "abc-1.2_3"})
    assert answer.headers["x-request-id"] == "abc-1.2_3"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_fault_within_a_pass_is_told_to_all_who_wait_and_the_next_pass_is_made(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = running.service.versions.current()

    def broken(_: object) -> None:
        raise ValueError("secret place /etc/x")

    with monkeypatch.context() as patch:
        patch.setattr(live, "answer", broken)
        for _ in range(3):
            answer = running.read.get("/v1/recommendations")
            assert answer.status_code == 500
            assert "secret" not in answer.text
    assert running.read.get("/v1/recommendations").status_code == 200


def test_a_fault_of_ours_tells_nothing_of_the_inside(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("secret place /etc/x")

    monkeypatch.setattr(type(running.service.versions), "list", broken)
    answer = running.read.get("/v1/models")
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal"
    assert "secret" not in answer.text
