"""Whoever looks at a list is not the one it is for: nothing of it counts as shown."""

from dataclasses import replace

import numpy as np
import pytest
from tests.service.dashboard.conftest import SHELF, Desk
from tests.service.dashboard.markup import Element, page

from crossfade.experiments.assignment import place
from crossfade.experiments.kept import analysed
from crossfade.online import Ask, LiveSystem
from crossfade.service.impressions import Impressions
from crossfade.service.state import now_us
from crossfade.store.log import Impression


def looked(desk: Desk, user: str) -> Element:
    return page(desk.write.get("/dashboard/listener", params={"user_id": user}).text)


def taker(desk: Desk) -> str:
    """Somebody whose lists are those of the arm that mixes."""
    ids: list[str] = desk.model.dataset.user_ids.ids.to_list()
    return next(user for user in ids if place(SHELF.name, user, SHELF.traffic, [1, 1]) == 1)


def test_looking_and_liking_there_leave_impressions_and_experiments_as_they_are(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, log = taker(desk), desk.service.log
    added: list[Impression] = []
    monkeypatch.setattr(Impressions, "add", lambda _, one: added.append(one))
    told = desk.app.post("/v1/recommendations", json={"user_id": user}).json()
    assert (told["experiment"], told["arm"]) == ("shelf", "mixed")
    log.add_impressions(added)
    later = now_us() + 20 * 86_400_000_000

    def counts() -> str:
        """What the arms are told to have, and the lists that were given."""
        told = desk.app.get("/metrics").text.splitlines()
        given = [line for line in told if line.startswith("crossfade_lists_total")]
        return repr(analysed(log, log.experiments.get(SHELF.name), later).arms) + str(given)

    before = counts()
    assert "n=1," in before
    assert "crossfade_lists_total{" in before
    read = looked(desk, user)
    plain = desk.model.recommend(user=user, k=10)
    shown = [one.of_class("id")[0].text for one in read.of_class("card")]
    assert shown == [one.item_id for one in plain] != [one["item_id"] for one in told["items"]]
    assert "take part in experiment shelf, arm mixed" in read.text
    # Liked: something that the list which was really shown holds too.
    common = [item for item in shown if item in {one["item_id"] for one in told["items"]}]
    at = shown.index(common[0])
    form = read.of_class("react")[at]
    fields = {one.attributes["name"]: one.attributes["value"] for one in form.all("input")}
    done = desk.write.post("/dashboard/react", data={**fields, "event": "like"})
    assert done.status_code == 303
    assert [one.event.item_id for one in log.events_of(user_id=user)] == [common[0]]
    looked(desk, user)
    assert len(added) == 1
    assert counts() == before


def test_a_list_says_when_reactions_tilt_the_blend(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not looked(desk, "somebody").of_class("tilt")
    answer = LiveSystem.answer

    def tilted(live: LiveSystem, asks: list[Ask]) -> list[object]:
        by = dict(zip(live.bases(), np.linspace(-0.5, 0.25, 3).tolist(), strict=True))
        return [replace(one, adaptation=by) for one in answer(live, asks)]  # type: ignore[type-var]

    monkeypatch.setattr(LiveSystem, "answer", tilted)
    read = looked(desk, "somebody")
    (line,) = read.of_class("tilt")
    assert "popularity -0.50, item_knn -0.12, genre_popularity +0.25" in line.text
    fields = {one.attributes["name"]: one.attributes["value"] for one in read.all("input")}
    assert fields["adapted"] == "true"
    asked = {"user_id": "somebody", "at": fields["at"], "w.popularity": "5"}
    for adapted in ("true", "false"):
        part = page(desk.read.get("/dashboard/what-if", params={**asked, "adapted": adapted}).text)
        said = "What their own reactions add is left out" in part.of_class("banner")[0].text
        assert said == (adapted == "true")
