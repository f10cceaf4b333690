"""Scores of given pairs: those of the lists, and none but those."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset
from crossfade.data.world import WorldConfig, make_world
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.meta import predicting
from crossfade.ranking import RankingConfig

GATE = {"hidden": 8, "n_layers": 1, "user_dim": 4, "item_dim": 4, "train": {"epochs": 2}}
AUTO = {"candidates": ("static", "fwls", "meta"), "n_folds": 2, "settings": {"meta": GATE}}
BLEND: dict[str, Any] = {
    "fusion_settings": {"meta": GATE, "auto": AUTO},
    "n_candidates": 8,
    "n_earlier_blocks": 1,
    "min_requests": 5,
}
BASES: dict[str, dict[str, Any]] = {"popularity": {}, "item_knn": {}, "content_knn": {}}
USER = "listener-03"


@pytest.fixture(scope="module")
def world() -> Dataset:
    return make_world(WorldConfig(n_listeners=50, n_tracks=120, n_plays=4_000), seed=3).dataset


@pytest.fixture(scope="module", params=["auto", "meta", "nothing learned"])
def model(world: Dataset, request: pytest.FixtureRequest) -> HybridModel:
    learns = request.param != "nothing learned"
    blend = BLEND | {"fusion": request.param if learns else "static"}
    fitted = HybridModel.fit(world, HybridConfig(bases=BASES, blend=blend), seed=1)
    if learns:
        assert fitted.learned is not None
        return fitted
    return HybridModel(
        world, fitted.config, fitted.bases, fitted.blend.choice, exclude_seen=True, seed=1
    )


def every(model: HybridModel, user: str = USER) -> pl.DataFrame:
    return model.predict([(user, item) for item in model.dataset.item_ids.ids])


def test_a_listed_item_has_the_score_and_probability_of_the_list(model: HybridModel) -> None:
    lines = model.recommend(user=USER, k=10, ranking=RankingConfig(max_per_creator=0))
    found = model.predict([(USER, line.item_id) for line in lines])
    assert found["item_id"].to_list() == [line.item_id for line in lines]
    assert found["score"].to_list() == [line.score for line in lines]
    assert found["probability"].to_list() == [line.probability for line in lines]


def test_any_other_item_has_the_score_of_its_explanation(model: HybridModel) -> None:
    found = every(model)
    assert found["score"].null_count() < len(found) / 2
    for _, item, score, chance in found.rows():
        line = model.explain(USER, item)
        assert (line is None) == (score is None)
        if line is not None:
            assert score == pytest.approx(line.score, rel=1e-5, abs=1e-6)
            assert (chance is None) == (line.probability is None) == (model.learned is None)
            assert chance is None or chance == pytest.approx(line.probability, rel=1e-5)


def test_what_else_is_asked_for_changes_nothing(
    model: HybridModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = every(model)
    monkeypatch.setattr(predicting, "LISTS_AT_ONCE", 3)
    apart = every(model)
    for name in ("score", "probability"):
        many, few = (frame[name].fill_null(np.nan).to_numpy() for frame in (together, apart))
        np.testing.assert_allclose(many, few, rtol=1e-5, atol=1e-6)
    alone = [model.predict([pair]) for pair in together.select("user_id", "item_id").rows()[::9]]
    np.testing.assert_allclose(
        pl.concat(alone)["score"].fill_null(np.nan),
        together["score"].fill_null(np.nan).to_numpy()[::9],
        rtol=1e-5,
        atol=1e-6,
    )


def test_what_is_unknown_or_cannot_be_scored_is_null(model: HybridModel) -> None:
    known = model.dataset.item_ids.id(int(model.query(USER).item_row[0]))
    (listed,) = model.recommend(user=USER, k=1)
    pairs = [
        (USER, listed.item_id),
        ("nobody", listed.item_id),
        (USER, "silence"),
        (USER, known),
        (USER, listed.item_id),
    ]
    found = model.predict(pairs)
    assert found.select("user_id", "item_id").rows() == pairs
    assert found["score"].is_null().to_list() == [False, True, True, True, False]
    assert found["probability"].is_null().to_list()[1:4] == [True] * 3
    assert found["score"][0] == found["score"][4] == listed.score
    assert (found["probability"][0] is None) == (model.learned is None)


def test_the_pairs_of_many_users_come_back_in_their_order(model: HybridModel) -> None:
    users = model.dataset.user_ids.ids[:4].to_list()
    items = model.dataset.item_ids.ids[:20].to_list()
    pairs = [(user, item) for item in items for user in users]
    found = model.predict(pairs)
    assert found.select("user_id", "item_id").rows() == pairs
    for user in users:
        mine = found.filter(pl.col("user_id") == user)
        np.testing.assert_array_equal(
            mine["score"].fill_null(np.nan),
            every(model, user)["score"].fill_null(np.nan).to_numpy()[:20],
        )


def test_no_pairs_are_an_empty_table(model: HybridModel) -> None:
    found = model.predict([])
    assert found.schema == {
        "user_id": pl.String,
        "item_id": pl.String,
        "score": pl.Float32,
        "probability": pl.Float64,
    }
    assert found.height == 0


@pytest.mark.parametrize("model", ["auto", "meta"], indirect=True)
def test_whom_the_learned_model_has_nothing_to_say_gets_the_score_of_the_prior(
    model: HybridModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert model.learned is not None
    forward = type(model.learned.model).forward

    def silent(self: Any, signals: Any) -> Any:
        fused = forward(self, signals)
        return replace(fused, score=np.full_like(fused.score, np.nan))

    monkeypatch.setattr(type(model.learned.model), "forward", silent)
    lines = model.recommend(user=USER, k=5, ranking=RankingConfig(max_per_creator=0), explain=True)
    found = model.predict([(USER, line.item_id) for line in lines])
    assert found["score"].to_list() == [line.score for line in lines]
    prior = model.blend.choice.prior
    assert prior is not None
    assert {tuple(line.weights) for line in lines} == {(prior,)}
    bases = {base for line in lines for reason in line.reasons for base in reason["bases"]}
    assert bases == {prior}
