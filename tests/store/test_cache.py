"""A cache on disk: what is kept comes back, within a bound, and nothing else is touched."""

import os
from pathlib import Path

import numpy as np
import pytest

from crossfade.errors import BundleError
from crossfade.files import MANIFEST
from crossfade.store.cache import ROOM, ArrayCache

A, B, C = (letter * 64 for letter in "abc")
SIZE = 800_000


def arrays(value: float = 1.0) -> dict[str, np.ndarray]:
    return {"x": np.full(SIZE // 8, value), "empty": np.zeros((0, 3), dtype=np.int32)}


def a_cache(directory: Path, n_entries: float = 10) -> ArrayCache:
    return ArrayCache(directory, int(n_entries * (SIZE + ROOM)))


def test_what_is_kept_comes_back_to_the_byte(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    assert cache.get(A) is None
    given = {"x": np.array([np.nan, -0.0, 1.0], dtype=np.float32), "flag": np.array([True])}
    cache.put(A, {"clock": True}, given)
    found = cache.get(A)
    assert found is not None
    header, kept = found
    assert header == {"clock": True}
    for name, array in given.items():
        assert kept[name].tobytes() == array.tobytes()
        assert kept[name].dtype == array.dtype
    assert cache.get(B) is None


def test_a_key_holds_what_was_put_last(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    cache.put(A, {}, arrays(1.0))
    size = cache.n_bytes()
    cache.put(A, {}, arrays(2.0))
    found = cache.get(A)
    assert found is not None
    assert found[1]["x"][0] == 2.0
    assert cache.n_bytes() == size


def used(cache: ArrayCache, key: str, at: float) -> None:
    os.utime(cache.place(key) / MANIFEST, (at, at))


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    cache = a_cache(tmp_path, n_entries=2)
    cache.put(A, {}, arrays())
    cache.put(B, {}, arrays())
    used(cache, A, 100.0)
    used(cache, B, 200.0)
    assert cache.get(A) is not None  # so B is the one that waited longest
    assert cache.put(C, {}, arrays()) == 1
    assert cache.get(B) is None
    assert not cache.place(B).exists()
    assert cache.get(A) is not None
    assert cache.get(C) is not None


def test_the_directory_never_holds_more_than_the_bound(tmp_path: Path) -> None:
    cache = a_cache(tmp_path, n_entries=2.5)
    for key in "0123456789":
        cache.put(key * 64, {"names": ["x" * 50] * 100}, arrays())
        assert cache.n_bytes() <= 2.5 * (SIZE + ROOM)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_smaller_bound_makes_room_at_the_next_write(tmp_path: Path) -> None:
    for key in (A, B):
        a_cache(tmp_path).put(key, {}, arrays())
    assert a_cache(tmp_path, n_entries=1).put(C, {}, arrays()) == 2


def test_what_is_too_large_is_refused_and_costs_nobody_their_place(tmp_path: Path) -> None:
    a_cache(tmp_path).put(A, {}, arrays())
    small = a_cache(tmp_path, n_entries=0.5)
    with pytest.raises(BundleError, match=r"needs 900,000 bytes and cache.max_bytes is 450,000"):
        small.put(B, {}, arrays())
    assert small.get(A) is not None


def test_nothing_but_its_own_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_bytes(b"mine" * SIZE)
    (tmp_path / "lists-of-mine").mkdir()
    (tmp_path / "lists-of-mine" / "a.txt").write_text("mine")
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    (elsewhere / "b.txt").write_text("mine")
    (tmp_path / f"lists-{C}").symlink_to(elsewhere)
    cache = a_cache(tmp_path, n_entries=1)
    cache.put(A, {}, arrays())
    (cache.place(A) / "notes.txt").write_text("mine")
    assert cache.put(B, {}, arrays()) == 1
    assert sorted(path.name for path in cache.place(A).iterdir()) == ["notes.txt"]
    assert (tmp_path / "thesis.doc").stat().st_size == 4 * SIZE
    assert (tmp_path / "lists-of-mine" / "a.txt").read_text() == "mine"
    assert (elsewhere / "b.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "harm", ["flip", "cut", "no part", "no manifest", "half a manifest", "nothing else"]
)
def test_a_damaged_entry_is_told_and_can_be_written_again(tmp_path: Path, harm: str) -> None:
    cache = a_cache(tmp_path)
    cache.put(A, {}, arrays())
    (part,) = cache.place(A).glob("parts-*/*.safetensors")
    manifest = cache.place(A) / MANIFEST
    if harm == "flip":
        data = bytearray(part.read_bytes())
        data[-1] ^= 1
        part.write_bytes(data)
    elif harm == "cut":
        part.write_bytes(part.read_bytes()[:1000])
    elif harm == "no part":
        part.unlink()
        part.parent.rmdir()
    elif harm == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text(manifest.read_text()[:40])
        if harm == "nothing else":
            part.unlink()
            part.parent.rmdir()
    with pytest.raises(BundleError, match=str(cache.place(A))):
        cache.get(A)
    cache.forget(A)
    cache.put(A, {}, arrays(3.0))
    found = cache.get(A)
    assert found is not None
    assert found[1]["x"][0] == 3.0
    assert len(list(cache.place(A).iterdir())) == 2  # nothing of the old one is left


def test_a_place_where_no_directory_can_be_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match=r"cannot keep a cache here .*choose another directory"):
        ArrayCache(tmp_path / "file", 1)


def test_a_cache_that_can_only_be_read_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    cache = a_cache(tmp_path)
    cache.put(A, {}, arrays())
    monkeypatch.setattr(os, "utime", refuse)
    assert cache.get(A) is not None
