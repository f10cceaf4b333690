"""Hostile content in every field of every place: nothing breaks, nothing is believed, nothing is carried out."""

import gzip
import json
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.service.conftest import Running, Start, serving

from crossfade.hybrid import HybridModel
from crossfade.service.wire import JsonLines
from crossfade.store import Registry
from crossfade.store.log import ApiKey

TEXTS = (
    "'; DROP TABLE events; --",
    "' OR '1'='1",
    '" UNION SELECT digest FROM api_keys --',
    "{{7919*104729}}${7919*104729}<%= 7919*104729 %>#{7919*104729}",
    "{0.__class__.__init__.__globals__}%s%n%(name)s",
    "<script>alert(1)</script>",
    "../../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "..",
    "line\r\nX-Injected: yes\r\n\r\n{}",
    "\x1b[31mred\x07\x08\u202e\u2028",
    "$(touch /tmp/x)`touch /tmp/x`|touch /tmp/x",
    "\U0001f3b5" * 64,
)
PRODUCT = str(7919 * 104729)
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def running(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(bundle, tmp_path_factory.mktemp("log"), rate_per_s=1e9, burst=10**9) as made:
        yield made


class Filled:
    """Values that fit a schema of the OpenAPI document, with one text wherever text may be.

    Args:
        document: The document.
        text: It goes wherever no pattern is asked for,
        everywhere: or where one is, too.
    """

    def __init__(self, document: dict[str, Any], text: str, *, everywhere: bool) -> None:
        self._parts = document["components"]["schemas"]
        self._text, self._everywhere = text, everywhere

    def value(self, schema: dict[str, Any]) -> Any:
        if "$ref" in schema:
            return self.value(self._parts[schema["$ref"].rpartition("/")[2]])
        if "anyOf" in schema:
            return self.value(schema["anyOf"][0])
        if "enum" in schema:
            return schema["enum"][0]
        match schema.get("type"):
            case "object":
                known = {name: self.value(of) for name, of in schema.get("properties", {}).items()}
                for free in schema.get("patternProperties", {}).values():
                    known["x"] = self.value(free)
                return known
            case "array":
                return [self.value(schema["items"])]
            case "string":
                if "format" in schema:
                    return "2024-05-01" if schema["format"] == "date" else "2024-05-01T10:00:00Z"
                return "x" if "pattern" in schema and not self._everywhere else self._text
            case "integer" | "number":
                return max(1, schema.get("minimum", 1))
            case "boolean":
                return True
        return self._text


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_text_is_text_in_every_field_of_every_place(
    running: Running, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    document = running.nobody.get("/openapi.json").json()
    n_asked, statuses = 0, set()
    with caplog.at_level(logging.DEBUG, "crossfade"):
        for path, methods in document["paths"].items():
            for method, place in methods.items():
                for everywhere in (False, True):
                    filled = Filled(document, text, everywhere=everywhere)
                    given: dict[str, dict[str, Any]] = {"query": {}, "path": {}, "header": {}}
                    for one in place.get("parameters", []):
                        given[one["in"]][one["name"]] = filled.value(one["schema"])
                    where = path
                    for name in given["path"]:
                        where = where.replace(f"{{{name}}}", quote(text, safe=""))
                    body = place.get("requestBody", {}).get("content", {}).get("application/json")
                    answer = running.admin.request(
                        method,
                        where,
                        params=given["query"],
                        json=filled.value(body["schema"]) if body else None,
                    )
                    n_asked += 1
                    statuses.add(answer.status_code)
                    assert answer.status_code < 500, (method, path, answer.text)
                    assert "x-injected" not in answer.headers
                    assert PRODUCT not in answer.text.replace(text, "")
                    if path != "/metrics":
                        assert answer.headers["content-type"] == "application/json"
    assert n_asked > 60
    assert {200, 404, 422} <= statuses
    for record in caplog.records:
        line = JsonLines().format(record)
        assert line.isascii()
        assert line.isprintable()
        assert json.loads(line)["logger"] == record.name


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_what_is_kept_under_a_hostile_name_is_found_under_it_and_under_no_other(
    running: Running, text: str
) -> None:
    text += "!"  # under the same without it something is kept already
    event = {"user_id": text, "session_id": text, "item_id": text, "context": {"x": text}}
    assert running.write.post("/v1/events", json={**event, "key": text}).status_code == 201
    (stored,) = running.service.log.events_of(user_id=text)
    assert stored.event.context == {"x": text}
    told = {"title": text, "genres": [text], "attributes": {"x": text}}
    kept = running.write.put("/v1/item", params={"item_id": text}, json=told).json()
    assert kept == running.read.get("/v1/item", params={"item_id": text}).json()
    assert (kept["item_id"], kept["title"], kept["attributes"]) == (text, text, {"x": text})
    for page in ("item", "items", "listener", "history", "start"):
        asked = {"item_id": text, "user_id": text, "q": text, "search": text, "items": text}
        shown = running.admin.get(f"/dashboard/{page}", params=asked)
        assert shown.status_code < 500
        assert "<script>alert" not in shown.text
        assert PRODUCT not in shown.text
    gone = running.admin.post("/v1/forget", json={"user_id": text}).json()
    assert gone["events"] == 1


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/dashboard/static/../app.py",
        "/dashboard/static/..%2fapp.py",
        "/dashboard/static/%2fetc%2fpasswd",
        "/v1/experiments/..%2f..%2fmodels",
        "/openapi.json%00",
        "//etc/passwd",
    ],
)
def test_no_path_leads_out_of_the_places(running: Running, path: str) -> None:
    answer = running.admin.get(path, follow_redirects=False)
    assert answer.status_code in {404, 422}
    assert "root:" not in answer.text


