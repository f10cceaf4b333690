"""Versions side by side: what serves, what served before, what may go."""

import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossfade.errors import BundleError
from crossfade.files import MANIFEST, publish, read_manifest
from crossfade.store import INDEX, INDEX_KIND, Bundle, Registry, load_bundle, save_bundle
from crossfade.store.bundle import SCHEMA
from crossfade.store.journal import JOURNAL
from crossfade.store.version import INDEX_SCHEMA
from crossfade.types import Arrays

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


def later(minutes: int) -> datetime:
    return NOW + timedelta(minutes=minutes)


def bundle(number: int = 0, **header: Any) -> Bundle:
    facts = {"config": {"factors": 8}, "n_events": 10, "metrics": {"ndcg": 0.5}, **header}
    arrays: dict[str, Arrays] = {"base-a": {"x": np.full(3, number, dtype=np.float32)}}
    return Bundle(facts, arrays, {"events": pl.DataFrame({"user_row": [0, 1]})})


def add(registry: Registry, number: int = 0, **header: Any) -> str:
    made = bundle(number, **header)
    return registry.add(lambda place: save_bundle(made, place), later(number))


def number_of(directory: Path) -> int:
    return int(load_bundle(directory).arrays["base-a"]["x"][0])


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry")


@pytest.fixture
def three(registry: Registry) -> tuple[str, str, str]:
    """Three versions, none promoted."""
    return add(registry, 1), add(registry, 2), add(registry, 3)


def entries(registry: Registry) -> list[str]:
    """Everything in its two folders."""
    names = [*registry.directory.iterdir(), *(registry.directory / "versions").iterdir()]
    return sorted(entry.name for entry in names)


def damage(registry: Registry, version: str) -> None:
    (part,) = registry.path(version).rglob("base-a.safetensors")
    content = bytearray(part.read_bytes())
    content[-1] ^= 1
    part.write_bytes(content)


# -- adding ----------------------------------------------------------------------------


def test_a_version_is_added_whole_and_does_not_serve_by_itself(registry: Registry) -> None:
    version = add(registry, 7)
    assert number_of(registry.path(version)) == 7
    assert registry.promoted() is None
    assert entries(registry) == sorted([JOURNAL, "versions", version])


def test_what_is_known_of_each_version_newest_first(
    registry: Registry, three: tuple[str, str, str]
) -> None:
    registry.promote(three[0], NOW)
    registry.promote(three[1], NOW)
    found = registry.versions()
    assert [version.version for version in found] == list(reversed(three))
    assert [version.promoted for version in found] == [False, True, False]
    assert [version.rollback for version in found] == [False, False, True]
    newest = found[0]
    assert newest.added == "2024-05-01T12:03:00+00:00"
    assert (newest.schema, newest.n_events, newest.metrics) == (SCHEMA, 10, {"ndcg": 0.5})
    files = [
        f for f in registry.path(three[2]).rglob("*") if f.suffix in {".safetensors", ".parquet"}
    ]
    assert newest.size_bytes == sum(file.stat().st_size for file in files)
    assert newest.data == found[1].data  # the same tables in all three
    assert (newest.mode, newest.previous, newest.problem) == (None, None, None)


def test_a_moment_without_a_zone_is_utc(registry: Registry) -> None:
    registry.add(lambda place: save_bundle(bundle(), place), datetime(2024, 5, 1))
    assert registry.versions()[0].added == "2024-05-01T00:00:00+00:00"


def test_a_bundle_saved_elsewhere_is_adopted_under_its_version(
    registry: Registry, tmp_path: Path
) -> None:
    version = save_bundle(bundle(4), tmp_path / "elsewhere")
    assert registry.adopt(tmp_path / "elsewhere", NOW) == version
    save_bundle(bundle(5), tmp_path / "elsewhere")  # the next fit writes over it
    assert number_of(registry.path(version)) == 4


