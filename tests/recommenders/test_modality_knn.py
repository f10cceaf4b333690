"""Similarity by modalities that are named: numbers by hand, and absence without influence."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset
from crossfade.data.vectors import conform_vectors
from crossfade.errors import ConfigError
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.recommenders.modality_knn import ModalityKNN, ModalityKNNConfig
from crossfade.recommenders.registry import make
from crossfade.testing import checkerboard
from crossfade.types import Floats

# The four played items look north, east, south, west, so their mean is nothing; e and f are new.
COVERS: dict[str, list[float]] = {"a": [0, 5], "b": [2, 0], "c": [0, -1], "d": [-3, 0], "e": [1, 1]}
TITLES = ["blue moon", "red moon", "blue train", "red train", "blue moon train", "blue moon"]


def data_of(covers: dict[str, list[float]] = COVERS) -> Dataset:
    events = pl.DataFrame({"user_id": list("uuvvwxyz"), "item_id": list("abbcabcd")})
    items = pl.DataFrame({"item_id": list("abcdef"), "title": TITLES})
    image = pl.DataFrame({"item_id": list(covers), "v": list(covers.values())}, strict=False)
    return Dataset.build(events, items, vectors={"image": image}, name="covers")


@pytest.fixture(scope="module")
def data() -> Dataset:
    return data_of()


def fitted(data: Dataset, *modalities: str) -> ModalityKNN:
    model: ModalityKNN = make("modality_knn", {"modalities": modalities}).fit(data)  # type: ignore[assignment]
    return model


def scores(model: ModalityKNN, *liked: int) -> Floats:
    found: Floats = model.score_batch(model.fold_in(liked))[0]
    return found


def test_cosines_by_hand(data: Dataset) -> None:
    half = np.sqrt(0.5)
    model = fitted(data, "image")
    found = scores(model, 0)
    assert found[:5] == pytest.approx([1, 0, -1, 0, half], abs=1e-6)
    assert np.isnan(found[5])  # has no cover
    assert scores(model, 0, 1)[[0, 2, 4]] == pytest.approx([half, -half, 1], abs=1e-6)
    assert model.similar(4)[:4] == pytest.approx([half, half, -half, -half], abs=1e-6)


def test_what_is_common_to_all_items_is_no_likeness() -> None:
    moved = data_of({name: [x + 100, y + 40] for name, (x, y) in [*COVERS.items()][:4]})
    # Length 1 comes before the mean is taken away, so far from the origin it is not exact.
    assert scores(fitted(moved, "image"), 0)[2] < -0.9


def test_an_item_without_a_modality_is_scored_as_if_there_were_none(data: Dataset) -> None:
    text, both = (scores(fitted(data, *m), 0) for m in (("text",), ("text", "image")))
    assert both[5] == text[5]
    image = scores(fitted(data, "image"), 0)
    np.testing.assert_allclose(both[:5], (text[:5] + image[:5]) / 2, atol=1e-6)


def test_a_history_without_a_modality_is_read_as_if_there_were_none(data: Dataset) -> None:
    text, both = (scores(fitted(data, *m), 5) for m in (("text",), ("text", "image")))
    np.testing.assert_array_equal(both, text)
    assert np.isnan(scores(fitted(data, "image"), 5)).all()


def test_each_part_is_owed_to_the_modality_that_acted(data: Dataset) -> None:
    # Real weights: text parts carry "description", image parts none; ablation leaves just the others.
    both, text = fitted(data, "text", "image"), fitted(data, "text")
    rows = [1, 4, 5]
    parts, alone = (m.attribute(m.fold_in([0]), rows) for m in (both, text))
    assert parts is not None
    assert alone is not None
    for place in range(len(rows)):
        mine = parts.place == place
        n = 2 if rows[place] != 5 else 1
        described = parts.part[mine & (parts.attribute == 0)].sum()
        assert described * n == pytest.approx(alone.part[alone.place == place].sum(), abs=1e-6)
        by_cover = parts.part[mine & (parts.attribute == -1)]
        assert by_cover.any() == (rows[place] == 4)  # b stands at a right angle; the last has none


def test_vectors_without_a_difference_say_nothing_and_the_model_says_so(data: Dataset) -> None:
    same = fitted(data_of({name: [0.1, 0.7] for name in "abcd"}), "image")
    assert np.isnan(scores(same, 0)).all()
    assert same.notices == ("modality_knn: no item has anything of image, so it says nothing",)
    assert fitted(data, "image").notices == ()


def test_modalities_that_are_no_content_or_not_there_are_refused(data: Dataset) -> None:
    with pytest.raises(ConfigError, match='"social" is made of events, social'):
        fitted(data, "social")
    with pytest.raises(ConfigError, match=r"import a table \[vectors.smell\]"):
        fitted(data, "smell")
    with pytest.raises(ConfigError, match="modalities"):
        make("modality_knn", {"modalities": []})
    assert ModalityKNNConfig().modalities == ("text",)


def test_a_bundle_keeps_vectors_and_lists(tmp_path: Path) -> None:
    board = checkerboard()
    cover = pl.DataFrame(
        {"item_id": board.item_ids.ids, "v": [[float(i % 2), 1.0] for i in range(21)]}
    )
    data = replace(board, vectors=conform_vectors({"image": cover}, board.item_ids))
    bases = {"modality_knn": {"modalities": ["image"]}, "popularity": {}}
    model = HybridModel.fit(data, HybridConfig(bases=bases))
    model.save(tmp_path / "bundle")
    again = HybridModel.load(tmp_path / "bundle")
    assert again.recommend(user="user003", k=3) == model.recommend(user="user003", k=3)
    assert again.dataset.vectors["image"].equals(data.vectors["image"])
