"""Experiments in the browser: what is told of one, and what an admin may do with it."""

import math
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.service.dashboard.conftest import Desk
from tests.service.dashboard.markup import Element, page

from crossfade.errors import StoreError
from crossfade.experiments.analysis import Analysis, ArmResult, Comparison
from crossfade.experiments.assignment import place
from crossfade.experiments.intervals import Interval
from crossfade.service import experiments
from crossfade.service.dashboard.charts import Scale
from crossfade.service.dashboard.experiments import EXAMPLE


def opened(desk: Desk, place: str, **asked: str) -> Element:
    answer = desk.admin.get(f"/dashboard/{place}", params=asked)
    assert answer.status_code == 200, answer.text
    return page(answer.text)


def shown(desk: Desk, monkeypatch: pytest.MonkeyPatch, found: Analysis) -> Element:
    """The page of an experiment of which this is found."""
    monkeypatch.setattr(experiments, "analysed", lambda *_: found)
    return opened(desk, "experiment", name="shelf", says="true")


ARMS = [
    ArmResult("as-is", 0.5, 120, 110, 220, 1.5, Interval(1.25, 1.75), {"v1": 200, "v2": 20}),
    ArmResult("mixed", 0.5, 130, 115, 230, 1.75, Interval(1.5, 2.0), {"v2": 230}),
]
BETTER = Comparison(
    "mixed", 225, 60, 0.25, Interval(0.125, 0.375), Interval(0.0625, 0.4375), 900, "better"
)


def test_what_an_experiment_says_is_asked_for_once_the_page_is_there(desk: Desk) -> None:
    read = opened(desk, "experiment", name="shelf")
    (later,) = [one for one in read.walk() if one.attributes.get("id") == "says"]
    assert later.attributes["hx-trigger"] == "load"
    assert not later.all("table")
    asked = urlsplit(later.attributes["hx-get"])
    found = page(desk.read.get(f"{asked.path}?{asked.query}").text)
    (says,) = [one for one in found.walk() if one.attributes.get("id") == "says"]
    assert [row.all("th")[0].text for row in says.all("tr")[1:]] == ["as-is", "mixed"]
    assert says.of_class("badge")[0].text == "go on"
    assert not says.of_class("whisker")  # no interval is known yet
    assert desk.read.get("/dashboard/experiment?name=no-such").status_code == 404


