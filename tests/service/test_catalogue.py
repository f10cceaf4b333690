"""Items and users between fits, over HTTP."""

import threading
from itertools import product

from starlette.testclient import TestClient
from tests.service.conftest import Running, Start

from crossfade.service.unavailable import Unavailable

SONG = {
    "title": "Blue",
    "creator": "Ann",
    "creator_id": "a/1",
    "genres": ["jazz", "soul"],
    "duration_ms": 215_000,
    "release_date": "2024-05-01",
    "energy": 0.25,
    "available": True,
    "attributes": {"popularity": 12.0, "live": True, "label": "x"},
}
ODD = ["a/b", "..", "/", "a//b", "?x=1&y", "%2F", "a b", "音楽 🎧", "'; DROP TABLE items; --"]


def best(running: Running, k: int = 5, **asked: object) -> list[str]:
    answer = running.read.post("/v1/recommendations", json={"k": k, **asked})
    assert answer.status_code == 200, answer.text
    return [line["item_id"] for line in answer.json()["items"]]


def test_an_item_with_any_id_is_put_read_changed_and_deleted(running: Running) -> None:
    for id_ in ODD:
        item_of_its_own(running, id_)


def item_of_its_own(running: Running, id_: str) -> None:
    one = {"item_id": id_}
    put = running.write.put("/v1/item", params=one, json=SONG)
    assert put.status_code == 200, put.text
    told = put.json()
    changed_us = told.pop("changed_us")
    there = {name: value for name, value in told.items() if value is not None}
    assert there == {**SONG, **one, "in_version": False}
    again = running.write.put("/v1/item", params=one, json=SONG).json()
    assert again["changed_us"] == changed_us  # the same again is no change
    assert running.read.get("/v1/item", params=one).json() == again
    change = {"title": None, "energy": 0.5, "attributes": {"live": None, "new": "y"}}
    changed = running.write.patch("/v1/item", params=one, json=change).json()
    assert (changed["title"], changed["energy"], changed["creator"]) == (None, 0.5, "Ann")
    assert changed["attributes"] == {"popularity": 12.0, "label": "x", "new": "y"}
    assert running.write.delete("/v1/item", params=one).json()["deleted"] is True
    assert running.write.delete("/v1/item", params=one).json()["deleted"] is False
    assert running.read.get("/v1/item", params=one).json()["error"]["code"] == "unknown_id"
    assert running.write.patch("/v1/item", params=one, json=change).status_code == 404


def test_a_profile_with_any_id_is_put_read_changed_and_deleted(running: Running) -> None:
    for id_ in ODD:
        profile_of_its_own(running, id_)


def profile_of_its_own(running: Running, id_: str) -> None:
    one = {"user_id": id_}
    told = {"attributes": {"country": "de", "age": 30.0}}
    put = running.write.put("/v1/user", params=one, json=told).json()
    assert (put["attributes"], put["in_version"]) == (told["attributes"], False)
    assert running.read.get("/v1/user", params=one).json() == put
    change = {"attributes": {"age": None}}
    changed = running.write.patch("/v1/user", params=one, json=change).json()
    assert changed["attributes"] == {"country": "de"}
    gone = running.write.delete("/v1/user", params=one).json()
    assert gone["deleted"] is True
    assert "/v1/forget" in gone["note"]
    assert running.read.get("/v1/user", params=one).status_code == 404
    assert running.write.patch("/v1/user", params=one, json=change).status_code == 404


def test_what_is_gone_is_in_no_list_from_that_moment_and_comes_back_the_same_way(
    running: Running,
) -> None:
    user = running.model.dataset.user_ids.id(0)
    before = best(running, user_id=user)
    told = running.write.put("/v1/item", params={"item_id": before[0]}, json={"available": False})
    assert told.json()["in_version"] is True
    running.write.delete("/v1/item", params={"item_id": before[1]})
    batch = {"items": [{"item_id": before[2], "available": False}]}
    assert running.write.post("/v1/items", json=batch).status_code == 200
    after = best(running, user_id=user)
    assert not set(before[:3]) & set(after)
    assert len(after) == 5
    assert before[3] not in best(running, user_id=user, filters={"block": [before[3]]})
    for id_ in before[:3]:
        running.write.put("/v1/item", params={"item_id": id_}, json={})
    assert best(running, user_id=user) == before
    running.write.patch("/v1/item", params={"item_id": before[0]}, json={"available": False})
    assert best(running, user_id=user)[:2] == before[1:3]
    running.write.patch("/v1/item", params={"item_id": before[0]}, json={"title": "x"})
    assert before[0] not in best(running, user_id=user)  # what is not named stays
    newcomers = best(running)
    running.write.delete("/v1/item", params={"item_id": newcomers[0]})
    assert newcomers[0] not in best(running)


