"""What every page is made of, and what each of them tells."""

import itertools
import re
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.service.dashboard.conftest import EVIL_ITEM, EVIL_TITLE, EVIL_USER, Desk
from tests.service.dashboard.markup import Element, page

from crossfade.service.dashboard.charts import mean_weights, segments
from crossfade.service.dashboard.moves import moves

PAGES: dict[str, dict[str, str]] = {
    "": {"q": EVIL_USER},
    "start": {"q": EVIL_TITLE, "items": EVIL_ITEM, "genres": "<b>"},
    "listener": {"user_id": EVIL_USER},
    "history": {"user_id": EVIL_USER},
    "items": {"q": EVIL_TITLE},
    "item": {"item_id": EVIL_ITEM},
    "experiments": {},
    "experiment": {"name": "shelf", "says": "true"},
    "monitoring": {},
    "versions": {},
    "data": {},
    "login": {"back": '/dashboard/"><script>'},
    "no/such/page": {},
}


def opened(desk: Desk, place: str, **asked: str) -> Element:
    answer = desk.admin.get(f"/dashboard/{place}", params=asked)
    assert answer.status_code == (404 if "such" in place else 200), answer.text
    return page(answer.text)


def some_user(desk: Desk) -> str:
    return desk.service.versions.current().users("listener", 1)[0]


