import json
import mmap
import pickle
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError

from crossfade.data import save_dataset
from crossfade.errors import BundleError
from crossfade.files import MANIFEST, sha256
from crossfade.store import Bundle, bundle, load_bundle, save_bundle
from crossfade.testing import tiny_catalogue
from crossfade.types import Arrays

CONTENT = Bundle(
    {"seed": 3, "metrics": {"ndcg@10": 0.05}},
    {
        "base-a": {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "empty": np.zeros((0, 4))},
        "base-b": {"n": np.array([1, 2], dtype=np.int64)},
    },
    {"items": pl.DataFrame({"item_id": ["a", "b"], "genres": [["x"], []]})},
)


def test_saving_and_loading_changes_nothing(tmp_path: Path) -> None:
    version = save_bundle(CONTENT, tmp_path)
    loaded = load_bundle(tmp_path)
    assert loaded.version == version
    assert loaded.header["metrics"] == {"ndcg@10": 0.05}
    assert loaded.frames["items"].equals(CONTENT.frames["items"])
    for name, arrays in CONTENT.arrays.items():
        assert loaded.arrays[name].keys() == arrays.keys()
        for key, array in arrays.items():
            np.testing.assert_array_equal(loaded.arrays[name][key], array)
            assert loaded.arrays[name][key].dtype == array.dtype


def test_a_loaded_bundle_can_be_saved_again(tmp_path: Path) -> None:
    first = save_bundle(CONTENT, tmp_path / "first")
    second = save_bundle(load_bundle(tmp_path / "first"), tmp_path / "second")
    copy = load_bundle(tmp_path / "second")
    assert first != second == copy.version
    assert copy.header["seed"] == 3


def test_the_manifest_lists_what_is_there_now(tmp_path: Path) -> None:
    save_bundle(CONTENT, tmp_path)
    loaded = load_bundle(tmp_path)
    del loaded.arrays["base-b"]
    save_bundle(loaded, tmp_path)
    assert load_bundle(tmp_path).arrays.keys() == {"base-a"}


