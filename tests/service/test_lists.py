"""Lists, single items and what is like an item, over HTTP."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.service.conftest import Running

from crossfade.errors import ConflictError
from crossfade.hybrid import HybridModel


@pytest.fixture
def model(running: Running) -> HybridModel:
    return running.model


def test_a_known_user_gets_the_list_that_the_library_gives(
    running: Running, model: HybridModel
) -> None:
    user = model.dataset.user_ids.id(0)
    answer = running.read.post("/v1/recommendations", json={"user_id": user, "k": 7})
    assert answer.status_code == 200
    told = answer.json()
    expected = model.recommend(user=user, k=7)
    assert [line["item_id"] for line in told["items"]] == [line.item_id for line in expected]
    assert [line["score"] for line in told["items"]] == pytest.approx([x.score for x in expected])
    assert told["version"] == model.version
    assert told["n_live"] == 0
    assert told["n_history"] > 0


def test_the_short_form_gives_the_same_list(running: Running, model: HybridModel) -> None:
    user = model.dataset.user_ids.id(1)
    short = running.read.get("/v1/recommendations", params={"user_id": user, "k": 5}).json()
    long = running.read.post("/v1/recommendations", json={"user_id": user, "k": 5}).json()
    assert short["items"] == long["items"]
    assert len(short["items"]) == 5


def test_a_newcomer_gets_a_list_and_is_told_that_nobody_knows_them(running: Running) -> None:
    told = running.read.post("/v1/recommendations", json={"user_id": "never seen"}).json()
    assert len(told["items"]) == 10
    assert told["n_history"] == 0
    assert told["notes"]
    without_a_name = running.read.post("/v1/recommendations", json={}).json()
    assert without_a_name["items"] == told["items"]


def test_liked_items_shape_the_list_of_a_stranger(running: Running, model: HybridModel) -> None:
    item = model.dataset.item_ids.id(3)
    liking = running.read.post("/v1/recommendations", json={"items": [item], "k": 5}).json()
    expected = model.recommend(items=[item], k=5)
    assert [line["item_id"] for line in liking["items"]] == [line.item_id for line in expected]


def test_reasons_come_where_they_are_asked_for(running: Running, model: HybridModel) -> None:
    user = model.dataset.user_ids.id(2)
    asked = {"user_id": user, "k": 5}
    plain = running.read.post("/v1/recommendations", json=asked).json()
    told = running.read.post("/v1/recommendations", json={**asked, "explain": True}).json()
    assert all(line["why"] is None for line in plain["items"])
    assert any(line["why"] for line in told["items"])
    expected = model.recommend(user=user, k=5, explain=True)
    assert [line["why"] for line in told["items"]] == [line.why for line in expected]


def test_conditions_hold_and_a_rule_that_cannot_be_read_is_refused(
    running: Running, model: HybridModel
) -> None:
    user = model.dataset.user_ids.id(0)
    first = running.read.post("/v1/recommendations", json={"user_id": user}).json()["items"][0]
    asked = {"user_id": user, "filters": {"block": [first["item_id"]]}}
    items = running.read.post("/v1/recommendations", json=asked).json()["items"]
    assert first["item_id"] not in [line["item_id"] for line in items]
    wrong = running.read.post(
        "/v1/recommendations", json={"user_id": user, "filters": {"rules": ["((("]}}
    )
    assert wrong.status_code == 422
    assert wrong.json()["error"]["code"] == "wrong_request"


def test_one_item_is_explained_and_pairs_are_predicted(
    running: Running, model: HybridModel
) -> None:
    user = model.dataset.user_ids.id(0)
    best = model.recommend(user=user, k=1, explain=True)[0]
    one = running.read.post("/v1/explanations", json={"user_id": user, "item_id": best.item_id})
    assert one.json()["item"]["why"] == best.why
    pairs = running.read.post(
        "/v1/predictions", json={"user_id": user, "item_ids": [best.item_id]}
    ).json()
    assert pairs["items"][0]["score"] == pytest.approx(best.score)
    unknown = running.read.post("/v1/explanations", json={"user_id": user, "item_id": "no such"})
    assert unknown.status_code == 404
    assert unknown.json()["error"]["code"] == "unknown_id"


def test_similar_items_are_those_of_the_library(running: Running, model: HybridModel) -> None:
    item = model.dataset.item_ids.id(0)
    told = running.read.get("/v1/similar-items", params={"item_id": item, "k": 4}).json()
    base, expected = model.similar(item, 4)
    assert told["base"] == base
    assert [line["item_id"] for line in told["items"]] == [line.item_id for line in expected]
    assert running.read.get("/v1/similar-items", params={"item_id": "no"}).status_code == 404


def test_many_at_once_get_each_their_own_list(running: Running, model: HybridModel) -> None:
    users = model.dataset.user_ids.decode(range(40))

    def ask(user: str) -> list[str]:
        told = running.read.post("/v1/recommendations", json={"user_id": user, "k": 5}).json()
        return [line["item_id"] for line in told["items"]]

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, users))
    for user, items in zip(users, found, strict=True):
        assert items == [line.item_id for line in model.recommend(user=user, k=5)]


def test_lists_have_names_of_their_own_whatever_callers_call_their_requests(
    running: Running, model: HybridModel
) -> None:
    names = set()
    for row in range(3):
        asked = {"user_id": model.dataset.user_ids.id(row)}
        headers = {"X-Request-ID": "always-the-same"}
        answer = running.read.post("/v1/recommendations", json=asked, headers=headers)
        names.add(answer.json()["request_id"])
    running.service.impressions.close()
    assert len(names) == 3
    assert all(running.service.log.impression(name) is not None for name in names)


def test_what_cannot_be_written_down_is_counted_and_the_rest_is_written(
    running: Running, model: HybridModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, add = running.service.log, running.service.log.add_impressions

    def refuse(_: object) -> None:
        raise ConflictError("another list has that name")

    monkeypatch.setattr(log, "add_impressions", refuse)
    running.read.post("/v1/recommendations", json={})
    for _ in range(600):
        if "crossfade_impressions_lost_total 1.0" in running.read.get("/metrics").text:
            break
        threading.Event().wait(0.05)
    monkeypatch.setattr(log, "add_impressions", add)
    told = running.read.post("/v1/recommendations", json={}).json()
    running.service.impressions.close()
    assert log.impression(told["request_id"]) is not None


def test_what_was_shown_is_written_down(running: Running, model: HybridModel) -> None:
    user = model.dataset.user_ids.id(0)
    told = running.read.post("/v1/recommendations", json={"user_id": user, "k": 3}).json()
    running.service.impressions.close()
    shown = running.service.log.impression(told["request_id"])
    assert shown is not None
    assert shown.user_id == user
    assert shown.version == told["version"]
    assert [item.item_id for item in shown.items] == [x["item_id"] for x in told["items"]]
    assert all(item.propensity == 1 for item in shown.items)
