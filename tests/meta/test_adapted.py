"""The note that a gate was adapted: said of whom it is true, and of nobody else."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crossfade.data import Dataset
from crossfade.data.world import WorldConfig, make_world
from crossfade.hybrid import HybridConfig, HybridModel

NOTE = "adapted to your own reactions"
GATE = {
    "hidden": 8,
    "n_layers": 1,
    "user_dim": 4,
    "item_dim": 4,
    "train": {"epochs": 8, "lr": 0.02},
}
BASES: dict[str, dict[str, Any]] = {"popularity": {}, "genre_item_knn": {}, "genre_popularity": {}}


@pytest.fixture(scope="module")
def log() -> Dataset:
    return make_world(WorldConfig(n_listeners=60, n_tracks=150, n_plays=4_000), seed=5).dataset


def fitted(log: Dataset, fusion: str, **settings: Any) -> HybridModel:
    blend = {
        "fusion": fusion,
        "fusion_settings": {fusion: {**GATE, **settings}},
        "n_candidates": 20,
        "n_earlier_blocks": 1,
        "min_requests": 5,
    }
    return HybridModel.fit(log, HybridConfig(bases=BASES, blend=blend), seed=1)


@pytest.fixture(scope="module")
def model(log: Dataset) -> HybridModel:
    return fitted(log, "personalised", shrinkage=0.0)


def told(model: HybridModel, **who: Any) -> list[str]:
    return [line.why for line in model.recommend(k=8, explain=True, **who) if line.why]


def people_of(model: HybridModel) -> set[str]:
    assert model.learned is not None
    gate: Any = model.learned.model
    return set(model.dataset.user_ids.decode(gate.people))


def test_it_is_said_of_people_with_a_row_of_their_own(model: HybridModel) -> None:
    known, n_said = people_of(model), 0
    everybody = model.dataset.user_ids.ids.to_list()
    assert 0 < len(known) < len(everybody)
    for user in everybody:
        said = [NOTE in why for why in told(model, user=user)]
        assert user in known or not any(said)
        n_said += any(said)
    assert n_said > len(known) / 2


def test_it_is_not_said_of_strangers_nor_where_the_static_weights_answer(
    model: HybridModel,
) -> None:
    known = next(iter(sorted(people_of(model))))
    for who in ({}, {"items": ["track-001"]}, {"user": known, "genres": ["jazz"]}):
        assert told(model, **who)
        assert not any(NOTE in why for why in told(model, **who))


def test_a_gate_that_only_reads_context_adapts_to_nobody(log: Dataset) -> None:
    model = fitted(log, "meta")
    for user in log.user_ids.ids[:10]:
        assert told(model, user=user)
        assert not any(NOTE in why for why in told(model, user=user))


def test_a_move_of_no_account_is_not_told_of(model: HybridModel) -> None:
    sentences = model.config.explain.sentences.changed(adapted=0.999)
    config = model.config.changed(explain=model.config.explain.changed(sentences=sentences))
    deaf = HybridModel(
        model.dataset,
        config,
        model.bases,
        model.blend.choice,
        exclude_seen=True,
        seed=1,
        learned=model.learned,
    )
    assert not any(NOTE in why for user in people_of(model) for why in told(deaf, user=user))


def test_people_are_the_same_after_an_update(
    model: HybridModel, log: Dataset, tmp_path: Path
) -> None:
    # Somebody whose name comes first joins, and all rows move by one.
    old = log.events.select(
        user_id=log.user_ids.ids.gather(log.events["user_row"]),
        item_id=log.item_ids.ids.gather(log.events["item_row"]),
        timestamp="timestamp",
    )
    moment = old["timestamp"].max()
    new = old.head(3).with_columns(
        user_id=pl.lit("aaron"), timestamp=pl.lit(moment) + timedelta(hours=1)
    )
    friends = log.friends
    assert friends is not None
    now = Dataset.build(
        pl.concat([old, new]),
        log.items,
        target=log.target,
        name=log.name,
        friends=friends.select(
            user_id=log.user_ids.ids.gather(friends["user_row"]),
            friend_id=log.user_ids.ids.gather(friends["friend_row"]),
        ),
    )
    model.save(tmp_path / "old")
    later = HybridModel.update(model, now, seed=2)
    assert people_of(later) == people_of(model)
    assert not any(NOTE in why for why in told(later, user="aaron"))
