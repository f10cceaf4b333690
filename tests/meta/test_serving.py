"""Lists that are served: what is asked of them holds, one by one and for everybody at once."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset
from crossfade.data.world import WorldConfig, make_world
from crossfade.errors import ConfigError
from crossfade.fusion.base import Fused, Signals
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.meta.serving import AT_ONCE, Filters
from crossfade.ranking import RankingConfig

GATE = {"hidden": 8, "n_layers": 1, "user_dim": 4, "item_dim": 4, "train": {"epochs": 2}}
BLEND: dict[str, Any] = {
    "fusion": "meta",
    "fusion_settings": {"meta": GATE},
    "n_candidates": 5,
    "n_earlier_blocks": 1,
    "min_requests": 5,
}
BASES: dict[str, dict[str, Any]] = {"popularity": {}, "item_knn": {}, "genre_popularity": {}}
FREE = RankingConfig(max_per_creator=0)


@pytest.fixture(scope="module")
def world() -> Dataset:
    return make_world(WorldConfig(n_listeners=70, n_tracks=120, n_plays=4_000), seed=3).dataset


@pytest.fixture(scope="module", params=["meta", "static"])
def model(world: Dataset, request: pytest.FixtureRequest) -> HybridModel:
    blend = BLEND | {"fusion": request.param}
    return HybridModel.fit(world, HybridConfig(bases=BASES, blend=blend), seed=1)


def ids(model: HybridModel, k: int, **how: Any) -> list[str]:
    return [line.item_id for line in model.recommend(user="listener-03", k=k, **how)]


def test_everybody_at_once_gets_the_lists_of_each_alone(model: HybridModel) -> None:
    users = model.dataset.users["user_id"].to_list()
    assert len(users) > 2 * AT_ONCE
    table = model.recommend_batch(k=4)
    assert table["user_id"].unique(maintain_order=True).to_list() == users
    for user in users[:: len(users) // 7]:
        rows = table.filter(pl.col("user_id") == user)
        alone = model.recommend(user=user, k=4)
        assert rows["item_id"].to_list() == [line.item_id for line in alone]
        assert rows["rank"].to_list() == [line.rank for line in alone]
        np.testing.assert_allclose(
            rows["score"], [line.score for line in alone], rtol=1e-5, atol=1e-6
        )
        chances = [np.nan if line.probability is None else line.probability for line in alone]
        np.testing.assert_allclose(
            rows["probability"].fill_null(np.nan).to_numpy(), chances, rtol=1e-5
        )


def test_without_limits_a_list_is_the_best_by_score(model: HybridModel) -> None:
    query = model.query("listener-03")
    score = model.blend.score_batch(query)[0]
    order = np.lexsort((np.arange(len(score)), -np.nan_to_num(score, nan=-np.inf)))[:5]
    expected = model.dataset.item_ids.decode(order.astype(np.int32))
    assert ids(model, 5, ranking=FREE) == expected


def test_the_settings_limit_how_many_of_one_creator_are_listed(model: HybridModel) -> None:
    free = [line.creator for line in model.recommend(user="listener-03", k=30, ranking=FREE)]
    assert len(set(free)) < 30
    (served,) = model.lists.serve(model.query("listener-03"), 30, RankingConfig(max_per_creator=1))
    rows = served.ranked.item_row[: served.ranked.n_within]
    creators = [creator for _, _, creator in model.lists.names.of(rows)]
    assert len(set(creators)) == len(creators) > 10
    assert model.config.ranking.max_per_creator == 3


def test_a_rule_is_met_however_few_of_the_best_meet_it(model: HybridModel) -> None:
    items = model.dataset.items
    seen = set(model.query("listener-03").item_row.tolist())
    genre, _ = max(
        ((g, n) for g, n in items["genres"].explode().value_counts().iter_rows() if g),
        key=lambda pair: -pair[1],
    )
    fits = items["genres"].list.contains(genre).to_numpy()
    open_ = sum(bool(fits[row]) and row not in seen for row in range(len(fits)))
    k = min(open_, 6)
    assert k > 0
    found = ids(model, k, filters=Filters(rules=(f'genres has "{genre}"',)), ranking=FREE)
    rows = model.dataset.item_ids.rows(found)
    assert fits[rows].all()
    assert len(found) == len(set(found)) == k


def test_blocked_items_leave_and_nothing_else_changes_its_order(model: HybridModel) -> None:
    whole = ids(model, 12, ranking=FREE)
    blocked = ids(
        model, 10, filters=Filters(block=(whole[0], whole[4], "nobody knows")), ranking=FREE
    )
    assert blocked == [item for item in whole if item not in {whole[0], whole[4]}]


def test_only_allowed_items_come_back_and_as_many_as_there_are(model: HybridModel) -> None:
    seen = set(model.query("listener-03").item_row.tolist())
    open_ = [row for row in range(model.dataset.n_items) if row not in seen][-3:]
    allow = model.dataset.item_ids.decode(np.array(open_, dtype=np.int32))
    found = ids(model, 10, filters=Filters(allow=allow))
    assert set(found) <= set(allow)
    assert ids(model, 10, filters=Filters(allow=())) == []


def test_longer_lists_than_bases_propose_are_filled(model: HybridModel) -> None:
    seen = set(model.query("listener-03").item_row.tolist())
    score = model.blend.plain(model.query("listener-03"), np.array([True]))
    n_open = int((~np.isnan(score)).sum())
    assert n_open > 40
    assert len(ids(model, 40)) == 40
    assert not seen & set(model.dataset.item_ids.rows(ids(model, 40)).tolist())


def test_a_past_request_is_answered_as_of_then(model: HybridModel, world: Dataset) -> None:
    when = world.events["timestamp"][0] + timedelta(days=1)
    found = model.recommend(user="listener-03", k=3, as_of=when)
    assert found


def test_contradicting_rules_and_odd_lengths_are_refused(model: HybridModel) -> None:
    with pytest.raises(ConfigError, match="duration_ms"):
        ids(model, 5, filters=Filters(rules=("duration_ms < 1", "duration_ms > 5")))
    with pytest.raises(ConfigError, match="k must be 1 or more, got 0"):
        ids(model, 0)
    with pytest.raises(ConfigError, match="no_such"):
        ids(model, 5, filters=Filters(rules=("no_such = 1",)))


def test_explored_places_state_their_chance(model: HybridModel) -> None:
    ranking = RankingConfig(explore=0.3)
    lines = model.recommend(user="listener-03", k=10, ranking=ranking, rng=np.random.default_rng(0))
    assert sum(line.propensity < 1 for line in lines) == 3
    assert all(line.propensity > 0 for line in lines)


@pytest.mark.parametrize("model", ["meta"], indirect=True)
def test_a_filtered_list_names_who_answered_it(
    model: HybridModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The learned model knows what to say of the usual list, and not of these three items.
    allow = ids(model, 3, ranking=FREE)
    assert model.learned is not None
    forward = type(model.learned.model).forward

    def silent_on_three(self: Any, signals: Any) -> Any:
        fused = forward(self, signals)
        few = signals.mask.sum() <= 3
        return replace(fused, score=np.full_like(fused.score, np.nan)) if few else fused

    monkeypatch.setattr(type(model.learned.model), "forward", silent_on_three)
    lines = model.recommend(
        user="listener-03", k=3, filters=Filters(allow=allow), ranking=FREE, explain=True
    )
    assert {line.item_id for line in lines} == set(allow)
    prior = model.blend.choice.prior
    assert [line.weights for line in lines] == [{prior: 1.0}] * 3
    bases = {base for line in lines for reason in line.reasons for base in reason["bases"]}
    assert bases == {prior}


def test_weights_are_those_that_acted_and_sum_to_1(model: HybridModel) -> None:
    query = model.query("listener-03")
    (served,) = model.lists.serve(query, 5, FREE)
    assert served.told is not None
    assert served.weights is not None
    _, fused = served.told
    np.testing.assert_array_equal(served.weights, fused.weights[0][served.place])
    for line, weights in zip(model.lists.lines(query, served), served.weights, strict=True):
        assert sum(line.weights.values()) == pytest.approx(1, abs=1e-5)
        for label, weight in zip(BASES, weights, strict=True):
            assert line.weights.get(label, 0.0) == pytest.approx(float(weight))


def test_a_model_that_weighs_no_bases_names_none(world: Dataset) -> None:
    config = HybridConfig(bases=BASES, blend=BLEND | {"fusion": "ridge"})
    lines = HybridModel.fit(world, config, seed=1).recommend(user="listener-03", k=3)
    assert [line.weights for line in lines] == [{}, {}, {}]


def test_a_list_with_reasons_asks_its_model_once(
    model: HybridModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer, calls = model.blend.learned, []
    assert scorer is not None
    forward = scorer.fusion.forward

    def counting(signals: Signals) -> Fused:
        calls.append(signals)
        return forward(signals)

    monkeypatch.setattr(scorer.fusion, "forward", counting)
    assert model.recommend(user="listener-03", k=3, explain=True)
    assert len(calls) == 1