def test_adopting_twice_changes_nothing_and_mends_what_is_damaged(
    registry: Registry, tmp_path: Path
) -> None:
    place = tmp_path / "elsewhere"
    version = save_bundle(bundle(4), place)
    registry.adopt(place, NOW)
    before = (registry.directory / JOURNAL).read_text()
    assert registry.adopt(place, later(5)) == version
    assert (registry.directory / JOURNAL).read_text() == before
    (registry.path(version) / MANIFEST).write_text("{")
    registry.adopt(place, later(9))
    assert number_of(registry.path(version)) == 4
    assert entries(registry) == sorted([JOURNAL, "versions", version])


def test_a_damaged_bundle_is_not_adopted(registry: Registry, tmp_path: Path) -> None:
    save_bundle(bundle(), tmp_path / "elsewhere")
    next((tmp_path / "elsewhere").rglob("*.parquet")).write_bytes(b"")
    with pytest.raises(BundleError, match=r"events\.parquet: damaged"):
        registry.adopt(tmp_path / "elsewhere", NOW)
    assert entries(registry) == ["versions"]


# -- an index in a version ---------------------------------------------------------------


def with_index(place: Path, of: str | None = None) -> str:
    """A bundle with something in the place of an index, of its own version or of another."""
    version = save_bundle(bundle(4), place)
    publish(
        place / INDEX,
        INDEX_KIND,
        INDEX_SCHEMA,
        {"model_version": of or version},
        lambda parts: (parts / "vectors").touch(),
    )
    return version


def test_an_index_goes_where_its_version_goes(registry: Registry, tmp_path: Path) -> None:
    version = with_index(tmp_path / "elsewhere")
    registry.adopt(tmp_path / "elsewhere", NOW)
    assert read_manifest(registry.path(version) / INDEX, INDEX_KIND, INDEX_SCHEMA)
    assert [found.index for found in registry.versions()] == [True]
    registry.promote(version, NOW)
    registry.promote(add(registry, 7), NOW)
    assert [found.index for found in registry.versions()] == [False, True]
    registry.promote(add(registry, 8), NOW)
    registry.gc(0, NOW)
    assert not any(found.index for found in registry.versions())


def test_an_index_of_another_version_is_not_taken_in(registry: Registry, tmp_path: Path) -> None:
    version = with_index(tmp_path / "elsewhere", of="0" * 16)
    with pytest.raises(
        BundleError, match=f"index: belongs to version 0{{16}}, .*is version {version}"
    ):
        registry.adopt(tmp_path / "elsewhere", NOW)
    assert entries(registry) == ["versions"]


def test_a_version_whose_index_is_damaged_does_not_serve(
    registry: Registry, tmp_path: Path
) -> None:
    version = with_index(tmp_path / "elsewhere")
    registry.adopt(tmp_path / "elsewhere", NOW)
    next((registry.path(version) / INDEX).rglob("vectors")).write_bytes(b"x")
    with pytest.raises(BundleError, match="vectors: damaged"):
        registry.promote(version, NOW)
    assert registry.promoted() is None


class BrokenError(Exception):
    pass


@pytest.mark.parametrize("failure", [BrokenError("no"), KeyboardInterrupt()])
def test_a_failed_save_leaves_the_registry_as_it_was(
    registry: Registry, three: tuple[str, str, str], failure: BaseException
) -> None:
    before = entries(registry), (registry.directory / JOURNAL).read_text()

    def fail(place: Path) -> None:
        save_bundle(bundle(), place)
        raise failure

    with pytest.raises(type(failure)):
        registry.add(fail, NOW)
    assert (entries(registry), (registry.directory / JOURNAL).read_text()) == before