def test_estimates_come_with_both_intervals_and_a_verdict(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = shown(desk, monkeypatch, Analysis(ARMS, [BETTER], 0.5, mismatch=False))
    (one,) = read.of_class("versus")
    for said in ("Better: stop, and take it.", "+0.2500", "+0.0625 to +0.4375", "+0.1250 to +0.3750",
                 "225, 60 known from before", "900"):  # fmt: skip
        assert said in one.text, said
    always, once = (one.all("path", **{"class": name})[0] for name in ("always", "once"))
    scale = Scale(-0.1, 0.4375)
    ends = (f"M{scale.at(0.0625):.2f} 10H{scale.at(0.4375):.2f}",
            f"M{scale.at(0.125):.2f} 20H{scale.at(0.375):.2f}")  # fmt: skip
    assert (always.attributes["d"], once.attributes["d"]) == ends
    row = [cell.text for cell in read.all("table")[0].all("tr")[2].all("td")]
    assert row == ["50.0 %", "130", "115", "230", "1.7500", "1.5000 to 2.0000"]
    assert "Arms got their shares (p = 0.5)" in read.text
    assert "as-is was answered by v1 (200 lists) and v2 (20 lists)" in read.text
    assert "mixed was answered" not in read.text


def test_arms_without_their_shares_are_told_first(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = shown(desk, monkeypatch, Analysis(ARMS, [], 1e-5, mismatch=True))
    assert "p = 1e-05" in read.all("p", role="alert")[0].text
    assert "Arms got their shares" not in read.text
    nobody = shown(desk, monkeypatch, Analysis(ARMS, [], math.nan, mismatch=False))
    assert "Nobody was seen yet." in nobody.text


def test_an_admin_begins_grows_and_stops_one(desk: Desk) -> None:
    def send(what: str, **fields: str) -> str:
        done = desk.admin.post(f"/dashboard/experiments/{what}", data=fields)
        assert done.status_code == 303, done.text
        return done.headers["location"]

    settings = opened(desk, "experiments").all("textarea")[0].text
    assert settings.split() == EXAMPLE.split()
    where = send("begin", settings=EXAMPLE.replace("shelf", "made-here"))
    assert parse_qs(urlsplit(where).query) == {"name": ["made-here"]}
    assert desk.service.assigning._running[-1].name == "made-here"
    forms = opened(desk, "experiment", name="made-here").all("form")
    assert len([one for one in forms if "hx-confirm" in one.attributes]) == 2
    send("grow", name="made-here", percent="12.5")
    assert desk.service.assigning._running[-1].traffic == 0.125
    send("stop", name="made-here")
    assert desk.service.assigning._running[-1].name == "shelf"
    stopped = opened(desk, "experiment", name="made-here")
    assert not [one for one in stopped.all("form") if "hx-confirm" in one.attributes]
    steps = [one.text.split(maxsplit=2)[2] for one in stopped.all("ol")[0].all("li")]
    assert steps == ["10 %", "12.5 %", "stopped"]
    seen = page(desk.read.get("/dashboard/experiments").text)
    assert seen.all("tr")[1].all("td")[-1].text == "stopped"
    assert not seen.all("textarea")


def test_arms_of_another_version_are_told_and_why_nobody_takes_part(desk: Desk) -> None:
    other = next(one.version for one in desk.service.versions.list() if not one.promoted)
    arm = f'name = "mixed"\nversion = "{other}"\nadapt = false\n'
    settings = EXAMPLE.replace("shelf", "other").replace('name = "mixed"\n', arm)
    desk.admin.post("/dashboard/experiments/begin", data={"settings": settings})
    held = desk.service.assigning.beside
    read = opened(desk, "experiment", name="other")
    assert [one.text for one in read.of_class("changes")[0].all("dd")] == [
        "nothing",
        f'version = "{other}", adapt = false, diversity = 0.3',
    ]
    assert not read.all("p", role="alert")
    held.lose(held.held[other], StoreError("it went away"))
    for says in ("false", "true"):
        read = opened(desk, "experiment", name="other", says=says)
        assert read.all("p", role="alert")[0].text == "Nobody takes part here: it went away"
    desk.admin.post("/dashboard/experiments/stop", data={"name": "other"})
    assert not opened(desk, "experiment", name="other").all("p", role="alert")
    assert not held.held


def test_interleaved_arms_are_told_as_such(desk: Desk) -> None:
    settings = EXAMPLE.replace('"shelf"', '"both"\ndesign = "interleaved"').replace(
        "0.1\n\n", "1.0\n\n"
    )
    desk.admin.post("/dashboard/experiments/begin", data={"settings": settings})
    users = desk.model.dataset.user_ids.ids.to_list()
    user = next(one for one in users if place("shelf", one, 0.5, [1, 1]) is None)
    desk.app.post("/v1/recommendations", json={"user_id": user})
    desk.service.impressions.close()
    read = opened(desk, "experiment", name="both", says="true")
    for said in ("interleaved: each list is drawn from both arms", "Arms began equally many lists"):
        assert said in read.text, said
    assert "known from before" not in read.text
    listener = opened(desk, "listener", user_id=user)
    assert "experiment both, whose arms are interleaved." in listener.text
    desk.admin.post("/dashboard/experiments/stop", data={"name": "both"})


@pytest.mark.parametrize(
    ("what", "fields", "status", "said"),
    [
        ("begin", {"settings": "name ="}, 422, "not TOML"),
        ("begin", {"settings": 'name = "x"'}, 422, "minimal_effect is missing"),
        ("begin", {"settings": EXAMPLE}, 409, "there is or was"),
        ("grow", {"name": "shelf", "percent": "101"}, 422, "percent"),
        ("grow", {"name": "shelf", "percent": "1"}, 409, "may only grow"),
        ("stop", {"name": "no-such"}, 404, "no experiment"),
        ("stop", {}, 422, "name"),
    ],
)
def test_what_cannot_be_is_told_on_a_page(
    desk: Desk, what: str, fields: dict[str, str], status: int, said: str
) -> None:
    refused = desk.admin.post(f"/dashboard/experiments/{what}", data=fields)
    assert refused.status_code == status, refused.text
    assert said in page(refused.text).all("p", id="fault")[0].text
