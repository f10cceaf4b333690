"""The sentence transformer of the extra ``text``; skips where that is not installed."""

import shutil
import socket
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from crossfade.errors import BundleError, ConfigError, MissingExtraError
from crossfade.features.text import N_DIMS, TextEncoder, make_encoder, minilm, restore_encoder

needs_extra = pytest.mark.skipif(
    find_spec("sentence_transformers") is None or find_spec(minilm.PACKAGE) is None,
    reason="the extra text is not installed",
)


def loads_model(test: Callable[..., None]) -> Callable[..., None]:
    """Importing the library alone takes seconds."""
    marked: Callable[..., None] = pytest.mark.slow(needs_extra(test))
    return marked


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return make_encoder("minilm", {"batch_size": 2})


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **named: Any) -> NoReturn:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@loads_model
@pytest.mark.usefixtures("no_network")
def test_meaning_counts_and_no_connection_is_made() -> None:
    fresh = make_encoder("minilm")
    texts = ["a happy song about summer", "joyful music for sunny days", "tax law of 1987"]
    vectors = fresh.fit([]).encode(texts)
    assert vectors.shape == (3, N_DIMS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    cosine = vectors @ vectors.T
    assert cosine[0, 1] > 0.4 > 0.2 > cosine[0, 2]


@loads_model
@pytest.mark.parametrize("text", ["", " ", "\n", "\x00", "\u200b", "🫠🫠"])
def test_a_text_with_nothing_known_is_nan(encoder: TextEncoder, text: str) -> None:
    vectors = encoder.encode(["jazz", text, "rock"])
    assert np.isnan(vectors[:, 0]).tolist() == [False, True, False]


@loads_model
def test_no_texts_give_no_vectors(encoder: TextEncoder) -> None:
    assert encoder.encode([]).shape == (0, N_DIMS)


@loads_model
def test_vectors_stay_with_their_texts_whatever_the_order(encoder: TextEncoder) -> None:
    texts = ["short", "a much longer text about jazz in the night", "", "blue train", "x \ud800"]
    one_by_one = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(encoder.encode(texts), one_by_one, atol=1e-5)


@loads_model
def test_a_100_kb_text_is_cut(encoder: TextEncoder) -> None:
    long = "all work and no play " * 5_000
    np.testing.assert_array_equal(encoder.encode([long]), encoder.encode([long[:1_000]]))


@loads_model
def test_restored_is_the_same(encoder: TextEncoder) -> None:
    restored = restore_encoder("minilm", encoder.settings, encoder.state())
    assert restored.fingerprint() == encoder.fingerprint()
    np.testing.assert_array_equal(restored.encode(["jazz"]), encoder.encode(["jazz"]))


@needs_extra
def test_another_model_is_not_taken_for_the_one_that_was_saved(encoder: TextEncoder) -> None:
    arrays = {"digest": encoder.state()["digest"][::-1].copy()}
    with pytest.raises(BundleError, match="holds another model"):
        restore_encoder("minilm", encoder.settings, arrays)


@needs_extra
def test_a_folder_of_ones_own_is_used(encoder: TextEncoder, tmp_path: Path) -> None:
    spec = find_spec(minilm.PACKAGE)
    assert spec is not None
    assert spec.submodule_search_locations
    copy = tmp_path / "model"
    shutil.copytree(Path(spec.submodule_search_locations[0]) / "model", copy)
    own = make_encoder("minilm", {"folder": str(copy)})
    assert own.fingerprint() == encoder.fingerprint()
    with (copy / "model.safetensors").open("ab") as file:
        file.write(b"\0")
    assert make_encoder("minilm", {"folder": copy}).fingerprint() != encoder.fingerprint()


@needs_extra
def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"lacks modules.json, tokenizer.json, model.safetensors"):
        make_encoder("minilm", {"folder": tmp_path})


@pytest.mark.parametrize("missing", ["sentence_transformers", minilm.PACKAGE])
def test_a_missing_extra_is_named_with_the_line_that_installs_it(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minilm, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(MissingExtraError, match=r"text encoder \"minilm\".*crossfade\[text\]"):
        make_encoder("minilm")
