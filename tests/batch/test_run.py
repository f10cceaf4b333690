"""Lists of everybody in parts: those of each alone, made once, gone on with, never mixed."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.batch.systems import fitted

from crossfade.batch import recommend_all, user_rng
from crossfade.batch.run import PIECE
from crossfade.errors import BundleError, ConfigError, UnknownIdError
from crossfade.hybrid import HybridModel
from crossfade.meta.serving import AT_ONCE, Filters
from crossfade.ranking import RankingConfig

CHANCE = RankingConfig(explore=0.4)


def lists(directory: Path) -> pl.DataFrame:
    return pl.read_parquet(directory / "part-*.parquet")


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


# -- what is in them -------------------------------------------------------------------


def test_everybody_has_the_list_that_they_get_alone(model: HybridModel, tmp_path: Path) -> None:
    done = recommend_all(model, tmp_path / "lists", k=4, chunk=100)
    users = model.dataset.user_ids.ids.to_list()
    assert (done.n_users, done.n_made, done.n_parts) == (150, 150, 2)
    assert done.version == model.version
    found = lists(done.directory)
    assert found["user_id"].unique(maintain_order=True).to_list() == users
    assert len(found) == 4 * len(users)
    for user in users[::7]:
        alone = model.recommend(user=user, k=4)
        rows = found.filter(pl.col("user_id") == user)
        assert rows["item_id"].to_list() == [line.item_id for line in alone]
        assert rows["rank"].to_list() == [1, 2, 3, 4]
        np.testing.assert_allclose(rows["score"], [line.score for line in alone], rtol=1e-5)


def test_parts_hold_fixed_ranges_of_the_users_as_they_are_given(
    model: HybridModel, tmp_path: Path
) -> None:
    users = model.dataset.user_ids.ids.to_list()[:50][::-1]
    recommend_all(model, tmp_path / "lists", k=2, users=users, chunk=20)
    for number, size in enumerate((20, 20, 10)):
        part = pl.read_parquet(tmp_path / "lists" / f"part-{number:05d}.parquet")
        listed = part["user_id"].unique(maintain_order=True).to_list()
        assert listed == users[20 * number : 20 * number + size]


def test_chance_depends_on_the_seed_and_the_user_and_on_nobody_else(
    model: HybridModel, tmp_path: Path
) -> None:
    recommend_all(model, tmp_path / "all", k=5, ranking=CHANCE, seed=7, chunk=40)
    users = model.dataset.user_ids.ids.to_list()
    recommend_all(model, tmp_path / "few", k=5, ranking=CHANCE, seed=7, users=users[90:93])
    found = lists(tmp_path / "all").filter(pl.col("user_id").is_in(users[90:93]))
    assert found["item_id"].to_list() == lists(tmp_path / "few")["item_id"].to_list()
    alone = model.recommend(user=users[91], k=5, ranking=CHANCE, rng=user_rng(7, 91))
    rows = found.filter(pl.col("user_id") == users[91])
    assert rows["item_id"].to_list() == [line.item_id for line in alone]
    assert (rows["propensity"] < 1).sum() == 2
    recommend_all(model, tmp_path / "other", k=5, ranking=CHANCE, seed=8)
    assert (
        lists(tmp_path / "other")["item_id"].to_list()
        != lists(tmp_path / "all")["item_id"].to_list()
    )


def test_filters_hold_for_everybody(model: HybridModel, tmp_path: Path) -> None:
    allowed = model.dataset.item_ids.ids.to_list()[:30]
    recommend_all(model, tmp_path / "lists", k=3, filters=Filters(allow=allowed, block=allowed[:5]))
    assert set(lists(tmp_path / "lists")["item_id"]) <= set(allowed[5:])


@pytest.mark.parametrize("threads", ["1", "2", "100"])
def test_how_many_threads_there_are_changes_no_byte(
    model: HybridModel, tmp_path: Path, threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PIECE % AT_ONCE == 0  # or batches, and so last digits, would follow the pieces
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    recommend_all(model, tmp_path / "lists", k=3)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    recommend_all(model, tmp_path / "one", k=3)
    assert files(tmp_path / "lists") == files(tmp_path / "one")


# -- going on --------------------------------------------------------------------------


def test_only_missing_parts_are_made_again(model: HybridModel, tmp_path: Path) -> None:
    recommend_all(model, tmp_path, k=3, chunk=40)
    whole = files(tmp_path)
    (tmp_path / "part-00001.parquet").unlink()
    (tmp_path / "part-00003.parquet").unlink()
    # Not ours to judge: what is there under the name of a part is whole, and stays.
    (tmp_path / "part-00000.parquet").write_bytes(b"as it is")
    again = recommend_all(model, tmp_path, k=3, chunk=40)
    assert (again.n_users, again.n_made) == (150, 40 + 30)
    assert files(tmp_path) == whole | {"part-00000.parquet": b"as it is"}


def test_a_finished_directory_is_left_as_it_is(model: HybridModel, tmp_path: Path) -> None:
    recommend_all(model, tmp_path, k=3)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert recommend_all(model, tmp_path, k=3).n_made == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_a_failure_in_between_keeps_what_is_finished(
    model: HybridModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, calls = HybridModel.recommend_batch, 0

    def third_fails(*given: Any) -> pl.DataFrame:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise MemoryError
        return usual(*given)

    monkeypatch.setattr(HybridModel, "recommend_batch", third_fails)
    with pytest.raises(MemoryError):
        recommend_all(model, tmp_path / "lists", k=3, chunk=50)
    monkeypatch.undo()
    assert sorted(files(tmp_path / "lists")) == ["manifest.json", "part-00000.parquet"]
    assert recommend_all(model, tmp_path / "lists", k=3, chunk=50).n_made == 100
    recommend_all(model, tmp_path / "whole", k=3, chunk=50)
    assert files(tmp_path / "lists") == files(tmp_path / "whole")


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"k": 4}, "k was 3 and is 4;"),
        ({"chunk": 30}, "chunk was 50 and is 30;"),
        ({"seed": 1}, "seed was 0 and is 1;"),
        ({"ranking": CHANCE}, "ranking.explore was 0.0 and is 0.4;"),
        ({"filters": Filters(rules=("duration_ms > 1",))}, 'filters.rules was [] and is ["dur'),
        ({"filters": Filters(block=("a",))}, 'filters.block was null and is "1 items, '),
        ({"filters": Filters(allow=("a",))}, 'filters.allow was null and is "1 items, '),
        ({"users": ["listener-000"]}, "n_users was 150 and is 1; users was "),
        ({"k": 4, "seed": 1}, "k was 3 and is 4; seed was 0 and is 1;"),
    ],
)
def test_lists_of_other_facts_are_never_mixed(
    model: HybridModel, tmp_path: Path, other: dict[str, Any], words: str
) -> None:
    asked: dict[str, Any] = {"k": 3, "chunk": 50}
    recommend_all(model, tmp_path, **asked)
    before = files(tmp_path)
    with pytest.raises(ConfigError) as caught:
        recommend_all(model, tmp_path, **(asked | other))
    assert f"{tmp_path}: its lists were made otherwise: {words}" in str(caught.value)
    assert str(caught.value).endswith("or start over with --fresh (fresh=True in Python)")
    assert files(tmp_path) == before
    over = recommend_all(model, tmp_path, **(asked | other), fresh=True)
    assert over.n_made == over.n_users
    assert len(list(tmp_path.glob("part-*"))) == over.n_parts


def test_another_version_of_the_system_is_another_fact(model: HybridModel, tmp_path: Path) -> None:
    recommend_all(model, tmp_path / "lists", k=3)
    fitted(tmp_path / "bundle", seed=4)
    with pytest.raises(ConfigError, match=f'version was "{model.version}" and is "'):
        recommend_all(HybridModel.load(tmp_path / "bundle"), tmp_path / "lists", k=3)


# -- what is refused -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"k": 0}, "k must be 1 or more, got 0"),
        ({"chunk": 0}, "chunk must be 1 or more users, got 0"),
        ({"k": -1, "chunk": -1}, "k must be 1 or more, got -1; chunk must be"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
        ({"users": []}, "users is empty; name somebody"),
        ({"users": ["listener-001"] * 2}, '1 users are named more than once, the first is "lis'),
        ({"filters": Filters(rules=("nothing > 1",))}, "nothing"),
    ],
)
def test_a_wrong_call_leaves_no_trace(
    model: HybridModel, tmp_path: Path, asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        recommend_all(model, tmp_path / "lists", **asked)
    assert not (tmp_path / "lists").exists()


def test_unknown_users_are_counted_and_the_first_is_named(
    model: HybridModel, tmp_path: Path
) -> None:
    with pytest.raises(
        UnknownIdError, match='2 of 3 users are unknown among 150, the first is "x"'
    ):
        recommend_all(model, tmp_path / "lists", users=["listener-001", "x", "y"])
    assert not (tmp_path / "lists").exists()


def test_a_system_without_a_version_is_to_be_saved_first(
    model: HybridModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "version", "")
    with pytest.raises(ConfigError, match="has no version yet; save it"):
        recommend_all(model, tmp_path / "lists")


@pytest.mark.parametrize("fresh", [False, True])
def test_what_is_not_ours_is_never_touched(
    model: HybridModel, saved: Path, tmp_path: Path, *, fresh: bool
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "part-00000.parquet").write_text("whose?")
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "manifest.json").write_text('{"name": "a web page"}')
    shutil.copytree(saved, tmp_path / "bundle")
    for name, message in (
        ("file", "is a file; give a directory"),
        ("full", r"is not empty and holds no lists \(found part-00000.parquet\)"),
        ("page", "holds something else, not lists"),
        ("bundle", "holds a bundle, not lists"),
    ):
        with pytest.raises(BundleError, match=message):
            recommend_all(model, tmp_path / name, fresh=fresh)
    assert (tmp_path / "full" / "part-00000.parquet").read_text() == "whose?"
    assert HybridModel.load(tmp_path / "bundle").version == model.version


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "damaged"), ('{"kind": "lists", "schema": 2, "facts": {}}', "has schema 2")],
)
def test_a_manifest_that_cannot_be_gone_on_with_asks_to_start_over(
    model: HybridModel, tmp_path: Path, text: str, message: str
) -> None:
    recommend_all(model, tmp_path, k=3)
    whole = files(tmp_path)
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=f"{message}.* start over with --fresh"):
        recommend_all(model, tmp_path, k=3)
    assert recommend_all(model, tmp_path, k=3, fresh=True).n_made == 150
    assert files(tmp_path) == whole


def test_a_disk_that_cannot_be_written_is_one_clear_error(
    model: HybridModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recommend_all(model, tmp_path / "whole", k=3, chunk=50)
    shutil.copytree(tmp_path / "whole", tmp_path / "half")
    (tmp_path / "half" / "part-00001.parquet").unlink()

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system", str(path))

    def refuse_frame(_: pl.DataFrame, path: Path, **__: object) -> None:
        # As Polars words it.
        raise pl.exceptions.ComputeError("Read-only file system (os error 30): " + str(path))

    monkeypatch.setattr(pl.DataFrame, "write_parquet", refuse_frame)
    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    assert recommend_all(model, tmp_path / "whole", k=3, chunk=50).n_made == 0
    for name, fresh in (("half", False), ("new", False), ("whole", True)):
        said = rf"{name}: could not write the lists \(Read-only file system\); make it writable"
        with pytest.raises(BundleError, match=said):
            recommend_all(model, tmp_path / name, k=3, chunk=50, fresh=fresh)
    assert json.loads((tmp_path / "whole" / "manifest.json").read_text())["facts"]["k"] == 3
    assert len(list((tmp_path / "whole").glob("part-*"))) == 3


def test_an_old_part_that_cannot_be_taken_away_is_never_taken_for_a_new_one(
    model: HybridModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recommend_all(model, tmp_path, k=3)
    before = files(tmp_path)

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(BundleError, match="Permission denied"):
        recommend_all(model, tmp_path, k=4, fresh=True)
    assert files(tmp_path) == before
