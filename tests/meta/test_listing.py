"""What a system lists: the same for one request and for many, whoever answers each."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from crossfade.arrays import top_k
from crossfade.data import Dataset, Queries, Taste
from crossfade.data.world import WorldConfig, make_world
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.meta import listing
from crossfade.meta.listing import Listed, list_candidates

GATE = {"hidden": 8, "n_layers": 1, "user_dim": 4, "item_dim": 4, "train": {"epochs": 2}}
BLEND: dict[str, Any] = {
    "fusion": "meta",
    "fusion_settings": {"meta": GATE},
    "n_candidates": 10,
    "n_earlier_blocks": 1,
    "min_requests": 5,
}
BASES: dict[str, dict[str, Any]] = {"popularity": {}, "item_knn": {}, "genre_popularity": {}}


@pytest.fixture(scope="module")
def model() -> HybridModel:
    world = make_world(WorldConfig(n_listeners=40, n_tracks=80, n_plays=3_000), seed=3).dataset
    return HybridModel.fit(world, HybridConfig(bases=BASES, blend=BLEND), seed=1)


def listed(model: HybridModel, queries: Queries) -> Listed:
    assert model.learned is not None
    return list_candidates(model.blend, queries, model.learned.calibrator)


def mixed(dataset: Dataset) -> Queries:
    """Ten known users, every third of whom names a genre."""
    queries = dataset.queries(np.arange(10, dtype=np.int32))
    tastes = tuple(Taste(genres=("jazz",)) if i % 3 == 0 else Taste() for i in range(10))
    return replace(queries, tastes=tastes)


def test_the_best_of_a_list_are_the_best_of_the_catalogue(model: HybridModel) -> None:
    queries = mixed(model.dataset)
    found = listed(model, queries)
    assert found.by_model.tolist() == [i % 3 != 0 for i in range(10)]
    best = top_k(found.score, 7)
    rows = np.take_along_axis(found.item_row, np.maximum(best, 0), axis=1)
    np.testing.assert_array_equal(rows, top_k(model.blend.score_batch(queries), 7))


def test_many_are_listed_as_each_alone(model: HybridModel) -> None:
    queries = mixed(model.dataset)
    together = listed(model, queries)
    for place in range(len(queries)):
        alone = listed(model, queries.take([place]))
        width = alone.item_row.shape[1]
        assert (together.item_row[place, width:] == -1).all()
        np.testing.assert_array_equal(together.item_row[place, :width], alone.item_row[0])
        for name in ("score", "probability", "uncertainty"):
            many, one = getattr(together, name)[place, :width], getattr(alone, name)[0]
            np.testing.assert_allclose(many, one, rtol=1e-5, atol=1e-6, err_msg=name)


def test_only_a_calibrated_model_states_probabilities(model: HybridModel) -> None:
    queries = mixed(model.dataset)
    found = listed(model, queries)
    there = ~np.isnan(found.score)
    assert (~np.isnan(found.probability) == (there & found.by_model[:, None])).all()
    uncalibrated = list_candidates(model.blend, queries, None)
    assert np.isnan(uncalibrated.probability).all()
    np.testing.assert_array_equal(uncalibrated.score, found.score)


def test_whom_no_learned_model_answers_gets_the_best_of_the_catalogue(
    model: HybridModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "POOL", 7)
    stranger = Queries.of_items([], model.dataset.n_items)
    stating = replace(stranger, tastes=(Taste(genres=("jazz",)),))
    found = listed(model, stating)
    assert not found.by_model.any()
    np.testing.assert_array_equal(found.item_row, top_k(model.blend.score_batch(stating), 7))


def test_nobody_asking_is_an_empty_batch(model: HybridModel) -> None:
    nobody = model.dataset.queries(np.zeros(0, dtype=np.int32))
    assert len(listed(model, nobody)) == 0
