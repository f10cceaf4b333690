"""Lists kept on disk: the same to the last bit, made again only where something that shapes them changed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crossfade.data import Dataset
from crossfade.data.splits import Plan, ProtocolConfig, make_plan
from crossfade.data.world import WorldConfig, make_world
from crossfade.errors import ConfigError
from crossfade.files import MANIFEST
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.meta import chain, contextual, keeping
from crossfade.meta.blending import BlendConfig
from crossfade.meta.chain import Material, gather
from crossfade.meta.keeping import ListCache, key_of, packed
from crossfade.meta.learning import learn
from crossfade.recommenders.item_knn import ItemKNN
from crossfade.store.cache import CacheConfig

BASES: dict[str, dict[str, Any]] = {"popularity": {}, "item_knn": {}}
CONFIG = BlendConfig(n_candidates=5, n_earlier_blocks=1, min_requests=10)


@pytest.fixture(scope="module")
def world() -> Dataset:
    config = WorldConfig(n_listeners=40, n_tracks=80, n_plays=2_500)
    return make_world(config, seed=3).dataset


@pytest.fixture(scope="module")
def plan(world: Dataset) -> Plan:
    return make_plan(world, ProtocolConfig(), seed=0)


@pytest.fixture(scope="module")
def material(plan: Plan) -> Material:
    return gather(plan, BASES, CONFIG, seed=0)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def cache(tmp_path: Path, told: list[str]) -> ListCache:
    return ListCache(tmp_path / "cache", tell=told.append)


def forbid_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on a base that is fitted for lists is a failure."""

    def refuse(*_: object) -> None:
        raise AssertionError("a base was fitted")

    monkeypatch.setattr(chain, "fit_bases", refuse)


def same(one: Material, other: Material) -> None:
    """Equal to the last bit, in the same order in memory: sums over them are equal too."""
    (header, arrays), (other_header, other_arrays) = packed(one), packed(other)
    assert header == other_header
    assert arrays.keys() == other_arrays.keys()
    for name, array in arrays.items():
        assert array.dtype == other_arrays[name].dtype, name
        assert array.shape == other_arrays[name].shape, name
        assert array.strides == other_arrays[name].strides, name
        assert array.tobytes() == other_arrays[name].tobytes(), name