def test_an_array_in_any_memory_order_is_saved_as_it_reads(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    views = {"turned": array.T, "every_other": array[:, ::2], "backwards": array[::-1]}
    save_bundle(Bundle({}, {"m": dict(views)}, {}), tmp_path)
    for name, view in views.items():
        np.testing.assert_array_equal(load_bundle(tmp_path).arrays["m"][name], view)


def test_nothing_in_a_bundle_can_run_code(tmp_path: Path) -> None:
    save_bundle(CONTENT, tmp_path)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {file.suffix for file in files} == {".json", ".safetensors", ".parquet"}
    for file in files:
        with pytest.raises((pickle.UnpicklingError, ValueError, EOFError, KeyError, IndexError)):
            pickle.loads(file.read_bytes())


def test_an_array_of_objects_is_refused(tmp_path: Path) -> None:
    odd = Bundle({}, {"m": {"x": np.array([{}, None], dtype=object)}}, {})
    with pytest.raises((BundleError, KeyError)):
        save_bundle(odd, tmp_path)
    assert not (tmp_path / MANIFEST).exists()


def test_a_disk_that_fills_up_while_arrays_are_written_leaves_the_old_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = save_bundle(CONTENT, tmp_path)

    def full(arrays: Any, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        )

    monkeypatch.setattr(bundle, "save_file", full)
    with pytest.raises(BundleError, match=r"\(No space left on device\); free space"):
        save_bundle(CONTENT, tmp_path)
    assert load_bundle(tmp_path).version == old
    assert len(list(tmp_path.iterdir())) == 2


def test_a_real_write_limit_leaves_the_old_bundle(tmp_path: Path) -> None:
    old = save_bundle(CONTENT, tmp_path)
    code = f"""
        import resource
        from pathlib import Path
        import numpy as np
        from crossfade.errors import BundleError
        from crossfade.store import Bundle, save_bundle

        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
        try:
            save_bundle(Bundle({{}}, {{"m": {{"x": np.zeros(10_000)}}}}, {{}}), Path({str(tmp_path)!r}))
        except BundleError as error:
            print(error)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert "could not save the bundle (File too large)" in run.stdout
    assert load_bundle(tmp_path).version == old


@pytest.mark.parametrize("part", ["base-a.safetensors", "items.parquet"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_part_is_named(tmp_path: Path, part: str, damage: str) -> None:
    path = tmp_path / f"parts-{save_bundle(CONTENT, tmp_path)}" / part
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "flip":
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    else:
        path.unlink()
    with pytest.raises(BundleError, match=f"{part}: (damaged|missing)"):
        load_bundle(tmp_path)


@pytest.mark.parametrize("part", ["base-a.safetensors", "items.parquet"])
def test_a_part_with_a_right_checksum_and_wrong_content_is_damaged(
    tmp_path: Path, part: str
) -> None:
    path = tmp_path / f"parts-{save_bundle(CONTENT, tmp_path)}" / part
    path.write_bytes(b"neither arrays nor tables")
    files = json.loads((tmp_path / MANIFEST).read_text())["files"]
    change_manifest(tmp_path, files={**files, part: sha256(path)})
    with pytest.raises(BundleError, match="damaged"):
        load_bundle(tmp_path)


def test_a_field_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    save_bundle(CONTENT, tmp_path)
    assert load_bundle(tmp_path, ("seed", "metrics")).header["seed"] == 3
    change_manifest(tmp_path, surprise=1)
    with pytest.raises(BundleError, match="unknown field surprise in its manifest; it was changed"):
        load_bundle(tmp_path, ("seed", "metrics"))


@pytest.mark.parametrize("group", ["arrays", "frames"])
def test_a_listed_file_that_belongs_to_nothing_is_refused(tmp_path: Path, group: str) -> None:
    save_bundle(CONTENT, tmp_path)
    change_manifest(tmp_path, **{group: []})
    with pytest.raises(BundleError, match="is not both a file and an array or frame"):
        load_bundle(tmp_path)


# -- schemas of before -----------------------------------------------------------------


def as_schema_0(directory: Path) -> None:
    """A made-up layout in which the seed was called chance, and array n was counted from 1."""
    old = {name: value for name, value in CONTENT.header.items() if name != "seed"}
    arrays: dict[str, Arrays] = {
        **CONTENT.arrays,
        "base-b": {"n": np.array([2, 3], dtype=np.int64)},
    }
    save_bundle(Bundle({**old, "chance": 3}, arrays, CONTENT.frames), directory)
    change_manifest(directory, schema=0)


def from_schema_0(old: Bundle) -> Bundle:
    header = {**old.header, "seed": old.header["chance"]}
    del header["chance"]
    counted = {"n": old.arrays["base-b"]["n"] - 1}
    return Bundle(header, {**old.arrays, "base-b": counted}, old.frames, old.version)


def test_an_old_schema_is_refused_with_the_mend(tmp_path: Path) -> None:
    as_schema_0(tmp_path)
    with pytest.raises(
        BundleError, match="has schema 0, this crossfade reads 1 and later; make it"
    ):
        load_bundle(tmp_path)


def test_an_old_schema_with_a_migration_is_read_as_todays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_schema_0(tmp_path)
    monkeypatch.setattr(bundle, "SCHEMA", 1)
    monkeypatch.setitem(bundle.MIGRATIONS, 0, from_schema_0)
    loaded = load_bundle(tmp_path, ("seed", "metrics"))
    assert (loaded.header["seed"], loaded.header["schema"]) == (3, 1)
    np.testing.assert_array_equal(loaded.arrays["base-b"]["n"], CONTENT.arrays["base-b"]["n"])
    save_bundle(loaded, tmp_path / "new")
    monkeypatch.delitem(bundle.MIGRATIONS, 0)
    assert load_bundle(tmp_path / "new").header["seed"] == 3


def test_migrations_follow_each_other_and_a_gap_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_schema_0(tmp_path)
    monkeypatch.setattr(bundle, "SCHEMA", 3)

    def noted(old: Bundle) -> Bundle:
        steps = [*old.header.get("steps", []), old.header["schema"]]
        return Bundle({**old.header, "steps": steps}, old.arrays, old.frames, old.version)

    for schema in (1, 2):
        monkeypatch.setitem(bundle.MIGRATIONS, schema, noted)
    with pytest.raises(BundleError, match="reads 1 and later"):
        load_bundle(tmp_path)
    monkeypatch.setitem(bundle.MIGRATIONS, 0, noted)
    assert load_bundle(tmp_path).header["steps"] == [0, 1, 2]


# -- arrays are mapped -----------------------------------------------------------------


def test_arrays_are_mapped_and_writing_to_one_never_reaches_the_file(tmp_path: Path) -> None:
    save_bundle(CONTENT, tmp_path)
    loaded = load_bundle(tmp_path).arrays["base-a"]["x"]
    owner: object = loaded.base
    assert isinstance(owner, mmap.mmap)
    loaded[0, 0] = 7
    again = load_bundle(tmp_path)  # every checksum still holds
    assert again.arrays["base-a"]["x"][0, 0] == 0


def test_a_new_version_does_not_disturb_the_arrays_of_a_loaded_one(tmp_path: Path) -> None:
    save_bundle(CONTENT, tmp_path)
    loaded = load_bundle(tmp_path)
    save_bundle(Bundle({}, {"base-a": {"x": np.full((2, 3), 9, dtype=np.float32)}}, {}), tmp_path)
    np.testing.assert_array_equal(loaded.arrays["base-a"]["x"], CONTENT.arrays["base-a"]["x"])


@pytest.mark.parametrize(
    "kind", ["?", "u1", "i1", "u2", "i2", "f2", "u4", "i4", "f4", "u8", "i8", "f8", "c8"]
)
def test_every_kind_of_number_comes_back_aligned(tmp_path: Path, kind: str) -> None:
    arrays = {
        "odd": np.array([1, 0, 1], dtype=np.uint8),
        "x": np.arange(6).reshape(2, 3).astype(kind),
        "one": np.array(1, dtype=kind),
        "none": np.zeros((0, 2), dtype=kind),
    }
    save_bundle(Bundle({}, {"m": dict(arrays)}, {}), tmp_path)
    loaded = load_bundle(tmp_path).arrays["m"]
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert (loaded[name].dtype, loaded[name].shape) == (array.dtype, array.shape)
        assert loaded[name].flags.aligned
        assert loaded[name].flags.writeable


def test_arrays_that_reach_beyond_their_file_are_damage_even_with_a_right_checksum(
    tmp_path: Path,
) -> None:
    path = tmp_path / f"parts-{save_bundle(CONTENT, tmp_path)}" / "base-b.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    files = json.loads((tmp_path / MANIFEST).read_text())["files"]
    change_manifest(tmp_path, files={**files, path.name: sha256(path)})
    with pytest.raises(BundleError, match="damaged"):
        load_bundle(tmp_path)


def test_a_data_set_is_no_bundle(tmp_path: Path) -> None:
    save_dataset(tiny_catalogue(), tmp_path)
    with pytest.raises(BundleError, match="expected a bundle, found a data set; check the path"):
        load_bundle(tmp_path)
    with pytest.raises(BundleError, match="holds a data set, not a bundle; choose another"):
        save_bundle(CONTENT, tmp_path)


JSON = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.text(max_size=3), st.just([]), st.just({}),
    st.just(["nothing"]), st.just({"nothing": 1}),
)  # fmt: skip


def change_manifest(directory: Path, **values: Any) -> None:
    manifest = json.loads((directory / MANIFEST).read_text())
    (directory / MANIFEST).write_text(json.dumps({**manifest, **values}))


@given(st.sampled_from(["kind", "schema", "version", "files", "arrays", "frames"]), JSON)
def test_a_wrong_entry_of_a_manifest_never_raises_anything_else(key: str, value: Any) -> None:
    with TemporaryDirectory() as directory:
        save_bundle(CONTENT, Path(directory))
        change_manifest(Path(directory), **{key: value})
        with suppress(BundleError):
            load_bundle(Path(directory))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kind", None),
        ("schema", bundle.SCHEMA + 1),
        ("schema", "1"),
        ("version", "elsewhere"),
        ("version", None),
        ("files", []),
        ("files", {}),  # parts without a checksum are not read
        ("arrays", None),
        ("arrays", ["nothing"]),
        ("arrays", [["base-a"]]),
        ("frames", {"nothing": 1}),
    ],
)
def test_a_manifest_that_does_not_fit_its_parts_is_refused(
    tmp_path: Path, key: str, value: Any
) -> None:
    save_bundle(CONTENT, tmp_path)
    change_manifest(tmp_path, **{key: value})
    with pytest.raises(BundleError):
        load_bundle(tmp_path)