@pytest.mark.parametrize("name", ["thesis.doc", "versions/mine.txt", "parts-0123456789abcdef"])
def test_somebody_elses_directory_becomes_no_registry(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(BundleError, match="is not empty and holds no registry"):
        add(Registry(tmp_path))
    assert (tmp_path / name).read_text() == "mine"
    with pytest.raises(BundleError, match="is a file; give a directory"):
        add(Registry(tmp_path / name))


# -- promoting and rolling back --------------------------------------------------------


def test_rolling_back_goes_step_by_step_to_what_served_before(
    registry: Registry, three: tuple[str, str, str]
) -> None:
    a, b, c = three
    for version in three:
        registry.promote(version, NOW)
    assert registry.rollback(NOW) == b == registry.promoted()
    assert registry.rollback(NOW) == a == registry.promoted()
    with pytest.raises(BundleError, match=f"nothing served before version {a}, or it is gone"):
        registry.rollback(NOW)
    registry.promote(c, NOW)  # b was rolled back from, so it is not what a rollback finds
    assert registry.rollback(NOW) == a


def test_what_serves_already_is_not_promoted_again(
    registry: Registry, three: tuple[str, str, str]
) -> None:
    registry.promote(three[0], NOW)
    registry.promote(three[1], NOW)
    before = (registry.directory / JOURNAL).read_text()
    registry.promote(three[1], later(60))
    assert (registry.directory / JOURNAL).read_text() == before
    assert registry.rollback(NOW) == three[0]


@pytest.mark.parametrize("step", ["promote", "rollback"])
def test_a_damaged_version_never_comes_to_serve(
    registry: Registry, three: tuple[str, str, str], step: str
) -> None:
    registry.promote(three[0], NOW)
    registry.promote(three[1], NOW)
    damage(registry, three[0])
    with pytest.raises(BundleError, match=r"base-a\.safetensors: damaged"):
        registry.rollback(NOW) if step == "rollback" else registry.promote(three[0], NOW)
    assert registry.promoted() == three[1]


def test_a_version_under_another_name_is_refused(
    registry: Registry, three: tuple[str, str, str]
) -> None:
    shutil.copytree(registry.path(three[0]), registry.directory / "versions" / ("0" * 16))
    with pytest.raises(
        BundleError, match=f"holds version {three[0]}; a version lives under its own"
    ):
        registry.promote("0" * 16, NOW)


@pytest.mark.parametrize("version", ["0" * 16, "../elsewhere", "", ".", "versions"])
def test_an_unknown_version_is_named_beside_those_there_are(
    registry: Registry, three: tuple[str, str, str], version: str
) -> None:
    with pytest.raises(BundleError, match=rf"no version {version}; it holds [0-9a-f]{{16}}, "):
        registry.promote(version, NOW)


def test_the_promoted_version_is_read_and_without_one_that_is_said(
    registry: Registry, three: tuple[str, str, str]
) -> None:
    with pytest.raises(BundleError, match="no version is promoted yet; choose one with crossfade"):
        registry.read_promoted(number_of)
    registry.promote(three[1], NOW)
    assert registry.read_promoted(number_of) == 2


def test_a_reader_overtaken_by_a_promotion_reads_the_new_version(
    registry: Registry, three: tuple[str, str, str]
) -> None:
    registry.promote(three[0], NOW)

    def overtaken(place: Path) -> int:
        if place.name == three[0]:
            registry.promote(three[1], NOW)
            registry.promote(three[2], NOW)
            registry.gc(0, NOW)
        return number_of(place)

    assert registry.read_promoted(overtaken) == 3


def test_a_damaged_version_that_serves_is_not_read_twice(
    registry: Registry, three: tuple[str, str, str]
) -> None:
    registry.promote(three[0], NOW)
    damage(registry, three[0])
    with pytest.raises(BundleError, match="damaged"):
        registry.read_promoted(number_of)


# -- cleaning --------------------------------------------------------------------------


def test_gc_keeps_the_newest_and_both_ends_of_a_rollback(registry: Registry) -> None:
    versions = [add(registry, number) for number in range(6)]
    registry.promote(versions[0], NOW)
    registry.promote(versions[1], NOW)
    would = [version.version for version in registry.gc(2, NOW, dry_run=True)]
    assert would == [versions[3], versions[2]]
    assert len(registry.versions()) == 6
    assert [version.version for version in registry.gc(2, NOW)] == would
    assert {v.version for v in registry.versions()} == {versions[n] for n in (0, 1, 4, 5)}
    assert registry.gc(2, NOW) == []
    assert [v.version for v in registry.gc(0, NOW)] == [versions[5], versions[4]]
    assert registry.rollback(NOW) == versions[0]
    assert entries(registry) == sorted([JOURNAL, "versions", versions[0], versions[1]])


def test_gc_leaves_what_was_put_there_by_hand(
    registry: Registry, three: tuple[str, str, str], tmp_path: Path
) -> None:
    version = save_bundle(bundle(), tmp_path / "elsewhere")
    shutil.copytree(tmp_path / "elsewhere", registry.directory / "versions" / version)
    registry.gc(0, NOW)
    (found,) = registry.versions()
    assert (found.version, found.added) == (version, None)


def test_a_version_loaded_before_it_is_taken_away_serves_on(
    registry: Registry, three: tuple[str, str, str]
) -> None:
    loaded = load_bundle(registry.path(three[0]))
    registry.gc(0, NOW)
    assert loaded.arrays["base-a"]["x"].tolist() == [1, 1, 1]


def test_a_rollback_passes_over_what_is_gone(
    registry: Registry, three: tuple[str, str, str]
) -> None:
    for version in three:
        registry.promote(version, NOW)
    shutil.rmtree(registry.path(three[1]))
    assert registry.rollback(NOW) == three[0]
    assert registry.promoted() == three[0]


def test_keep_is_no_negative_number(registry: Registry, three: tuple[str, str, str]) -> None:
    with pytest.raises(BundleError, match="keep must be 0 or more, got -1"):
        registry.gc(-1, NOW)


# -- comparing -------------------------------------------------------------------------


def test_a_difference_is_told_in_words_by_section(registry: Registry) -> None:
    before = add(registry, 1, config={"factors": 8, "bases": {"ease": {}}}, seed=1, name="shop")
    after = add(
        registry, 2, config={"factors": 16}, seed=1, name="shop", n_events=12_000,
        choice={"weights": {"ials": 0.25}}, metrics={"ndcg": 0.55558},
    )  # fmt: skip
    found = registry.diff(before, after)
    assert [(difference.section, difference.words) for difference in found] == [
        ("settings", "bases.ease: {} → not there"),
        ("settings", "factors: 8 → 16"),
        ("data", "n_events: 10 → 12,000"),
        ("blend", "weights.ials: not there → 0.25"),
        ("metrics", "ndcg: 0.5 → 0.5556"),
        ("files", "base-a.safetensors: changed, 76 bytes"),
    ]
    assert (found[1].before, found[1].after) == (8, 16)
    assert (found[3].before, found[3].after) == (None, 0.25)


def test_a_version_does_not_differ_from_itself(
    registry: Registry, three: tuple[str, str, str]
) -> None:
    assert registry.diff(three[0], three[0]) == []


def test_other_tables_are_another_fingerprint(registry: Registry) -> None:
    add(registry)
    other = Bundle({}, {}, {"events": pl.DataFrame({"user_row": [0, 2]})})
    registry.add(lambda place: save_bundle(other, place), NOW)
    first, second = registry.versions()
    assert first.data != second.data


# -- damage, and disks that refuse -----------------------------------------------------


def test_a_damaged_manifest_is_told_and_does_not_hide_the_others(
    registry: Registry, three: tuple[str, str, str]
) -> None:
    (registry.path(three[1]) / MANIFEST).write_text("{")
    problems = [version.problem for version in registry.versions()]
    assert problems[0] is problems[2] is None
    assert "damaged" in (problems[1] or "")


def test_facts_of_another_kind_are_not_known(registry: Registry) -> None:
    add(registry, n_events="many", metrics=[1], mode=3)
    (version,) = registry.versions()
    assert (version.n_events, version.metrics, version.mode) == (None, {}, None)


ENTRY = {"at": "2024-05-01T12:00:00+00:00", "did": "promoted", "version": "0" * 16}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "damaged"),
        (b"\xff", "damaged"),
        (b"[]", "is no journal of a registry"),
        ({"kind": "bundle"}, "is no journal of a registry"),
        ({"schema": 2}, "has schema 2, this crossfade reads up to 1; upgrade"),
        ({"schema": "1"}, "has schema 1, this crossfade reads up to 1"),
        ({"more": 1}, "other fields than there should be"),
        ({"journal": {}}, "other fields than there should be"),
        ({"journal": [{**ENTRY, "version": "../../etc"}]}, "is no entry"),
        ({"journal": [{**ENTRY, "did": "eaten"}]}, "is no entry"),
        ({"journal": [{**ENTRY, "did": ["promoted"]}]}, "is no entry"),
        ({"journal": [{**ENTRY, "more": 1}]}, "is no entry"),
        ({"journal": [{**ENTRY, "did": "rolled back"}]}, "a rollback where nothing was promoted"),
    ],
)
def test_a_damaged_journal_is_refused_and_says_how_to_mend_it(
    registry: Registry, three: tuple[str, str, str], content: bytes | dict[str, Any], message: str
) -> None:
    path = registry.directory / JOURNAL
    if isinstance(content, dict):
        content = json.dumps({**json.loads(path.read_text()), **content}).encode()
    path.write_bytes(content)
    for attempt in (registry.promoted, registry.versions, lambda: add(registry)):
        with pytest.raises(BundleError, match=message):
            attempt()
    assert len(list((registry.directory / "versions").iterdir())) == 3


