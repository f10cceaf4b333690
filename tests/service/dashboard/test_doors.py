"""Who sees and does what in a browser, and what browsers are told to refuse."""

import time
from http.cookies import SimpleCookie
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.service.dashboard.conftest import HOME, Desk
from tests.service.dashboard.markup import page

from crossfade.service.app import create_app
from crossfade.service.config import ServiceConfig
from crossfade.service.dashboard.sessions import COOKIE
from crossfade.service.state import Service, now_us
from crossfade.service.versions import Source
from crossfade.store import Registry

SEEN = (
    *("", "start", "listener?user_id=u", "history?user_id=u", "items", "versions", "data"),
    *("experiments", "experiment?name=shelf", "monitoring"),
)
RUN = (
    "versions/promote",
    "versions/rollback",
    *(f"experiments/{what}" for what in ("begin", "grow", "stop")),
)
"""What only an admin may do."""
REACTION = {
    "user_id": "u",
    "item_id": "track-001",
    "event": "like",
    "request_id": "r",
    "place": "1",
}


def fresh(desk: Desk) -> TestClient:
    """A browser that was never here."""
    return TestClient(desk.nobody.app, HOME, follow_redirects=False, headers={"Origin": HOME})


@pytest.mark.parametrize("place", SEEN)
def test_who_is_not_signed_in_is_asked_for_a_key(desk: Desk, place: str) -> None:
    answer = fresh(desk).get(f"/dashboard/{place}")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/dashboard/login")
    part = fresh(desk).get(f"/dashboard/{place}", headers={"HX-Request": "true"})
    assert part.headers["hx-redirect"].startswith("/dashboard/login")
    assert not part.text


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites_and_is_not_the_key(
    desk: Desk,
) -> None:
    key = desk.service.log.add_key("me", "read", now_us())
    browser = fresh(desk)
    done = browser.post("/dashboard/login", data={"key": f" {key} ", "back": "/dashboard/data?x=1"})
    assert (done.status_code, done.headers["location"]) == (303, "/dashboard/data?x=1")
    cookie = SimpleCookie(done.headers["set-cookie"])[COOKIE]
    assert cookie["httponly"]
    assert cookie["samesite"].lower() == "strict"
    assert cookie["path"] == "/dashboard"
    assert not cookie["secure"]
    assert key.split("_")[2] not in cookie.value
    assert browser.get("/dashboard/data").status_code == 200
    # It opens pages and nothing else: other sites could make a browser send it there.
    assert browser.get("/v1/models").status_code == 401
    assert browser.post("/dashboard/logout").status_code == 303
    assert browser.get("/dashboard/data").status_code == 303
    over = fresh(desk).post(
        "/dashboard/login", data={"key": key}, headers={"Origin": "https://localhost"}
    )
    assert SimpleCookie(over.headers["set-cookie"])[COOKIE]["secure"]  # TLS ended at a proxy


@pytest.mark.parametrize("given", ["", "cf_x_y", "' OR 1=1 --", "cf_" + "0" * 16 + "_" + "0" * 64])
def test_what_is_no_key_opens_nothing(desk: Desk, given: str) -> None:
    answer = fresh(desk).post("/dashboard/login", data={"key": given})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "opens nothing" in page(answer.text).all("p", role="alert")[0].text


@pytest.mark.parametrize(
    "back",
    ["https://evil.example/", "//evil.example/dashboard", "/dashboard/../v1", "/v1/models", "javascript:x",
     "/dashboard/logout", "/\\evil.example", "/dashboardx"],
)  # fmt: skip
def test_signing_in_leads_nowhere_else(desk: Desk, back: str) -> None:
    key = desk.service.log.add_key("me", "read", now_us())
    done = fresh(desk).post("/dashboard/login", data={"key": key, "back": back})
    assert done.headers["location"].rstrip("/") == "/dashboard"


def test_a_forged_or_old_cookie_or_that_of_a_revoked_key_opens_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = desk.service.log.add_key("me", "read", now_us())
    browser = fresh(desk)
    browser.post("/dashboard/login", data={"key": key})
    cookie = browser.cookies[COOKIE]
    id_, until, signature = cookie.split(".")
    admin = desk.service.log.add_key("boss", "admin", now_us()).split("_")[1]
    for forged in (
        f"{admin}.{until}.{signature}",
        f"{id_}.{int(until) + 1}.{signature}",
        f"{id_}.{until}.{'0' * 64}",
        "x" * 5_000,
    ):
        answer = fresh(desk).get("/dashboard/data", headers={"Cookie": f"{COOKIE}={forged}"})
        assert answer.status_code == 303, forged
        assert browser.get("/dashboard/data").status_code == 200
    # What was looked up is remembered for seconds; here it is not.
    monkeypatch.setattr("crossfade.service.access.REMEMBERED_S", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: float(until))
        # Sent by hand, as a browser would no longer send it.
        old = fresh(desk).get("/dashboard/data", headers={"Cookie": f"{COOKIE}={cookie}"})
        assert old.status_code == 303
        patch.setattr(time, "time", lambda: 0.0)  # a clock that jumped back keeps nobody out
        assert browser.get("/dashboard/data").status_code == 200
    assert browser.get("/dashboard/data").status_code == 200
    assert desk.service.log.revoke_key(id_, now_us())
    assert browser.get("/dashboard/data").status_code == 303