def test_no_version_names_another_folder(start: Start, tmp_path: Path, bundle: Path) -> None:
    place = tmp_path / "registry"
    version = Registry(place).add(HybridModel.load(bundle).save, datetime.now(UTC))
    Registry(place).promote(version, datetime.now(UTC))
    running = start(place)
    for name in ("..", ".", "../registry", f"../versions/{version}", "/etc", f"{version}/", ""):
        refused = running.admin.post("/v1/models/promote", json={"version": name})
        assert refused.status_code in {409, 422}, name
    assert running.read.get("/v1/models").json()["version"] == version


@pytest.mark.parametrize(
    "body",
    [
        b'{"user_id":"u","item_id":"i","value":NaN}',
        b'{"user_id":"u","item_id":"i","value":-Infinity}',
        b'{"user_id":"u","item_id":"i","value":1e400}',
        b'{"user_id":"u","item_id":"i","context":{"x":Infinity}}',
        b'{"user_id":"u","item_id":"i","context":{"x":1e999}}',
        b'{"user_id":"u","item_id":"i","played_ms":1' + b"0" * 5_000 + b"}",
        b'{"user_id":"u\xff","item_id":"i"}',
        b'{"user_id":"\xed\xa0\x80","item_id":"i"}',
        b'{"user_id":"u","item_id":"i","context":{"x":' + b"[" * 900 + b"]" * 900 + b"}}",
        b"\xff\xfe{\x00}\x00",
        gzip.compress(b'{"user_id":"u","item_id":"i"}', mtime=0),
        gzip.compress(b"0" * 50_000_000, mtime=0),
    ],
)
def test_numbers_that_are_none_texts_that_are_none_and_packed_bodies_are_refused(
    running: Running, body: bytes
) -> None:
    before = running.service.log.last_sequence()
    packed = {"Content-Encoding": "gzip"} if body[:2] == b"\x1f\x8b" else {}
    answer = running.write.post("/v1/events", content=body, headers={**JSON, **packed})
    assert answer.status_code in {400, 422}
    assert answer.json()["error"]["request_id"]
    assert running.service.log.last_sequence() == before


DEEP = b"[" * 400_000
RULES = ("(" * 999, "not " * 249 + "x", "(" * 300 + 'genres has "x"' + ")" * 300)


@pytest.mark.parametrize(
    ("place", "body"),
    [
        ("events", b'{"user_id":"u","item_id":"i","context":{"x":' + DEEP),
        ("events/batch", b'{"events":[{"user_id":"u","item_id":"i","context":' + DEEP),
        ("events/batch", b'{"events":' + DEEP + b"]" * 400_000 + b"}"),
        ("events/batch", b'{"events":' + b'[{"events":' * 50_000),
        ("recommendations", b'{"context":' + b'{"x":' * 50_000 + b"1" + b"}" * 50_000 + b"}"),
        ("recommendations", b'{"filters":' * 900 + b"{}" + b"}" * 900),
        *[("recommendations", json.dumps({"filters": {"rules": [r]}}).encode()) for r in RULES],
        ("experiments", b'{"arms":[{"ranking":' + DEEP),
        ("items", b'{"items":[{"item_id":"i","attributes":{"x":' + DEEP),
    ],
    ids=range(11),
)
def test_what_is_nested_deeply_is_refused_anywhere(
    running: Running, place: str, body: bytes
) -> None:
    answer = running.admin.post(f"/v1/{place}", content=body, headers=JSON)
    assert answer.status_code in {400, 422}
    assert len(answer.content) < 100_000  # nobody is sent back what they sent


