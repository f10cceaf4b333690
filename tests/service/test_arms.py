"""Arms that switch adaptation, or that another version answers."""

import gc
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.online.systems import cut, fit, world
from tests.service.conftest import Running, Start
from tests.service.reacting import EASY, USER, WHO, asked, counting, follow, ids, put, react

from crossfade.errors import BundleError, ConfigError, CrossfadeError
from crossfade.experiments import Experiment
from crossfade.experiments.assignment import place
from crossfade.experiments.interleaving import coins, team_draft
from crossfade.experiments.kept import begin
from crossfade.hybrid import HybridModel
from crossfade.meta.serving import Filters
from crossfade.online import Answer, Ask, LiveSystem
from crossfade.service import beside
from crossfade.service.state import now_us
from crossfade.service.workers import System
from crossfade.store import Registry

ADAPTED = {"heads": EASY, "adapt_share": 1.0}


@pytest.fixture
def bundle(learned_bundle: Path) -> Path:
    """That with a learned blend."""
    return learned_bundle


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A system without a learned blend, in which other items and users have other rows."""
    log = cut(world(n_tracks=400))[0]
    log = log.without_items(np.arange(30, dtype=np.int32)).without_users(
        np.arange(3, dtype=np.int32)
    )
    directory = tmp_path_factory.mktemp("small") / "bundle"
    fit(log, min_requests=10**6).save(directory)
    return directory


@pytest.fixture
def registry(small: Path, learned_bundle: Path, tmp_path: Path) -> Registry:
    """Both versions; the small one serves."""
    made, now = Registry(tmp_path / "registry"), datetime.now(UTC)
    versions = [made.adopt(place, now) for place in (small, learned_bundle)]
    made.promote(versions[0], now)
    return made


def versions_of(registry: Registry) -> tuple[str, str]:
    """The one that serves at first, and the other one."""
    newest, oldest = registry.versions()
    return oldest.version, newest.version


def experiment(arm: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Settings that have ``USER`` in this arm."""
    name = next(n for n in (f"try-{i}" for i in range(99)) if place(n, USER, 1.0, [1, 1]) == 1)
    return {"name": name, "arms": [{"name": "as-is"}, {"name": "other", **arm}],
            "minimal_effect": 0.1, "planned": 1000, **more}  # fmt: skip


def begun(running: Running, arm: dict[str, Any]) -> str:
    """Begin an experiment that has ``USER`` in this arm; its name."""
    done = running.admin.post("/v1/experiments", json=experiment(arm))
    assert done.status_code == 201, done.text
    return str(done.json()["name"])


def in_control(name: str) -> str:
    return next(u for u in (f"u{i}" for i in range(99)) if place(name, u, 1.0, [1, 1]) == 0)


def stored(running: Running, user: str) -> object:
    return running.service.log.heads.get(user_id=user)


def test_an_arm_adapts_where_the_service_does_not_and_nobody_else_is_learned_from(
    start: Start,
) -> None:
    running = start(adapt=False, **ADAPTED)
    before = asked(running)
    name = begun(running, {"adapt": True})
    put(running, counting(running))
    told = asked(running)
    assert (told["arm"], told["adaptation_applied"]) == ("other", True)
    assert ids(told) != ids(before)
    pairs = {"user_id": USER, "item_ids": ids(before)}
    adapted = running.read.post("/v1/predictions", json=pairs).json()["items"]
    control = in_control(name)
    put(running, counting(running), user_id=control)
    assert not asked(running, user_id=control)["adaptation_applied"]
    head = stored(running, control)
    react(running, ids(told)[-1], user_id=control)
    assert stored(running, control) == head  # nothing was learned
    follow(running, 1)
    assert running.service.heads.of(WHO) is not None
    assert "crossfade_adaptation_seconds_count 2.0" in running.read.get("/metrics").text
    running.admin.post(f"/v1/experiments/{name}/stop")
    assert not asked(running)["adaptation_applied"]
    assert running.read.post("/v1/predictions", json=pairs).json()["items"] != adapted