# -- the same lists --------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["time", "user", "repeat", "cold-users"])
def test_what_comes_from_the_cache_is_the_same_to_the_last_bit(
    world: Dataset,
    protocol: Any,
    cache: ListCache,
    told: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(contextual, "MAX_CELLS", 400)  # five requests at once: parts are joined
    plan = make_plan(world, ProtocolConfig(name=protocol), seed=0)
    fresh = gather(plan, BASES, CONFIG, seed=0)
    same(cache.gather(plan, BASES, CONFIG, seed=0), fresh)
    forbid_fits(monkeypatch)
    kept = cache.gather(plan, BASES, CONFIG, seed=0)
    same(kept, fresh)
    assert kept.train.signals.columns == fresh.train.signals.columns
    assert kept.calibrate.signals.columns == fresh.calibrate.signals.columns
    assert kept.environment == fresh.environment
    assert kept.train.signals.score.flags.writeable
    assert len(told) == 2


def test_a_line_says_what_was_written_and_what_was_found_and_where(
    plan: Plan, material: Material, cache: ListCache, told: list[str], tmp_path: Path
) -> None:
    for _ in range(2):
        cache.gather(plan, BASES, CONFIG, seed=0)
    n = len(material.train) + len(material.calibrate)
    (place,) = (tmp_path / "cache").iterdir()
    assert told[0].startswith(f"cache: lists of {n:,} requests written to {place} (")
    assert told[1] == f"cache: lists of {n:,} requests taken from {place}"


def test_another_fusion_model_learns_from_kept_lists_what_it_learns_without(
    plan: Plan, cache: ListCache, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = learn(plan, BASES, CONFIG.changed(fusion="fwls"), ["fwls"], seed=0)
    learn(plan, BASES, CONFIG.changed(fusion="static"), ["static"], seed=0, cache=cache)
    forbid_fits(monkeypatch)
    found = learn(plan, BASES, CONFIG.changed(fusion="fwls"), ["fwls"], seed=0, cache=cache)
    assert "taken from" in told[-1]
    assert found.choice == alone.choice
    assert found.calibrators.keys() == alone.calibrators.keys()
    state, expected = found.models["fwls"].state(), alone.models["fwls"].state()
    assert state.keys() == expected.keys()
    for name, array in expected.items():
        assert state[name].tobytes() == array.tobytes(), name


@pytest.mark.slow
def test_a_network_learned_from_kept_lists_serves_the_same_scores(
    world: Dataset, cache: ListCache, told: list[str]
) -> None:
    train = {"epochs": 2, "device": "cpu"}
    blend = CONFIG.changed(fusion="meta", fusion_settings={"meta": {"train": train}})
    config = HybridConfig(bases=BASES, blend=blend)
    HybridModel.fit(world, config.changed(blend=blend.changed(fusion="static")), cache=cache)
    models = [HybridModel.fit(world, config, cache=kept) for kept in (cache, None)]
    assert [line.split(" requests ")[1].split()[0] for line in told] == ["written", "taken"]
    assert world.time_us is not None
    queries = world.queries(range(world.n_users))
    kept, plain = (model.blend.score_batch(queries) for model in models)
    assert kept.tobytes() == plain.tobytes()


# -- the key ---------------------------------------------------------------------------


def test_what_shapes_no_list_is_not_in_the_key(plan: Plan) -> None:
    key = key_of(plan, BASES, CONFIG, 0)
    other = CONFIG.changed(
        fusion="maml", fusion_settings={"maml": {"hidden": 3}}, depth=5, min_requests=1
    )
    assert key_of(plan, BASES, other, 0) == key
    # The test block, and what a reader is told.
    assert key_of(replace(plan, tests=(), flags=("no",), cuts=()), BASES, CONFIG, 0) == key


def test_defaults_count_as_if_they_were_given_and_keys_in_any_order(plan: Plan) -> None:
    defaults = ItemKNN().config.model_dump()
    keys = {
        key_of(plan, bases, CONFIG, 0)
        for bases in (
            {"p": {"model": "popularity", "half_life_days": 7}, "item_knn": {}},
            {"p": {"half_life_days": 7.0, "model": "popularity"}, "item_knn": defaults},
            {
                "p": {"model": "popularity", "half_life_days": 7},
                "item_knn": {"model": "item_knn", **dict(reversed(defaults.items()))},
            },
        )
    }
    assert len(keys) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"bases": {"item_knn": {}, "popularity": {}}},
        {"bases": {"popularity": {"half_life_days": 7}, "item_knn": {}}},
        {"bases": {"popular": {"model": "popularity"}, "item_knn": {}}},
        {"bases": {"popularity": {}}},
        {"config": CONFIG.changed(n_candidates=6)},
        {"config": CONFIG.changed(max_requests=5)},
        {"config": CONFIG.changed(n_earlier_blocks=0)},
    ],
)
def test_what_shapes_lists_is_in_the_key(plan: Plan, other: dict[str, Any]) -> None:
    given = {"plan": plan, "bases": BASES, "config": CONFIG, "seed": 0}
    assert key_of(**{**given, **other}) != key_of(**given)  # type: ignore[arg-type]


def test_log_cuts_and_target_are_in_the_key(world: Dataset, plan: Plan) -> None:
    assert world.time_us is not None
    early = world.where(world.events["timestamp"] > world.events["timestamp"][0])
    titled = replace(world, items=world.items.with_columns(title=world.items["title"] + "!"))
    plans = [
        plan,
        make_plan(early, ProtocolConfig(), seed=0),
        make_plan(titled, ProtocolConfig(), seed=0),
        make_plan(world.with_target(world.target.changed(skips_count=True)), ProtocolConfig(), 0),
        make_plan(world, ProtocolConfig(name="user"), seed=0),
        make_plan(world, ProtocolConfig(base=0.5, fuse=0.2), seed=0),
        make_plan(world, ProtocolConfig(candidates="catalogue"), seed=0),
    ]
    assert len({key_of(one, BASES, CONFIG, 0) for one in plans}) == len(plans)


