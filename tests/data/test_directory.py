import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crossfade.data import Dataset, Target, load_dataset, save_dataset
from crossfade.errors import BundleError, ConfigError
from crossfade.files import MANIFEST
from crossfade.testing import checkerboard, tiny_catalogue


def manifest(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / MANIFEST).read_text())
    return content


def change_manifest(directory: Path, **values: Any) -> None:
    kept = {name: value for name, value in {**manifest(directory), **values}.items() if value != ""}
    (directory / MANIFEST).write_text(json.dumps(kept))


def assert_same(first: Dataset, second: Dataset) -> None:
    for table in ("events", "items", "users", "taggings", "friends"):
        one, other = getattr(first, table), getattr(second, table)
        assert (one is None) == (other is None)
        assert one is None or one.equals(other), table
    assert first.user_ids.ids.equals(second.user_ids.ids)
    assert first.item_ids.ids.equals(second.item_ids.ids)
    assert (first.name, first.target) == (second.name, second.target)


def with_friends() -> Dataset:
    return Dataset.build(
        pl.DataFrame({"user_id": ["a", "b"], "item_id": ["x", "y"], "session_id": ["s", "t"]}),
        friends=pl.DataFrame({"user_id": ["a"], "friend_id": ["b"]}),
        target=Target(name="listens on", min_played_ms=1000),
        name="friends",
    )


@pytest.mark.parametrize(
    "data",
    [
        tiny_catalogue(),
        checkerboard(timed=False),
        checkerboard(rated=True),
        with_friends(),
        tiny_catalogue().before(tiny_catalogue().events["timestamp"][3]),
    ],
    ids=["tagged", "untimed", "rated", "friends", "cut"],
)
def test_saving_and_loading_changes_nothing(data: Dataset, tmp_path: Path) -> None:
    save_dataset(data, tmp_path)
    assert_same(load_dataset(tmp_path), data)


def test_the_manifest_says_what_is_inside_and_where_it_came_from(
    timed: Dataset, tmp_path: Path
) -> None:
    version = save_dataset(timed, tmp_path, {"format": "table", "file": Path("plays.csv")})
    found = manifest(tmp_path)
    assert found["kind"] == "dataset"
    assert (found["n_events"], found["n_users"], found["n_items"]) == (6, 3, 5)
    assert found["has_times"] is True
    assert found["source"] == {"format": "table", "file": "plays.csv"}
    assert found["version"] == version


def test_side_files_are_kept_and_checked(timed: Dataset, tmp_path: Path) -> None:
    side = tmp_path / "left_out.csv"
    side.write_text("line,reason\n")
    version = save_dataset(timed, tmp_path / "data", side_files=[side])
    kept = tmp_path / "data" / f"parts-{version}" / "left_out.csv"
    assert kept.read_text() == "line,reason\n"
    kept.write_text("changed")
    with pytest.raises(BundleError, match=r"left_out\.csv: damaged"):
        load_dataset(tmp_path / "data")


def test_a_real_write_limit_leaves_the_old_data_set(timed: Dataset, tmp_path: Path) -> None:
    save_dataset(timed, tmp_path)
    code = f"""
        import resource
        from pathlib import Path
        from crossfade.data import save_dataset
        from crossfade.errors import BundleError
        from crossfade.testing import checkerboard

        data = checkerboard(60)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
        try:
            save_dataset(data, Path({str(tmp_path)!r}))
        except BundleError as error:
            print(error)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert "could not save the data set" in run.stdout
    assert "free space or choose another place" in run.stdout
    assert len(run.stdout.splitlines()) == 1
    assert_same(load_dataset(tmp_path), timed)


@pytest.mark.parametrize("table", ["events", "items", "users"])
def test_a_table_that_is_not_listed_is_named(timed: Dataset, tmp_path: Path, table: str) -> None:
    save_dataset(timed, tmp_path)
    files = manifest(tmp_path)["files"]
    del files[f"{table}.parquet"]
    change_manifest(tmp_path, files=files)
    with pytest.raises(BundleError, match=f"{table}.parquet: is not in the manifest.json of this"):
        load_dataset(tmp_path)
    next(tmp_path.rglob(f"{table}.parquet")).unlink()
    with pytest.raises(BundleError, match=f"damaged \\('{table}' is missing\\); import"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("key", ["name", "target"])
def test_a_manifest_without_a_fact_is_damaged(timed: Dataset, tmp_path: Path, key: str) -> None:
    save_dataset(timed, tmp_path)
    change_manifest(tmp_path, **{key: ""})
    with pytest.raises(BundleError, match=f"damaged \\('{key}' is missing\\)"):
        load_dataset(tmp_path)


def test_a_wrong_target_in_the_manifest_is_named(timed: Dataset, tmp_path: Path) -> None:
    save_dataset(timed, tmp_path)
    change_manifest(tmp_path, target={"min_valeu": 3})
    with pytest.raises(ConfigError, match="min_valeu is not a setting"):
        load_dataset(tmp_path)


def test_a_part_that_is_no_parquet_is_named(timed: Dataset, tmp_path: Path) -> None:
    version = save_dataset(timed, tmp_path)
    part = tmp_path / f"parts-{version}" / "items.parquet"
    part.write_bytes(b"not parquet")
    from crossfade.files import sha256

    files = {**manifest(tmp_path)["files"], "items.parquet": sha256(part)}
    change_manifest(tmp_path, files=files)
    with pytest.raises(BundleError, match=r"items\.parquet: damaged .*import the data again"):
        load_dataset(tmp_path)