def test_what_is_gone_is_like_nothing(running: Running) -> None:
    item = best(running)[0]

    def similar() -> list[tuple[int, str]]:
        asked = f"/v1/similar-items?item_id={item}&k=4"
        lines = running.read.get(asked).json()["items"]
        return [(line["rank"], line["item_id"]) for line in lines]

    before = similar()
    running.write.delete("/v1/item", params={"item_id": before[1][1]})
    after = similar()
    assert [rank for rank, _ in after] == [1, 2, 3, 4]
    assert [id_ for _, id_ in after[:3]] == [before[0][1], before[2][1], before[3][1]]


def test_another_process_hears_of_it_within_seconds(start: Start) -> None:
    here = start()
    there = Unavailable(here.service.log)
    running = start()  # over the same database
    item = best(running)[0]
    here.write.delete("/v1/item", params={"item_id": item})
    for _ in range(200):
        if running.service.unavailable.ids:
            break
        threading.Event().wait(0.05)
    assert item not in best(running)
    there.refresh()
    assert there.ids == (item,)
    restarted = start()
    assert item not in best(restarted)


def test_several_are_kept_or_none_and_pages_show_them_all(running: Running) -> None:
    for noun in ("item", "user"):
        rows = [{f"{noun}_id": f"x{n:02}"} for n in range(25)]
        done = running.write.post(f"/v1/{noun}s", json={f"{noun}s": rows})
        assert [one["changed"] for one in done.json()["kept"]] == [True] * 25
        assert [one["in_version"] for one in done.json()["kept"]] == [False] * 25
        again = running.write.post(f"/v1/{noun}s", json={f"{noun}s": rows[:1]}).json()
        assert again["kept"] == [{"id": "x00", "changed": False, "in_version": False}]
        found, asked = [], {"limit": "10"}
        while asked:
            page = running.read.get(f"/v1/{noun}s", params=asked).json()
            found += [row[f"{noun}_id"] for row in page[f"{noun}s"]]
            asked = {"limit": "10", "cursor": page["next"]} if page["next"] else {}
        assert found == [f"x{n:02}" for n in range(25)]
        bad = [*rows, {f"{noun}_id": "new"}, {f"{noun}_id": "x00"}]
        refused = running.write.post(f"/v1/{noun}s", json={f"{noun}s": bad})
        assert "x00" in refused.json()["error"]["details"][0]["problem"]
        assert running.read.get(f"/v1/{noun}", params={f"{noun}_id": "new"}).status_code == 404


WRONG: list[tuple[dict[str, object], str]] = [
    ({"titel": "x"}, "titel"),
    ({"energy": 1.5}, "energy"),
    ({"tempo": 0}, "tempo"),
    ({"genres": ["x"] * 101}, "genres"),
    ({"title": "x" * 2_001}, "title"),
    ({"title": "\x00"}, "title"),
    ({"release_date": "2024-02-30"}, "release_date"),
    ({"available": None}, "available"),
    ({"attributes": {"title": "x"}}, "attributes.title"),
    ({"attributes": {"x": [1]}}, "attributes.x"),
    ({"attributes": {f"x{n}": 1 for n in range(51)}}, "attributes"),
]


def test_every_fault_of_an_item_is_named_and_nothing_is_kept(running: Running) -> None:
    for (body, where), ask in product(WRONG, (running.write.put, running.write.patch)):
        refused = ask("/v1/item", params={"item_id": "x"}, json={**body, "duration_ms": -1})
        assert refused.status_code == 422
        told = {fault["where"] for fault in refused.json()["error"]["details"]}
        assert any(place.startswith(f"body.{where}") for place in told), told
        assert "body.duration_ms" in told
    assert running.read.get("/v1/item", params={"item_id": "x"}).status_code == 404


def test_a_batch_that_is_too_long_is_refused(running: Running) -> None:
    rows = [{"item_id": str(n)} for n in range(1_001)]
    assert running.write.post("/v1/items", json={"items": rows}).status_code == 422
    assert running.write.post("/v1/items", json={"items": []}).status_code == 422


def test_forgetting_takes_the_profile_too(running: Running) -> None:
    ann: dict[str, str] = {"user_id": "ann"}
    running.write.put("/v1/user", params=ann, json={"attributes": {"country": "de"}})
    gone = running.admin.post("/v1/forget", json=ann).json()
    assert (gone["events"], gone["profiles"]) == (0, 1)
    assert running.read.get("/v1/user", params=ann).status_code == 404


def test_events_outlive_a_profile(running: Running) -> None:
    client: TestClient = running.write
    client.post("/v1/events", json={"user_id": "ann", "item_id": "x"})
    client.put("/v1/user", params={"user_id": "ann"}, json={})
    client.delete("/v1/user", params={"user_id": "ann"})
    assert len(running.service.log.events_of(user_id="ann")) == 1