def test_a_role_decides_what_is_shown_and_what_is_done(desk: Desk) -> None:
    shown = {
        role: (
            len(
                page(getattr(desk, role).get("/dashboard/listener?user_id=u").text).of_class(
                    "react"
                )
            ),
            "Promote" in getattr(desk, role).get("/dashboard/versions").text,
        )
        for role in ("read", "write", "admin")
    }
    assert shown == {"read": (0, False), "write": (10, False), "admin": (10, True)}
    assert desk.read.post("/dashboard/react", data=REACTION).status_code == 403
    for role in (desk.read, desk.write):
        for place in RUN:
            assert role.post(f"/dashboard/{place}", data={"version": "x"}).status_code == 403


@pytest.mark.parametrize(
    "origin", ["", "null", "https://evil.example", "http://localhost:81", "file://localhost"]
)
def test_forms_of_other_pages_are_refused(desk: Desk, origin: str) -> None:
    n_before = desk.service.log.last_sequence()
    for place in ("react", *RUN, "logout", "login"):
        answer = desk.admin.post(f"/dashboard/{place}", data=REACTION, headers={"Origin": origin})
        assert answer.status_code == 403, place
    assert desk.service.log.last_sequence() == n_before


def test_versions_are_promoted_and_rolled_back(desk: Desk, registry: Path) -> None:
    first = desk.service.versions.current().version
    (second,) = [one.version for one in Registry(registry).versions() if one.version != first]
    done = desk.admin.post("/dashboard/versions/promote", data={"version": second})
    assert (done.status_code, done.headers["location"]) == (303, "/dashboard/versions")
    assert desk.service.versions.current().version == second
    serving = page(desk.read.get("/dashboard/versions").text).of_class("serving")
    assert [one.all("code")[0].text for one in serving] == [second[:12]]
    desk.admin.post("/dashboard/versions/rollback")
    assert desk.service.versions.current().version == first
    wrong = desk.admin.post("/dashboard/versions/promote", data={"version": "nothing"})
    assert wrong.status_code == 409
    assert "nothing" in page(wrong.text).all("p", id="fault")[0].text


def test_browsers_are_told_to_load_nothing_from_elsewhere_and_to_keep_nothing(desk: Desk) -> None:
    for answer in (
        desk.read.get("/dashboard/"),
        desk.nobody.get("/dashboard/no/such/page"),
        desk.nobody.get("/dashboard/static/dashboard.css"),
        desk.nobody.get("/dashboard/static/vendor/htmx.min.js"),
    ):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'self';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert desk.read.get("/dashboard/").headers["cache-control"] == "no-store"


def test_files_are_kept_by_browsers_and_there_are_no_others(desk: Desk) -> None:
    told = desk.nobody.get("/dashboard/static/vendor/htmx.min.js")
    assert told.headers["cache-control"] == "public, max-age=300"
    assert len(told.content) < 200_000
    again = desk.nobody.get(
        "/dashboard/static/vendor/htmx.min.js", headers={"If-None-Match": told.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    for name in (
        "../app.py",
        "..%2fapp.py",
        "vendor/../../app.py",
        "vendor/README.md",
        "x",
        "/etc/passwd",
    ):
        assert desk.nobody.get(f"/dashboard/static/{name}").status_code == 404, name


def test_pages_are_counted_under_their_own_places(desk: Desk) -> None:
    desk.read.get("/dashboard/items")
    text = desk.service.meters.text().decode()
    assert 'route="/dashboard/items"' in text
    assert "evil" not in text


def test_without_keys_everybody_on_this_machine_may_and_nobody_else_can_send(
    registry: Path, tmp_path: Path
) -> None:
    config = ServiceConfig(database=f"sqlite:///{tmp_path / 'log.db'}", keys=False, workers=0)
    app = create_app(Service.start(config, Source(None, registry)))
    with TestClient(app, HOME, follow_redirects=False) as browser:
        assert browser.get("/dashboard/").status_code == 200
        assert "Sign out" not in browser.get("/dashboard/").text
        ours = browser.post("/dashboard/react", data=REACTION, headers={"Origin": HOME})
        assert ours.status_code == 303
        # A name of somebody else's that was made to lead to this machine.
        named = {"Origin": "http://evil.example", "Host": "evil.example"}
        assert browser.post("/dashboard/react", data=REACTION, headers=named).status_code == 403