def test_of_a_name_that_is_given_twice_the_last_one_counts_everywhere(running: Running) -> None:
    body = b'{"user_id":"first","user_id":"second","item_id":"i"}'
    assert running.write.post("/v1/events", content=body, headers=JSON).status_code == 201
    assert running.service.log.events_of(user_id="first") == []
    assert len(running.service.log.events_of(user_id="second")) == 1


def test_one_key_sent_by_many_at_once_counts_once(running: Running) -> None:
    event = {"user_id": "crowd", "item_id": "i", "timestamp": "2024-05-01T10:00:00Z", "key": "kk"}
    told = at_once(running, [event] * 16)
    assert sum(not one["duplicate"] for one in told) == 1
    assert len({one["sequence"] for one in told}) == 1
    assert len(running.service.log.events_of(user_id="crowd")) == 1


def test_one_key_sent_by_many_at_once_with_other_content_each_is_kept_for_the_first(
    running: Running,
) -> None:
    event = {"user_id": "rivals", "timestamp": "2024-05-01T10:00:00Z", "key": "rivals"}
    told = at_once(running, [{**event, "item_id": f"i{number}"} for number in range(16)])
    (kept,) = [one for one in told if "sequence" in one]
    assert {one["error"]["code"] for one in told if one is not kept} == {"conflict"}
    (stored,) = running.service.log.events_of(user_id="rivals")
    assert stored.sequence == kept["sequence"]
    # Of somebody else, or in a batch, it is no other key.
    for place, body in (
        ("events", {**event, "user_id": "thief", "item_id": stored.event.item_id}),
        ("events/batch", {"events": [{"user_id": "thief", "item_id": "i"}, {**event, "item_id": "j"}]}),
    ):  # fmt: skip
        assert running.write.post(f"/v1/{place}", json=body).status_code == 409
    assert running.service.log.events_of(user_id="thief") == []


def at_once(running: Running, events: list[dict[str, str]]) -> list[dict[str, Any]]:
    """What is answered to events that are sent at the same time."""
    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(running.write.post, "/v1/events", json=event) for event in events]
    return [one.result().json() for one in done]


@pytest.mark.parametrize(
    "path",
    [
        "//v1/models/promote",
        "/v1//models/promote",
        "/V1/models/promote",
        "/v1/models/promote/",
        "/v1/models/promote;role=admin",
        "/v1/models/%70romote",
        "/v1/models/promote%2f",
        "/v1/events/../models/promote",
        "/dashboard/../v1/models/promote",
        "/dashboard/versions/promote",
    ],
)
def test_no_spelling_of_a_place_and_no_header_gives_a_role(running: Running, path: str) -> None:
    headers = {
        "X-HTTP-Method-Override": "POST",
        "X-Original-URL": "/v1/models/promote",
        "X-Rewrite-URL": "/v1/models/promote",
        "X-Forwarded-For": "127.0.0.1",
        "X-Role": "admin",
        "Cookie": "crossfade_session=admin",
    }
    for client in (running.nobody, running.read, running.write):
        for method in ("GET", "POST", "PUT"):
            asked = {"version": "x", "role": "admin"}
            answer = client.request(method, path, json=asked, headers=headers, follow_redirects=False)  # fmt: skip
            assert answer.status_code in {303, 401, 403, 404, 405, 429}, (
                method,
                answer.status_code,
            )


def test_while_a_key_is_looked_up_others_are_answered(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_answered, find = threading.Event(), running.service.log.key

    def late(
        presented: str, at_us: int
    ) -> ApiKey | None:  # as a database that is far away, or gone
        assert is_answered.wait(5)
        return find(presented, at_us)

    with ThreadPoolExecutor(1) as pool, monkeypatch.context() as patch:
        patch.setattr(running.service.log, "key", late)
        wrong = {"Authorization": "Bearer cf_x_y"}
        refused = pool.submit(running.nobody.get, "/v1/models", headers=wrong)
        try:
            assert running.nobody.get("/healthz").status_code == 200
        finally:
            is_answered.set()
        assert refused.result().status_code == 401


def test_made_up_methods_are_counted_as_one(running: Running) -> None:
    for number in range(3):
        assert running.nobody.request(f"METHOD{number}", "/healthz").status_code == 405
    text = running.read.get("/metrics").text
    assert "METHOD" not in text
    assert 'method="other"' in text


def test_a_redirect_leads_to_no_host_that_a_caller_names(running: Running) -> None:
    evil = {"Host": "evil.example"}
    for path in ("/v1/models/", "/dashboard", "/dashboard/items/", "/healthz/"):
        answer = running.admin.get(path, headers=evil, follow_redirects=False)
        assert "evil" not in answer.headers.get("location", "")
    home = running.admin.get("/dashboard", headers=evil, follow_redirects=False)
    assert home.headers["location"] == "/dashboard/"
