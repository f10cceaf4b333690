"""The short way through the framework answers as the long one does, word for word."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.service.conftest import Running, serving

from crossfade.service import shortcut

JSON = {"content-type": "application/json"}
LIST, EVENT = "/v1/recommendations", "/v1/events"

REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("read", LIST, {"json": {"k": 3}}),
    ("read", LIST, {"json": {"k": 3}, "params": {"k": 4}}),
    ("read", LIST, {"json": {"k": 0, "user_id": 5}}),
    ("read", LIST, {"json": {"k": 2, "no_such": 1}}),
    ("read", LIST, {"json": {"k": 2, "genres": ["polka"], "context": {"weather": "rain"}}}),
    ("read", LIST, {"content": b'{"k": 3', "headers": JSON}),
    ("read", LIST, {"content": b"", "headers": JSON}),
    ("read", LIST, {"content": b"[" * 100_000, "headers": JSON}),
    ("read", LIST, {"content": b'{"k": NaN}', "headers": JSON}),
    ("read", LIST, {"content": b'{"user_id": "\\ud800"}', "headers": JSON}),
    ("read", LIST, {"content": b'{"k": 3}', "headers": {"content-type": "text/plain"}}),
    ("read", LIST, {"content": b'{"k": 3}', "headers": {"content-type": "application/json; x=y"}}),
    ("read", LIST, {"content": b" " * 2_000_000, "headers": JSON}),
    ("nobody", LIST, {"json": {"k": 3}}),
    ("nobody", LIST, {"json": {"k": 0}}),
    ("read", EVENT, {"json": {"user_id": "u", "item_id": "i"}}),
    ("write", EVENT, {"json": {"item_id": "i"}}),
    ("write", EVENT, {"content": b'{"user_id": "u", "item_id": "i", "value": 1e400}', "headers": JSON}),
    ("write", EVENT, {"json": {"user_id": "u", "item_id": "i", "key": "same"}}),
    ("write", EVENT, {"json": {"user_id": "w", "item_id": "i", "key": "same"}}),
    ("write", EVENT, {"json": {"user_id": "u", "item_id": "i"}, "headers": {"idempotency-key": "a"}}),
]  # fmt: skip
CHANGES = {"request_id", "sequence"}
"""Words of an answer that are different each time."""


@pytest.fixture(scope="module")
def pair(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Running]]:
    with (
        serving(bundle, tmp_path_factory.mktemp("short")) as short,
        serving(bundle, tmp_path_factory.mktemp("long")) as long,
    ):
        yield [short, long]


@pytest.mark.parametrize("number", range(len(REQUESTS)))
def test_answers_are_the_same(
    pair: list[Running], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    role, place, request = REQUESTS[number]
    found = []
    for way, places in zip(pair, (shortcut.PLACES, {}), strict=True):
        monkeypatch.setattr(shortcut, "PLACES", places)
        answer = getattr(way, role).post(place, **request)
        headers = {k: v for k, v in answer.headers.items() if k not in {"x-request-id", "date"}}
        headers.pop("content-length")  # of numbers that differ
        found.append((answer.status_code, headers, _same(answer.json())))
    assert found[0] == found[1]


def _same(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _same(one) for name, one in value.items() if name not in CHANGES}
    return [_same(one) for one in value] if isinstance(value, list) else value


def test_the_short_way_is_taken(pair: list[Running], monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    for key, place in shortcut.PLACES.items():

        async def answer(asked: Any, service: Any, place: Any = place) -> Any:
            taken.append(type(asked))
            return await place.answer(asked, service)

        watched = shortcut._Place(place.role, place.kind, answer)
        monkeypatch.setitem(shortcut.PLACES, key, watched)
    assert pair[0].read.post(LIST, json={"k": 3}).status_code == 200
    assert pair[0].write.post(EVENT, json={"user_id": "u", "item_id": "i"}).status_code == 201
    assert taken == [place.kind for place in shortcut.PLACES.values()]
    said = pair[0].admin.get("/metrics").text
    assert 'route="/v1/recommendations"' in said


def test_a_fault_of_ours_is_told_in_the_one_shape(
    pair: list[Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("crossfade.service.events.append", broken)
    answer = pair[0].write.post(EVENT, json={"user_id": "u", "item_id": "i"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
