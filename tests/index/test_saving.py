"""An index that was saved is the same afterwards, and never answers for another model."""

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.index.vectors import clustered

from crossfade.errors import BundleError, MissingExtraError
from crossfade.files import MANIFEST
from crossfade.index import Index, IndexConfig, build_index, load_index
from crossfade.types import Arrays


def build(kind: str = "exact", storage: str = "float32", version: str = "v1") -> Index:
    vectors = clustered(3_000, 8, seed=0)
    vectors[5] = np.nan
    config = IndexConfig(kind=kind, storage=storage, pq_bytes=4, recall_k=5, max_rank_change=1e6)
    return build_index(vectors, config, version=version)


@pytest.mark.parametrize("kind", ["exact", "faiss"])
@pytest.mark.parametrize("storage", ["float32", "float16", "pq"])
def test_saving_and_loading_changes_nothing(kind: str, storage: str, tmp_path: Path) -> None:
    index, query = build(kind, storage), clustered(20, 8, seed=1)
    index.save(tmp_path)
    loaded = load_index(tmp_path, expected_version="v1")
    for k in (5, 3_000):
        before, after = index.search(query, k), loaded.search(query, k)
        np.testing.assert_array_equal(before[0], after[0])
        np.testing.assert_array_equal(before[1], after[1])
    assert loaded.report == index.report
    assert (loaded.version, loaded.n_items, loaded.width) == ("v1", 3_000, 8)
    assert loaded.longest == index.longest
    np.testing.assert_array_equal(loaded.vectors(), index.vectors())


def test_exported_vectors_are_those_given_with_gaps() -> None:
    vectors = clustered(3_000, 8, seed=0)
    vectors[5] = np.nan
    np.testing.assert_array_equal(build().vectors(), vectors)


def test_an_index_of_another_model_version_is_refused(tmp_path: Path) -> None:
    # A tower was trained again, and the index of its predecessor is still lying there.
    build(version="monday").save(tmp_path)
    with pytest.raises(
        BundleError, match="belongs to version monday, the model is version tuesday"
    ):
        load_index(tmp_path, expected_version="tuesday")
    assert load_index(tmp_path, expected_version="monday").version == "monday"
    assert load_index(tmp_path).version == "monday"


def test_a_new_index_takes_the_place_of_the_old(tmp_path: Path) -> None:
    build(version="monday").save(tmp_path)
    build(kind="faiss", version="tuesday").save(tmp_path)
    assert load_index(tmp_path, expected_version="tuesday").finder is not None
    assert len(list(tmp_path.iterdir())) == 2  # the manifest and one folder of parts


def test_an_index_inside_a_bundle_keeps_its_version() -> None:
    kept = build(kind="faiss").arrays()
    assert Index.from_arrays(kept, "v1").report["n_vectors"] == 2_999
    with pytest.raises(BundleError, match="belongs to version v1, the model is version v2"):
        Index.from_arrays(kept, "v2")


def test_the_manifest_tells_the_recall(tmp_path: Path) -> None:
    index = build(kind="faiss")
    index.save(tmp_path)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    assert manifest["model_version"] == "v1"
    assert manifest["report"]["recall"] == index.report["recall"]


def test_nothing_in_a_saved_index_can_run_code(tmp_path: Path) -> None:
    build(kind="faiss", storage="pq").save(tmp_path)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {file.suffix for file in files} == {".json", ".safetensors"}
    for file in files:
        with pytest.raises((pickle.UnpicklingError, ValueError, EOFError, KeyError, IndexError)):
            pickle.loads(file.read_bytes())


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    build().save(tmp_path)
    (file,) = tmp_path.rglob("*.safetensors")
    whole = bytearray(file.read_bytes())
    whole[-1] ^= 1
    file.write_bytes(whole)
    with pytest.raises(BundleError, match="checksum differs"):
        load_index(tmp_path)


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(BundleError, match="is not empty and holds no vector index"):
        build().save(tmp_path)
    with pytest.raises(BundleError, match="no vector index here"):
        load_index(tmp_path)


def without(arrays: Arrays, name: str) -> Arrays:
    return {key: array for key, array in arrays.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: without(a, "facts"), "damaged"),
        (lambda a: {**a, "facts": np.frombuffer(b"[1]", dtype=np.uint8)}, "damaged"),
        (lambda a: without(a, "rows"), "damaged"),
        (lambda a: without(a, "vectors"), "vectors are damaged"),
        (lambda a: {**a, "vectors": a["vectors"].astype(np.int64)}, "vectors are damaged"),
        (lambda a: {**a, "rows": a["rows"][1:]}, "do not belong together"),
        (lambda a: {**a, "rows": a["rows"] + np.int32(1)}, "do not belong together"),
        (lambda a: {**a, "faiss": a["faiss"][:40]}, "FAISS part is damaged"),
        (lambda a: without(a, "tuned"), "FAISS part is damaged"),
        (lambda a: {**a, "vectors": a["vectors"][:, :4]}, "expected 2,999 of 4"),
    ],
)
def test_arrays_that_make_no_index_are_refused(change: object, message: str) -> None:
    assert callable(change)
    with pytest.raises(BundleError, match=message):
        Index.from_arrays(change(build(kind="faiss").arrays()))


def test_loading_a_faiss_index_without_faiss_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(kind="faiss").save(tmp_path / "faiss")
    build(kind="exact", storage="pq").save(tmp_path / "pq")
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(
        MissingExtraError, match=r"index \"faiss\" needs an extra: .*crossfade\[ann\]"
    ):
        load_index(tmp_path / "faiss")
    # Codes are looked up without it.
    assert load_index(tmp_path / "pq").search(clustered(1, 8, seed=1), 3)[0].shape == (1, 3)