def test_versions_of_crossfade_and_of_the_lists_are_in_the_key(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {key_of(plan, BASES, CONFIG, 0)}
    for name, value in (("SCHEMA", 99), ("__version__", "9.9")):
        monkeypatch.setattr(keeping, name, value)
        keys.add(key_of(plan, BASES, CONFIG, 0))
    assert len(keys) == 3


def test_of_a_network_the_device_it_would_run_on_counts_and_no_folder(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key(**settings: Any) -> str:
        return key_of(plan, {"two_tower": settings}, CONFIG, 0)

    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    plain = key()
    assert key(train={"device": "cpu"}) == key(train={"device": "auto"}) == plain
    assert key(checkpoint="here", text_cache="there") == plain
    assert key(train={"epochs": 3}) != plain
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.current_device", lambda: 0)
    assert key() != plain
    assert key(train={"device": "cpu"}) == plain


def test_wrong_settings_of_bases_are_told_before_anything_is_looked_for(
    plan: Plan, cache: ListCache
) -> None:
    with pytest.raises(ConfigError, match=r"bases\.item_knn: magic is not a setting"):
        cache.gather(plan, {"item_knn": {"magic": 1}}, CONFIG, seed=0)


# -- what goes wrong -------------------------------------------------------------------


@pytest.mark.parametrize(
    "harm", ["a flipped bit", "no manifest", "half a manifest alone", "a missing array"]
)
def test_a_damaged_entry_is_told_by_name_and_made_again(
    plan: Plan,
    material: Material,
    cache: ListCache,
    told: list[str],
    tmp_path: Path,
    harm: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache.gather(plan, BASES, CONFIG, seed=0)
    (place,) = (tmp_path / "cache").iterdir()
    (part,) = place.glob("parts-*/*.safetensors")
    named = part
    if harm == "a flipped bit":
        part.write_bytes(part.read_bytes()[:-1] + b"\x07")
    elif harm == "no manifest":
        (place / MANIFEST).unlink()
        named = place
    elif harm == "half a manifest alone":
        named = place / MANIFEST
        named.write_text("{")
        part.unlink()
        part.parent.rmdir()
    else:
        header, arrays = packed(material)
        del arrays["train.relevant"]
        cache._kept.put(place.name.removeprefix("lists-"), header, arrays)
        named = place
    same(cache.gather(plan, BASES, CONFIG, seed=0), material)
    assert told[1].startswith(f"cache: {named}")
    assert told[1].endswith("making the lists again")
    assert "written to" in told[2]
    forbid_fits(monkeypatch)
    same(cache.gather(plan, BASES, CONFIG, seed=0), material)
    assert "taken from" in told[3]


def test_lists_that_cannot_be_kept_are_used_all_the_same_and_told(
    plan: Plan, material: Material, tmp_path: Path, told: list[str]
) -> None:
    small = ListCache(tmp_path, CacheConfig(max_bytes=1_000), told.append)
    same(small.gather(plan, BASES, CONFIG, seed=0), material)
    assert "cache.max_bytes is 1,000; raise it; going on, nothing is kept" in told[0]
    assert not list(tmp_path.iterdir())


def test_entries_taken_away_to_make_room_are_counted(
    plan: Plan, material: Material, tmp_path: Path, told: list[str]
) -> None:
    n_bytes = sum(array.nbytes for array in packed(material)[1].values())
    cache = ListCache(tmp_path, CacheConfig(max_bytes=n_bytes + 150_000), told.append)
    cache.gather(plan, BASES, CONFIG, seed=0)
    cache.gather(plan, BASES, CONFIG, seed=1)
    assert told[1].endswith("; entries taken away to make room: 1")
    assert len(list(tmp_path.iterdir())) == 1


def test_without_a_listener_the_lines_are_log_warnings(
    plan: Plan, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ListCache(tmp_path).gather(plan, BASES, CONFIG, seed=0)
    assert [record.name for record in caplog.records] == ["crossfade.meta.keeping"]
    assert "written to" in caplog.text