def test_an_arm_without_adaptation_serves_what_a_service_without_it_would(start: Start) -> None:
    plain = ids(asked(start(adapt=False)))
    running = start(adapt=True, **ADAPTED)
    put(running, counting(running))
    assert ids(asked(running)) != plain
    name = begun(running, {"adapt": False})
    told = asked(running, explain=True)
    assert (told["arm"], told["adaptation_applied"], ids(told)) == ("other", False, plain)
    assert not any(note["type"] == "adapted" for line in told["items"] for note in line["notes"])
    head = stored(running, USER)
    react(running, ids(told)[0])
    assert stored(running, USER) == head
    control = in_control(name)
    react(running, ids(told)[0], user_id=control)
    assert running.service.heads.settled(10)
    assert stored(running, control) is not None


def test_in_an_experiment_nobodys_head_is_held_back(start: Start) -> None:
    running = start(adapt=True, adapt_held_back=0.999, **ADAPTED)
    put(running, counting(running))
    assert not asked(running)["adaptation_applied"]
    begun(running, {"adapt": True})
    told = asked(running)
    assert told["adaptation_applied"]
    running.service.impressions.close()
    shown = running.service.log.impression(told["request_id"])
    assert shown is not None
    assert shown.shadow is None  # chance decided nothing


# -- another version -----------------------------------------------------------------------


def test_an_arm_is_answered_by_its_version_and_that_is_written_down(
    start: Start, registry: Registry
) -> None:
    running = start(registry.directory)
    first, second = versions_of(registry)
    name = begun(running, {"version": second})
    gone = ids(asked(running))[0]
    assert running.write.put(
        "/v1/item", params={"item_id": gone}, json={"available": False}
    ).is_success
    react(running, ids(asked(running))[3])
    told = asked(running, explain=True)
    assert (told["arm"], told["version"]) == ("other", second)
    events = running.service.people.recent(WHO).events
    filters = Filters((gone,), None, ())
    (alone,) = LiveSystem(HybridModel.load(registry.path(second))).answer(
        [Ask(USER, events, now_us=now_us(), filters=filters)]
    )
    assert isinstance(alone, Answer)
    assert ids(told) == [line.item_id for line in alone.recommendations]
    assert told["n_history"] == alone.n_history > told["n_live"] == 1
    control = in_control(name)
    other = asked(running, user_id=control)
    assert (other["arm"], other["version"]) == ("as-is", first)
    assert gone not in ids(other)
    for place_, body in (
        ("predictions", {"item_ids": [gone]}),
        ("explanations", {"item_id": gone}),
    ):
        for user, version in ((USER, second), (control, first)):
            answer = running.read.post(f"/v1/{place_}", json={"user_id": user, **body})
            assert answer.json()["version"] == version
    assert asked(running, user_id=USER, diversity=0.0)["version"] == first
    running.service.impressions.close()
    for one in (told, other):
        shown = running.service.log.impression(one["request_id"])
        assert shown is not None
        assert (shown.version, shown.arm) == (one["version"], one["arm"])