@pytest.mark.parametrize("place", PAGES)
def test_every_page_is_built_for_whoever_reads_it(desk: Desk, place: str) -> None:
    read = opened(desk, place, **PAGES[place])
    assert [one.tag for one in read.walk()].count("main") == 1
    assert read.all("html")[0].attributes["lang"] == "en"
    assert len(read.all("h1")) == 1
    assert read.all("title")[0].text.endswith("· crossfade")
    levels = [int(one.tag[1]) for one in read.walk() if re.fullmatch("h[1-6]", one.tag)]
    assert all(below <= above + 1 for above, below in itertools.pairwise(levels))
    ids = [one.attributes["id"] for one in read.walk() if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    assert read.all("a")[0].attributes["href"] == "#main"
    labelled = {one.attributes.get("for") for one in read.all("label")}
    inside = [id(one) for label in read.all("label") for one in label.walk()]
    for field in [*read.all("input"), *read.all("textarea")]:
        if field.attributes.get("type") != "hidden":
            assert field.attributes.get("id") in labelled or id(field) in inside, field
    for button in read.all("button"):
        assert button.text or button.attributes.get("aria-label"), button
    for picture in read.all("svg"):
        assert "aria-hidden" in picture.attributes or picture.attributes["role"] == "img"
    for name in ("aria-labelledby", "for"):
        named = {one.attributes[name] for one in read.walk() if name in one.attributes}
        assert named <= set(ids), name


@pytest.mark.parametrize("place", PAGES)
def test_what_people_are_called_is_never_markup(desk: Desk, place: str) -> None:
    read = opened(desk, place, **PAGES[place])
    assert not [one for one in read.walk() if one.tag in {"img", "b"} and one.attributes]
    scripts = read.all("script")
    assert [one.attributes.get("src") for one in scripts] == [
        "/dashboard/static/vendor/htmx.min.js"
    ]
    assert not scripts[0].text
    for one in read.walk():
        assert not [name for name in one.attributes if name.startswith("on") or name == "style"]
        for name in ("href", "src", "action", "hx-get", "hx-post", "formaction"):
            target = one.attributes.get(name, "/dashboard/")
            assert target.startswith(("/dashboard/", "#main")), (name, target)
    assert "7006652" not in read.text  # templates in names are not run


def test_hostile_names_are_found_and_lead_to_their_pages(desk: Desk) -> None:
    (found,) = opened(desk, "", q=EVIL_USER).of_class("people")
    link = found.all("a")[0]
    assert link.text == " ".join(EVIL_USER.split())
    answer = desk.read.get(link.attributes["href"])
    assert page(answer.text).all("h1")[0].text == " ".join(EVIL_USER.split())
    link = opened(desk, "items", q=EVIL_TITLE).of_class("rows")[0].all("a")[0]
    assert parse_qs(urlsplit(link.attributes["href"]).query)["item_id"] == [EVIL_ITEM]
    read = page(desk.read.get(link.attributes["href"]).text)
    assert read.all("h1")[0].text == " ".join(EVIL_TITLE.split())


def test_a_list_is_the_one_that_the_service_gives(desk: Desk) -> None:
    user = some_user(desk)
    read = opened(desk, "listener", user_id=user, k="7")
    expected = desk.model.recommend(user=user, k=7)
    cards = read.of_class("card")
    assert [card.of_class("id")[0].text for card in cards] == [one.item_id for one in expected]
    assert [card.all("h3")[0].all("a")[0].text for card in cards] == [
        " ".join((one.title or one.item_id).split()) for one in expected
    ]
    labels = [one.text for one in read.all("form", id="crossfader")[0].all("label")]
    assert labels == list(desk.service.versions.current().bases())
    shares = [int(one.text.split()[0]) for one in read.all("output")]
    assert 99 <= sum(shares) <= 101


def test_a_mix_says_what_it_would_change(desk: Desk) -> None:
    user, live = some_user(desk), desk.service.versions.current()
    before = ["track-00", "gone-for-ever"]
    asked = {"user_id": user, "at": "2000000000000000", "before": before}
    answer = desk.read.get(
        "/dashboard/what-if", params={**asked, "w.popularity": "30", "w.item_knn": "10"}
    )
    read = page(answer.text)
    assert [one.text for one in read.all("output")] == ["75 %", "25 %", "0 %"]
    assert {one.attributes["hx-swap-oob"] for one in read.all("output")} == {"true"}
    assert len(read.of_class("card")) == 10
    assert "not what is served" in read.of_class("banner")[0].text
    assert not read.of_class("react")
    (first, *_), moved = read.of_class("card"), read.of_class("move")
    assert len(moved) >= 9
    served = [one.of_class("id")[0].text for one in read.of_class("card")]
    again = desk.read.get(
        "/dashboard/what-if",
        params={**asked, "before": served, "w.popularity": "3", "w.item_knn": "1"},
    )
    assert not page(again.text).of_class("move")
    assert "Nothing moved." in page(again.text).of_class("banner")[0].text
    silent = desk.read.get("/dashboard/what-if", params={**asked, "w.popularity": "0"})
    assert "no list" in page(silent.text).text
    assert first.all("h3")
    assert live.bases() == ("popularity", "item_knn", "genre_popularity")


@pytest.mark.parametrize(
    "wrong",
    [
        {"w.popularity": "101"},
        {"w.popularity": "-1"},
        {"w.popularity": "nan"},
        {"w.popularity": "²"},
        {"w.oracle": "5"},
        {"at": "x", "w.popularity": "5"},
        {"session_id": "both", "w.popularity": "5"},
        {"before": ["x"] * 51, "w.popularity": "5"},
        {"items": "\x00", "w.popularity": "5"},
    ],
)
def test_what_is_no_mix_is_told_in_one_line(desk: Desk, wrong: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"user_id": "u", "at": "0", **wrong}
    answer = desk.read.get("/dashboard/what-if", params=asked, headers={"HX-Request": "true"})
    assert answer.status_code == 422
    assert answer.headers["hx-retarget"] == "#said"
    assert page(answer.text).all("span", id="fault")[0].text


def test_a_newcomer_starts_from_likes_and_keeps_a_session(desk: Desk) -> None:
    read = opened(desk, "start", items="track-05", q="track-0")
    assert [one.text for one in read.of_class("chips")[0].all("span")] != []
    hidden = {
        one.attributes["name"]: one.attributes["value"] for one in read.all("input", type="hidden")
    }
    assert hidden["items"] == "track-05"
    gone = opened(desk, "start", items="track-05", without="track-05", session_id="s1")
    assert not gone.of_class("chips")
    assert gone.all("input", name="session_id")[0].attributes["value"] == "s1"
    genre = read.all("input", name="genres")[0].attributes["value"]
    asked = {"session_id": "s2", "items": "track-05", "genres": genre}
    shown = opened(desk, "listener", **asked)
    assert shown.all("h1")[0].text == "A newcomer"
    form = shown.of_class("react")[0]
    fields = {one.attributes["name"]: one.attributes["value"] for one in form.all("input")}
    assert {**asked, **fields} == fields


def test_a_reaction_is_an_event_and_the_list_says_what_moved(desk: Desk) -> None:
    user = some_user(desk)
    read = opened(desk, "listener", user_id=user)
    shown = [one.attributes["value"] for one in read.all("input", name="before")]
    form = read.of_class("react")[2]
    fields: dict[str, object] = {
        one.attributes["name"]: one.attributes["value"] for one in form.all("input")
    }
    sent = {**fields, "event": "like", "before": shown}
    for _ in range(2):  # pressed twice, it counts once
        answer = desk.write.post("/dashboard/react", data=sent, headers={"HX-Request": "true"})
        assert answer.status_code == 200, answer.text
    (stored,) = desk.service.log.events_of(user_id=user)
    assert (stored.event.item_id, stored.event.event) == (shown[2], "like")
    assert stored.event.request_id == fields["request_id"]
    after = page(answer.text)
    assert "Liked." in after.all("p", id="said")[0].text
    assert "1 since the version was fitted" in after.text
    now = [one.attributes["value"] for one in after.all("input", name="before")]
    expected = moves(now, shown)
    assert [one.text for one in after.of_class("move")] == [
        "new" if by is None else f"↑ {by}up {by}" if by > 0 else f"↓ {-by}down {-by}"
        for by in expected.by.values()
        if by is None or by
    ]
    plain = desk.write.post("/dashboard/react", data={**sent, "event": "skip"})
    assert plain.status_code == 303  # without a script the page is asked for again
    assert parse_qs(urlsplit(plain.headers["location"]).query) == {"user_id": [user]}
    assert [one.event.event for one in desk.service.log.events_of(user_id=user)] == ["like", "skip"]


def test_a_history_shows_weights_of_lists_and_what_happened(desk: Desk) -> None:
    user = desk.service.versions.current().users("listener", 3)[2]
    for _ in range(3):
        assert desk.app.post("/v1/recommendations", json={"user_id": user}).status_code == 200
    form = opened(desk, "listener", user_id=user).of_class("react")[0]
    fields = {one.attributes["name"]: one.attributes["value"] for one in form.all("input")}
    desk.write.post("/dashboard/react", data={**fields, "event": "skip"})
    for _ in range(200):
        if len(desk.service.log.impressions_of(user_id=user)) >= 3:
            break
        time.sleep(0.01)
    read = opened(desk, "history", user_id=user)
    weights, events = read.all("table")
    assert len(weights.all("tr")) >= 4
    assert len(read.of_class("chart")[0].all("rect")) >= 3
    assert [one.text for one in events.all("tr")[1].all("td")][2:] == ["skip", "0"]
    assert events.all("tr")[2].all("td")[2].text == "in the log"


def test_data_tells_counts_and_gaps(desk: Desk) -> None:
    read, data = opened(desk, "data"), desk.model.dataset
    assert f"{data.n_events:,}" in read.text
    rows = {
        row.all("th")[0].text: row.all("td")[-1].text
        for row in read.all("section", **{"aria-labelledby": "columns-title"})[0].all("tr")[1:]
    }
    missing = data.items["energy"].null_count() / data.n_items
    assert rows["energy"] == f"{100 * missing:.1f} %"


def test_moves_are_counted_from_the_list_before() -> None:
    found = moves(["c", "a", "d"], ["a", "b", "c"])
    assert found.by == {"c": 2, "a": -1, "d": None}
    assert found.gone == ("b",)
    assert str(found) == "1 new, 2 elsewhere, 1 gone."
    assert str(moves(["a"], ["a"])) == "nothing moved."


def test_a_bar_of_shares_is_whole() -> None:
    parts = segments(["a", "b", "c"], {"c": 3.0, "a": 1.0})
    assert [(one.label, one.colour, one.start, one.length) for one in parts] == [
        ("a", 0, 0.0, 25.0),
        ("c", 2, 25.0, 75.0),
    ]
    assert segments(["a"], {}) == []
    assert mean_weights([{"a": 1.0}, {}, {"a": 0.5, "b": 0.5}]) == {"a": 0.75, "b": 0.25}
    assert mean_weights([{}]) == {}