def test_a_journal_moved_away_loses_no_version(
    registry: Registry, three: tuple[str, str, str]
) -> None:
    (registry.directory / JOURNAL).unlink()
    with pytest.raises(BundleError, match=r"no registry here \(registry\.json is missing\)"):
        registry.promote(three[0], NOW)
    newest = add(registry, 9)
    registry.promote(three[1], NOW)
    assert registry.read_promoted(number_of) == 2
    assert {v.version for v in registry.versions()} == {*three, newest}


def test_nothing_there_is_said_plainly(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no registry here .* check the path, or make one"):
        registry.versions()
    assert not registry.directory.exists()  # asking makes nothing
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="no registry here"):
        Registry(tmp_path / "file").promoted()


def test_on_a_disk_that_cannot_be_written_reading_works_and_each_change_is_one_clear_error(
    registry: Registry, three: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.promote(three[0], NOW)
    registry.promote(three[1], NOW)

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system", str(path))

    def mkdir(path: Path, *_: object, exist_ok: bool = False, **__: object) -> None:
        if not (exist_ok and path.is_dir()):
            refuse(path)

    usual = Path.open

    def opened(path: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
        return usual(path, mode, *rest, **named) if set(mode) <= set("rb") else refuse(path)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    monkeypatch.setattr(Path, "open", opened)
    monkeypatch.setattr(Path, "rename", refuse)
    monkeypatch.setattr(Path, "replace", refuse)
    assert registry.read_promoted(number_of) == 2
    assert len(registry.versions()) == 3
    assert registry.diff(*three[:2])
    assert [v.version for v in registry.gc(0, NOW, dry_run=True)] == [three[2]]
    registry.promote(three[1], NOW)  # serves already: nothing to write
    said = (
        rf"{registry.directory}: could not change the registry \(Read-only file system\); make it "
        "writable and free space, or choose another place; what it held is unchanged"
    )
    for change in (
        lambda: registry.promote(three[2], NOW),
        lambda: registry.rollback(NOW),
        lambda: registry.gc(0, NOW),
    ):
        with pytest.raises(BundleError, match=said):
            change()
    with pytest.raises(BundleError, match=said):
        add(registry)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(BundleError, match="cannot be written; make it writable or choose another"):
        registry.refuse_foreign()  # what a long fit asks before it begins


# -- several at once -------------------------------------------------------------------


def test_changes_wait_for_each_other_and_readers_never_wait(
    registry: Registry, three: tuple[str, str, str]
) -> None:
    registry.promote(three[0], NOW)
    began, go_on = threading.Event(), threading.Event()

    def slowly(place: Path) -> None:
        began.set()
        assert go_on.wait(10)
        save_bundle(bundle(8), place)

    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(registry.add, slowly, NOW)
        assert began.wait(10)
        waiting = pool.submit(registry.promote, three[1], NOW)
        assert registry.read_promoted(number_of) == 1
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.2)
        go_on.set()
        waiting.result(10)
    assert registry.promoted() == three[1]
    assert number_of(registry.path(slow.result())) == 8


def test_many_writers_at_once_lose_nothing(registry: Registry) -> None:
    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(lambda n: add(registry, n), range(8)))
    assert {v.version for v in registry.versions()} == set(versions)
    assert all(v.added is not None for v in registry.versions())