def test_an_arm_whose_version_is_slow_holds_up_nobody_else(
    start: Start, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start(registry.directory)
    first, second = versions_of(registry)
    name = begun(running, {"version": second})
    held, hold = running.service.assigning.beside.held[second], threading.Event()
    answer, seen = held.answer, list[str]()

    def slow(asks: Sequence[Ask]) -> list[Answer | CrossfadeError]:
        assert hold.wait(30)
        return answer(asks)

    monkeypatch.setattr(held, "answer", slow)
    threads = [
        threading.Thread(target=lambda: seen.append(asked(running)["version"])) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for _ in range(3):
        assert asked(running, user_id=in_control(name))["version"] == first
    assert not seen
    hold.set()
    for thread in threads:
        thread.join()
    assert seen == [second] * 4


def test_an_arm_keeps_its_version_whatever_serves_and_lets_it_go_at_the_end(
    start: Start, registry: Registry
) -> None:
    running = start(registry.directory)
    first, second = versions_of(registry)
    name = begun(running, {"version": first})
    control = in_control(name)

    def versions() -> list[str]:
        return [asked(running, user_id=user)["version"] for user in (control, USER)]

    assert versions() == [first, first]
    # One system, not two, where both are the same version.
    service = running.service
    assert service.assigning.beside.held[first] is service.versions.current()
    assert running.admin.post("/v1/models/promote", json={"version": second}).is_success
    assert versions() == [second, first]
    held = weakref.ref(service.assigning.beside.held[first])
    assert running.admin.post("/v1/models/rollback").is_success
    assert service.versions.current() is held()
    assert versions() == [first, first]
    assert running.admin.post("/v1/models/promote", json={"version": second}).is_success
    service.impressions.close()
    arms = running.read.get(f"/v1/experiments/{name}").json()["analysis"]["arms"]
    assert [arm["versions"] for arm in arms] == [{first: 2, second: 1}, {first: 3}]
    assert running.admin.post(f"/v1/experiments/{name}/stop").is_success
    gc.collect()
    assert held() is None
    assert versions() == [second, second]


def test_a_version_that_cannot_be_loaded_is_refused_and_nothing_is_harmed(
    start: Start, registry: Registry
) -> None:
    running = start(registry.directory)
    first, second = versions_of(registry)
    before = asked(running)
    damage(registry, second)
    for version in (second, "no-such-version", "../small"):
        arms = [{"name": "a", "version": first}, {"name": "b", "version": version}]
        refused = running.admin.post("/v1/experiments", json=experiment({}, arms=arms))
        assert refused.status_code == 409, refused.text
        assert version in refused.json()["error"]["message"]
    assert running.read.get("/v1/experiments").json()["experiments"] == []
    assert not running.service.assigning.beside.held
    assert asked(running)["items"] == before["items"]


def test_a_process_that_dies_loading_a_version_harms_nothing(
    start: Start, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start(registry.directory)
    first, second = versions_of(registry)

    def die(_: Path) -> System:
        raise BrokenProcessPool

    monkeypatch.setattr("crossfade.service.versions.load", die)
    refused = running.admin.post("/v1/experiments", json=experiment({"version": second}))
    assert refused.status_code == 409
    assert "memory" in refused.json()["error"]["message"]
    assert asked(running)["version"] == first


def test_an_arm_that_could_never_adapt_is_refused(start: Start, registry: Registry) -> None:
    running = start(registry.directory)
    first, second = versions_of(registry)
    refused = running.admin.post("/v1/experiments", json=experiment({"adapt": True}))
    assert refused.status_code == 422
    assert first in refused.json()["error"]["message"]
    begun(running, {"adapt": True, "version": second})
    react(running, ids(asked(running))[0])
    head = running.service.heads.of(WHO)
    assert head is not None
    assert head.version == second


def test_where_a_version_is_missing_nobody_takes_part_in_any_arm(
    start: Start, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "RETRY_S", 0.0)
    _, second = versions_of(registry)
    mend = damage(registry, second)
    running = start(registry.directory, reload_s=1000)
    settings = experiment({"version": second})
    name, log = settings["name"], running.service.log
    begin(log, Experiment(**settings), now_us())
    begin(log, Experiment(**{**experiment({}), "name": "next"}), now_us())
    running.service.assigning.read()
    for user in (USER, in_control(name)):
        assert asked(running, user_id=user)["experiment"] is None
    assert "checksum" in running.read.get(f"/v1/experiments/{name}").json()["problem"]
    assert running.read.get("/v1/experiments/next").json()["problem"] is None
    assert "crossfade_experiments_waiting 1.0" in running.read.get("/metrics").text
    mend()
    running.service.assigning.read()
    assert asked(running)["version"] == second
    assert running.read.get(f"/v1/experiments/{name}").json()["problem"] is None
    # A service that begins later has it before it answers anybody.
    assert asked(start(registry.directory, reload_s=1000))["version"] == second


@pytest.mark.parametrize("error", [BundleError("nothing there"), BrokenProcessPool("it died")])
def test_where_a_version_is_lost_lists_come_without_it_and_are_part_of_nothing(
    start: Start, registry: Registry, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    running = start(registry.directory, reload_s=1000)
    first, second = versions_of(registry)
    name = begun(running, {"version": second})

    def gone(*_: object) -> object:
        raise error

    there = running.service.assigning.beside
    held = there.held[second]
    monkeypatch.setattr(held, "answer", gone)
    loading = threading.Thread(target=there.changing.acquire)  # as while one is loaded
    loading.start()
    loading.join()
    for user in (USER, in_control(name)):
        told = asked(running, user_id=user)
        assert (told["version"], told["experiment"]) == (first, None)
    running.service.impressions.close()
    shown = running.service.log.impression(told["request_id"])
    assert shown is not None
    assert (shown.version, shown.experiment) == (first, None)
    problem = running.read.get(f"/v1/experiments/{name}").json()["problem"]
    assert problem == f"version {second} answers no more: {error}"


def test_one_bundle_has_no_other_version(start: Start) -> None:
    refused = start().admin.post("/v1/experiments", json=experiment({"version": "v2"}))
    assert refused.status_code == 422
    assert "registry" in refused.json()["error"]["message"]


def damage(registry: Registry, version: str) -> Callable[[], object]:
    """Change a byte of a version; what is returned mends it."""
    victim = max(registry.path(version).rglob("*.safetensors"))
    whole = victim.read_bytes()
    victim.unlink()  # files are shared between versions: this one alone is to be damaged
    victim.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    return lambda: victim.write_bytes(whole)


# -- interleaved ---------------------------------------------------------------------------


def test_an_interleaved_list_is_drawn_from_both_arms_and_says_whose_each_item_is(
    start: Start, registry: Registry
) -> None:
    running = start(registry.directory)
    first, second = versions_of(registry)
    arms = [{"name": "as-is", "adapt": False}, {"name": "other", "version": second, "adapt": False}]
    settings = experiment({}, arms=arms, design="interleaved", days=0)
    assert running.admin.post("/v1/experiments", json=settings).status_code == 201
    lists = [
        [line.item_id for line in made.recommend(user=USER, k=10)]
        for made in (HybridModel.load(registry.path(version)) for version in (first, second))
    ]
    told = [asked(running) for _ in range(8)]
    running.service.impressions.close()
    for one in told:
        assert (one["experiment"], one["arm"]) == (settings["name"], None)
        assert one["version"] == f"{first}+{second}"
        shown = running.service.log.impression(one["request_id"])
        assert shown is not None
        tossed = coins(settings["name"], USER, one["request_id"], 10)
        picks = team_draft((lists[0], lists[1]), 10, tossed)
        assert [item.item_id for item in shown.items] == ids(one)
        assert ids(one) == [lists[pick.team][pick.at] for pick in picks]
        assert [item.arm for item in shown.items] == [arms[pick.team]["name"] for pick in picks]
        assert [item.propensity for item in shown.items] == [pick.chance for pick in picks]
        assert [line["rank"] for line in one["items"]] == list(range(1, 11))
    assert len({tuple(ids(one)) for one in told}) > 1  # coins are tossed for each list
    answer = running.read.get(f"/v1/experiments/{settings['name']}").json()["analysis"]
    assert [arm["versions"] for arm in answer["arms"]] == [{first: 8}, {second: 8}]
    assert [arm["n_seen"] for arm in answer["arms"]] == [1, 1]
    # Neither arm has a say where there is no list.
    pairs = {"user_id": USER, "item_ids": ids(told[0])}
    assert running.read.post("/v1/predictions", json=pairs).json()["version"] == first


def test_interleaved_arms_may_adapt_one_against_the_other(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start(adapt=False, **ADAPTED)
    plain = ids(asked(running))
    live = running.service.versions.current()
    # Where lists have places left to chance, interleaved ones have none.
    monkeypatch.setattr(live, "ranking", live.ranking.changed(explore=0.9))
    arms = [{"name": "as-is"}, {"name": "adapted", "adapt": True}]
    settings = experiment({}, arms=arms, design="interleaved")
    assert running.admin.post("/v1/experiments", json=settings).status_code == 201
    told = asked(running)
    assert (told["adaptation_applied"], ids(told)) == (False, plain)  # both are the same as yet
    react(running, plain[-1])
    assert running.service.heads.of(WHO) is not None
    running.service.heads.clear()
    put(running, counting(running))
    told = asked(running)
    assert told["adaptation_applied"]
    assert ids(told) != plain


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ([{"name": "a"}, {"name": "b"}, {"name": "c"}], "two arms"),
        ([{"name": "a", "weight": 2}, {"name": "b"}], "same weight"),
        ([{"name": "a"}, {"name": "b", "ranking": {"explore": 0.1}}], "leave explore out"),
        ([{"name": "a"}, {"name": "b", "version": "v2"}], "adapt = false"),
        ([{"name": "a", "adapt": False}, {"name": "b", "version": "v2"}], "adapt = false"),
    ],
)
def test_what_cannot_be_interleaved_is_refused(arms: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Experiment(**experiment({}, arms=arms, design="interleaved"))
