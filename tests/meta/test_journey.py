"""A history followed: the moments, and what is served at each of them."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset
from crossfade.data.world import WorldConfig, make_world
from crossfade.errors import ConfigError, DataError, UnknownIdError
from crossfade.evaluation.journey import Journey
from crossfade.fusion import auto
from crossfade.fusion.verdict import SLICE_EDGES, Verdict, judge
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.meta.blending import BlendChoice
from crossfade.meta.journey import follow, moments_of
from crossfade.testing import checkerboard

GATE = {"hidden": 8, "n_layers": 1, "user_dim": 4, "item_dim": 4, "train": {"epochs": 2}}
BASES: dict[str, dict[str, Any]] = {"popularity": {}, "item_knn": {}, "ease": {}}
HALF = BlendChoice(
    "zscore", {"popularity": 0.25, "item_knn": 0.75, "ease": 0.0}, True, "item_knn", 0.0, 0.0,
    prior="popularity",
)  # fmt: skip


def fitted(
    data: Dataset, fusion: str, settings: dict[str, dict[str, Any]] | None = None
) -> HybridModel:
    blend = {
        "fusion": fusion,
        "fusion_settings": settings or {},
        "n_candidates": 10,
        "n_earlier_blocks": 0,
        "min_requests": 5,
    }
    return HybridModel.fit(data, HybridConfig(bases=BASES, blend=blend), seed=1)


@pytest.fixture(scope="module")
def world() -> Dataset:
    return make_world(WorldConfig(n_listeners=40, n_tracks=80, n_plays=3_000), seed=3).dataset


@pytest.fixture(scope="module")
def model(world: Dataset) -> HybridModel:
    return fitted(world, "meta", {"meta": GATE})


def inspected(model: HybridModel, user: str, **more: int) -> Journey:
    return follow(model.dataset, model.lists, user, model.config.ranking, **more)


@pytest.mark.parametrize(
    ("n_events", "n_points", "expected"),
    [
        (1, 12, [0, 1]),
        (3, 12, [0, 1, 2, 3]),
        (4, 12, [0, 1, 2, 3, 4]),
        (70, 12, [0, 1, 2, 3, 5, 10, 20, 50, 70]),
        (1_000, 30, [0, 1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1_000]),
        (70, 3, [0, 5, 70]),
        (70, 2, [0, 70]),
    ],
)
def test_moments_are_a_ladder_with_both_ends(
    n_events: int, n_points: int, expected: list[int]
) -> None:
    assert moments_of(n_events, n_points) == expected


def test_each_moment_is_what_recommend_says_as_of_it(model: HybridModel) -> None:
    user = model.dataset.user_ids.id(5)
    journey = inspected(model, user, k=7, n_points=5)
    n_events = model.dataset.events.filter(user_row=5).height
    assert [one.n_events for one in journey.moments][:: len(journey.moments) - 1] == [0, n_events]
    for one in journey.moments:
        assert one.as_of is not None
        lines = model.recommend(user=user, k=7, as_of=datetime.fromisoformat(one.as_of))
        assert (one.item_id, one.n_items) == (lines[0].item_id, 7)
        assert one.probability == lines[0].probability
        assert one.uncertainty == lines[0].uncertainty
        for base in BASES:
            mean = np.mean([line.weights.get(base, 0.0) for line in lines])
            assert one.weights[base] == pytest.approx(mean)
        assert sum(one.weights.values()) == pytest.approx(1, abs=1e-5)
        assert one.by == "model"


def test_a_gate_moves_its_weights_with_the_history(model: HybridModel) -> None:
    journey = inspected(model, model.dataset.user_ids.id(5))
    first, *_, last = journey.moments
    assert first.weights["item_knn"] == 0.0  # nobody's neighbours without an event
    assert last.weights["item_knn"] > 0.0


def test_events_of_one_moment_are_never_torn_apart() -> None:
    # ann's second and third event share a second, so there is no moment after just two.
    times = [datetime(2024, 1, day) for day in (1, 2, 2, 3)]
    log = pl.DataFrame(
        {
            "user_id": ["ann"] * 4 + ["bob"],
            "item_id": list("abcda"),
            "timestamp": [*times, times[0]],
        }
    )
    choice = BlendChoice("zscore", {"popularity": 1.0}, True, "popularity", 0.0, 0.0)
    config = HybridConfig(bases={"popularity": {}})
    model = HybridModel.fit(Dataset.build(log), config, choice=choice)
    assert [one.n_events for one in inspected(model, "ann").moments] == [0, 1, 3, 4]


def test_without_times_the_order_of_the_log_is_the_history() -> None:
    data = checkerboard(20, timed=False)
    model = HybridModel.fit(data, HybridConfig(bases=BASES), choice=HALF)
    journey = inspected(model, "user004")
    assert [one.n_events for one in journey.moments] == [0, 1, 2, 3, 5, 9]
    assert {one.as_of for one in journey.moments} == {None}


def test_a_static_system_says_so_and_keeps_its_weights() -> None:
    model = HybridModel.fit(checkerboard(20), HybridConfig(bases=BASES), choice=HALF)
    journey = inspected(model, "user004")
    assert journey.model == "static"
    assert {one.by for one in journey.moments} == {"static"}
    assert journey.moments[-1].weights == {"popularity": 0.25, "item_knn": 0.75, "ease": 0.0}
    assert journey.moments[-1].probability is None


def test_a_static_blend_that_was_learned_is_still_the_same_for_everybody(world: Dataset) -> None:
    journey = inspected(fitted(world, "static"), world.user_ids.id(5))
    assert journey.model == "static"
    assert {one.by for one in journey.moments} == {"static"}


def test_auto_says_at_which_moments_it_leaves_the_answer_to_the_static_blend(
    world: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def letting_serve(*given: Any, **more: Any) -> tuple[Verdict, ...]:
        return tuple(replace(one, serves=one.name == "hot") for one in judge(*given, **more))

    monkeypatch.setattr(auto, "judge", letting_serve)
    candidates = ["static", "meta", "ridge"]
    settings = {
        "auto": {"candidates": candidates, "settings": {"meta": GATE}, "even_requests": 1e9}
    }
    model = fitted(world, "auto", settings)
    users = world.events["user_row"].value_counts(sort=True)["user_row"]
    journey = inspected(model, world.user_ids.id(users[0]))
    positives = [
        int((world.queries([users[0]]).strength[: one.n_events] > 0).sum())
        for one in journey.moments
    ]
    assert [one.by for one in journey.moments] == [
        "model" if n > SLICE_EDGES[1] else "static" for n in positives
    ]
    assert max(positives) > SLICE_EDGES[1]
    # Ridge has a third of the score, by even shares, and no weights.
    assert journey.unweighed == pytest.approx({"ridge": 1 / 3}, abs=1e-3)


def test_a_model_that_weighs_no_bases_cannot_be_followed(world: Dataset) -> None:
    model = fitted(world, "ridge")
    with pytest.raises(ConfigError, match=r"ridge weighs no bases.*--fusion auto, meta or static"):
        inspected(model, world.user_ids.id(0))


def test_who_has_no_history_or_is_not_known_is_named(timed: Dataset) -> None:
    users = pl.DataFrame({"user_id": ["zoe"]})
    log = pl.DataFrame({"user_id": ["ann", "ann"], "item_id": ["a", "b"]})
    choice = BlendChoice("zscore", {"popularity": 1.0}, True, "popularity", 0.0, 0.0)
    config = HybridConfig(bases={"popularity": {}})
    data = Dataset.build(log, users=users, name="tiny")
    model = HybridModel.fit(data, config, choice=choice)
    with pytest.raises(DataError, match='user "zoe" is known but has no event in tiny'):
        inspected(model, "zoe")
    with pytest.raises(UnknownIdError, match='user "nobody" is unknown'):
        inspected(model, "nobody")


@pytest.mark.parametrize("more", [{"n_points": 1}, {"k": 0}])
def test_too_small_a_number_is_refused(model: HybridModel, more: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="points must be 2 or more and k 1 or more"):
        inspected(model, model.dataset.user_ids.id(0), **more)
