"""Vectors by content: what is known is not made again, what is damaged is not believed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from crossfade.errors import BundleError
from crossfade.features.text import TextEncoder, base, encode_cached
from crossfade.progress import reporting_to
from crossfade.types import Arrays, Floats


class Lengths(TextEncoder):
    """Says how long a text is, and remembers what it was asked."""

    name = "lengths"
    n_dims = 3

    def __init__(self, version: str = "1") -> None:
        self.version = version
        self.asked: list[str] = []

    def fit(self, texts: Sequence[str], seed: int = 0) -> Self:
        return self

    def _encode(self, texts: Sequence[str], advance: Callable[[int], None]) -> Floats:
        self.asked += texts
        advance(len(texts))
        return np.array([[len(text) or np.nan, 0, 1] for text in texts], dtype=np.float32)

    @property
    def settings(self) -> dict[str, Any]:
        return {}

    def state(self) -> Arrays:
        return {}

    @classmethod
    def restore(cls, config: dict[str, Any], arrays: Arrays) -> Self:
        return cls()

    def fingerprint(self) -> str:
        return f"lengths-{self.version}"


def asked_for(texts: list[str], directory: Path | None, version: str = "1") -> list[str]:
    """What has to be encoded; checks that what comes back is right."""
    encoder = Lengths(version)
    vectors = encode_cached(encoder, texts, directory)
    np.testing.assert_array_equal(vectors, Lengths().encode(texts))
    return encoder.asked


def shards(directory: Path) -> list[Path]:
    return sorted(directory.glob("*/shard-*"))


def test_without_a_directory_equal_texts_are_encoded_once() -> None:
    assert asked_for(["a", "bb", "a", ""], None) == ["a", "bb", ""]


def test_only_what_changed_is_encoded_again(tmp_path: Path) -> None:
    assert asked_for(["a", "bb", "", "a"], tmp_path) == ["a", "bb", ""]
    assert asked_for(["bb", "a", ""], tmp_path) == []
    assert asked_for(["a", "ccc", "bb"], tmp_path) == ["ccc"]
    assert asked_for(["ccc", "a"], tmp_path) == []


def test_another_encoder_has_a_cache_of_its_own(tmp_path: Path) -> None:
    asked_for(["a"], tmp_path)
    assert asked_for(["a"], tmp_path, version="2") == ["a"]
    assert asked_for(["a"], tmp_path) == []


def test_nothing_to_encode_writes_nothing(tmp_path: Path) -> None:
    assert encode_cached(Lengths(), [], tmp_path).shape == (0, 3)
    assert shards(tmp_path) == []


def test_lone_surrogates_and_their_neighbours_are_kept_apart(tmp_path: Path) -> None:
    texts = ["\ud800", "\ud801", "?"]
    assert asked_for(texts, tmp_path) == texts
    assert asked_for(texts, tmp_path) == []


def test_a_damaged_shard_is_not_believed(tmp_path: Path) -> None:
    asked_for(["a", "bb"], tmp_path)
    asked_for(["a", "bb", "ccc"], tmp_path)
    (file,) = [
        path
        for path in tmp_path.rglob("*.safetensors")
        if b"\x00\x00\x40\x40" in path.read_bytes()  # 3.0: the length of "ccc"
    ]
    file.write_bytes(file.read_bytes().replace(b"\x00\x00\x40\x40", b"\x00\x00\x80\x40"))
    with pytest.warns(UserWarning, match=r"damaged.*checksum differs.*encoding its texts again"):
        assert asked_for(["a", "bb", "ccc"], tmp_path) == ["ccc"]
    assert asked_for(["a", "bb", "ccc"], tmp_path) == []


def test_a_shard_without_manifest_is_not_believed(tmp_path: Path) -> None:
    asked_for(["a"], tmp_path)
    (shards(tmp_path)[0] / "manifest.json").unlink()
    with pytest.warns(UserWarning, match="missing"):
        assert asked_for(["a"], tmp_path) == ["a"]


def test_other_peoples_files_are_left_alone(tmp_path: Path) -> None:
    asked_for(["a"], tmp_path)
    others = [tmp_path / "notes.txt", tmp_path / "lengths-1" / "shard-of-glass"]
    for file in others:
        file.write_text("mine")
    assert asked_for(["a", "b"], tmp_path) == ["b"]
    assert [file.read_text() for file in others] == ["mine", "mine"]


def test_work_that_is_stopped_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "BLOCK", 2)

    class Tired(Lengths):
        def _encode(self, texts: Sequence[str], advance: Callable[[int], None]) -> Floats:
            if self.asked:
                raise KeyboardInterrupt
            return super()._encode(texts, advance)

    with pytest.raises(KeyboardInterrupt):
        encode_cached(Tired(), ["a", "bb", "ccc", "dddd"], tmp_path)
    assert asked_for(["a", "bb", "ccc", "dddd"], tmp_path) == ["ccc", "dddd"]


def test_a_place_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    encoder = Lengths()
    with pytest.raises(BundleError, match=r"cannot keep text vectors here.*choose another"):
        encode_cached(encoder, ["a"], tmp_path / "file")
    assert encoder.asked == []


def test_progress_counts_texts_that_are_encoded(tmp_path: Path) -> None:
    class Notes:
        def __init__(self) -> None:
            self.lines: list[tuple[object, ...]] = []

        def start(self, task: str, total: int | None) -> None:
            self.lines.append((task, total))

        def advance(self, task: str, steps: int) -> None:
            self.lines.append((steps,))

        def note(self, task: str, text: str) -> None:
            self.lines.append((text,))

        def finish(self, task: str) -> None:
            self.lines.append(("done",))

    asked_for(["a"], tmp_path)
    notes = Notes()
    with reporting_to(notes):
        encode_cached(Lengths(), ["a", "bb", "ccc"], tmp_path)
        encode_cached(Lengths(), ["a"], tmp_path)
    assert notes.lines == [("encode texts (lengths)", 2), (2,), ("done",)]
