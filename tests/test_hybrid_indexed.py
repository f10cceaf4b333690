"""A whole system whose bases of vectors propose through an index, and whose new items are looked at."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossfade.data import Dataset
from crossfade.data.arrivals import new_items
from crossfade.data.world import WorldConfig, make_world
from crossfade.errors import BundleError, MissingExtraError
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.meta.lists import ListBuilder
from crossfade.meta.serving import Filters
from crossfade.store import load_bundle, save_bundle
from crossfade.types import MICROSECONDS_PER_DAY

GATE = {"hidden": 8, "n_layers": 1, "user_dim": 4, "item_dim": 4, "train": {"epochs": 2}}
BLEND: dict[str, Any] = {
    "fusion": "meta",
    "fusion_settings": {"meta": GATE},
    "n_candidates": 10,
    "n_earlier_blocks": 0,
    "min_requests": 5,
}
BASES: dict[str, dict[str, Any]] = {
    "popularity": {},
    "ials": {"factors": 8, "iterations": 3},
    "item_knn": {},
}


@pytest.fixture(scope="module")
def world() -> Dataset:
    return make_world(WorldConfig(n_listeners=60, n_tracks=700, n_plays=6_000), seed=5).dataset


@pytest.fixture(scope="module")
def whole(world: Dataset) -> HybridModel:
    """Every base scores the catalogue."""
    return HybridModel.fit(world, HybridConfig(bases=BASES, blend=BLEND), seed=1)


@pytest.fixture(scope="module")
def indexed(world: Dataset, whole: HybridModel) -> HybridModel:
    """The same blend, over an index."""
    config = HybridConfig(bases=BASES, blend={**BLEND, "index_from": 100})
    return HybridModel.fit(world, config, 1, whole.blend.choice, whole.learned)


def lists(model: HybridModel, **more: Any) -> list[list[str]]:
    users = model.dataset.user_ids.ids.head(30)
    return [[r.item_id for r in model.recommend(user=u, k=10, **more)] for u in users]


def test_only_bases_of_vectors_are_indexed(whole: HybridModel, indexed: HybridModel) -> None:
    assert not whole.near
    assert list(indexed.near) == ["ials"]


def test_lists_through_an_index_are_nearly_those_of_the_whole_catalogue(
    whole: HybridModel, indexed: HybridModel
) -> None:
    pairs = list(zip(lists(whole), lists(indexed), strict=True))
    assert np.mean([len(set(a) & set(b)) / len(a) for a, b in pairs]) >= 0.95
    assert all(len(a) == len(b) for a, b in pairs)


def test_under_a_filter_the_catalogue_is_scored_and_lists_are_the_very_same(
    whole: HybridModel, indexed: HybridModel
) -> None:
    genre = str(whole.dataset.items["genres"].explode().drop_nulls()[0])
    filters = Filters(rules=[f'genres has "{genre}"'])
    assert lists(whole, filters=filters) == lists(indexed, filters=filters)


def test_all_at_once_are_the_lists_one_by_one(indexed: HybridModel) -> None:
    users = indexed.dataset.user_ids.ids.head(30).to_list()
    table = indexed.recommend_batch(users, k=10)
    found = {user: part["item_id"].to_list() for (user,), part in table.group_by("user_id")}
    assert [found[user] for user in users] == lists(indexed)


def test_a_listed_item_can_say_why(indexed: HybridModel) -> None:
    said = 0
    for user in indexed.dataset.user_ids.ids.head(10):
        best = indexed.recommend(user=user, k=3, explain=True)[0]
        alone = indexed.explain(user, best.item_id)
        assert alone is not None
        assert alone.score == pytest.approx(best.score, rel=1e-5)
        assert alone.why == best.why
        said += best.why is not None
    assert said > 0


def test_a_saved_index_finds_the_same(indexed: HybridModel, tmp_path: Path) -> None:
    indexed.save(tmp_path)
    again = HybridModel.load(tmp_path)
    assert list(again.near) == ["ials"]
    assert lists(again) == lists(indexed)


def test_a_bundle_without_its_index_is_damaged(indexed: HybridModel, tmp_path: Path) -> None:
    indexed.save(tmp_path)
    bundle = load_bundle(tmp_path)
    del bundle.arrays["near-ials"]
    save_bundle(bundle, tmp_path)
    with pytest.raises(BundleError, match="near-ials"):
        HybridModel.load(tmp_path)


def test_an_index_needs_its_extra(
    world: Dataset, whole: HybridModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    config = HybridConfig(bases=BASES, blend={**BLEND, "index_from": 100})
    with pytest.raises(MissingExtraError, match="ann"):
        HybridModel.fit(world, config, 1, whole.blend.choice, whole.learned)


# -- what is new -----------------------------------------------------------------------


def test_new_items_came_in_the_last_days(world: Dataset) -> None:
    assert world.time_us is not None
    found = set(new_items(world, 20.0).tolist())
    first: dict[int, int] = {}
    for row, time in zip(world.events["item_row"], world.time_us.tolist(), strict=True):
        first.setdefault(row, time)
    end = int(world.time_us[-1]) + 1
    released = world.items["release_date"].cast(int) if "release_date" in world.items else None
    for row in range(world.n_items):
        came = first.get(row)
        if released is not None and released[row] is not None:
            day = world.items["release_date"].dt.epoch("us")[row]
            came = day if day < end else came
        expected = came is not None and end - 20 * MICROSECONDS_PER_DAY <= came < end
        assert (row in found) == expected
    assert 0 < len(found) < world.n_items
    assert not len(new_items(world, 1e-9)[1:])


def test_new_items_are_proposed_besides(world: Dataset, whole: HybridModel) -> None:
    blend = {**BLEND, "n_new": 5, "new_days": 30.0}
    model = HybridModel.fit(
        world, HybridConfig(bases=BASES, blend=blend), 1, whole.blend.choice, whole.learned
    )
    new = new_items(world, 30.0)
    queries = world.queries(np.arange(20, dtype=np.int32))
    some, more = (
        m.blend.learned.lists.build(queries)[1] for m in (whole, model) if m.blend.learned
    )
    builder = whole.blend.learned.lists if whole.blend.learned else None
    assert isinstance(builder, ListBuilder)
    for usual, wider in zip(some, more, strict=True):
        added = np.setdiff1d(wider, usual)
        assert np.isin(added, new).all()
        assert set(usual) <= set(wider) | {-1}
        assert np.isin(wider, new).sum() >= 5
