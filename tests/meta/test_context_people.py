"""What a blend knows of friends and situations: where the data has them, and as of the request."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset, Queries
from crossfade.data.dataset import to_us
from crossfade.data.splits import ProtocolConfig, make_plan
from crossfade.data.world import WorldConfig, make_world
from crossfade.features.social import SOCIAL
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.meta.chain import gather
from crossfade.meta.context import ContextReader
from crossfade.meta.track import TrackRecord
from crossfade.types import Floats

START = datetime(2024, 1, 1, tzinfo=UTC)
NAN = math.nan
# u is a friend of v and w; v of nobody. The last event comes after all requests.
EVENTS = [
    ("v", "a", 0, "rain", 10.0),
    ("w", "a", 1, "sun", None),
    ("w", "b", 2, "sun", 12.0),
    ("u", "c", 3, "rain", 14.0),
    ("u", "c", 8, "snow", 99.0),
]
FRIENDS = [("u", "v"), ("u", "w"), ("w", "u")]


def log(n: int = 4, *, friends: bool = True, situations: bool = True) -> Dataset:
    users, items, days, weather, degrees = zip(*EVENTS[:n], strict=True)
    columns: dict[str, Any] = {
        "user_id": users,
        "item_id": items,
        "timestamp": [START + timedelta(days=day) for day in days],
    }
    if situations:
        columns |= {"context_weather": weather, "context_degrees": pl.Series(degrees)}
    return Dataset.build(
        pl.DataFrame(columns),
        pl.DataFrame({"item_id": ["a", "b", "c"]}),
        pl.DataFrame({"user_id": ["u", "v", "w"]}),
        friends=pl.DataFrame(FRIENDS, schema=["user_id", "friend_id"], orient="row")
        if friends
        else None,
    )


def reader_of(data: Dataset, like: ContextReader | None = None) -> ContextReader:
    known = None if like is None else like.environment
    return ContextReader(data, ("first",), TrackRecord.empty(data.n_users, 1), known)


def ask(data: Dataset, users: list[int], day: float | None) -> Queries:
    if day is None:
        return data.queries(users)
    return data.queries(users, np.full(len(users), to_us(START + timedelta(days=day))))


def social(reader: ContextReader, queries: Queries) -> Floats:
    rows = np.tile(np.array([0, 1, 2, -1], dtype=np.int32), (len(queries), 1))
    assert reader.item_columns[-len(SOCIAL) :] == SOCIAL
    return reader.item(queries, rows)[..., -len(SOCIAL) :]


def situation(reader: ContextReader, queries: Queries) -> dict[str, list[float]]:
    names, values = reader.user_columns, reader.user(queries)
    return {
        name.removeprefix("context_"): values[:, place].tolist()
        for place, name in enumerate(names)
        if name.startswith("context_")
    }


# -- friends ---------------------------------------------------------------------------


def test_what_friends_wanted_stands_beside_each_candidate() -> None:
    data = log()
    found = social(reader_of(data), ask(data, [0, 1], 5))
    two = math.log1p(2)
    one = math.log1p(1)
    np.testing.assert_allclose(
        found[0], [[two, 1, two], [two, 0.5, one], [two, 0, 0], [NAN] * 3], rtol=1e-6
    )
    np.testing.assert_allclose(found[1], [[0, NAN, 0]] * 3 + [[NAN] * 3], rtol=1e-6)


def test_strangers_have_unknown_friends() -> None:
    assert np.isnan(social(reader_of(log()), Queries.of_items([0], 3))).all()


def test_friends_are_read_as_of_the_end_of_the_log() -> None:
    early = log().before(START + timedelta(days=1.5))
    found = social(reader_of(early), ask(early, [0], 5))
    assert found[0, :, 2].tolist()[:3] == pytest.approx([math.log1p(2), 0, 0])


# -- situations ------------------------------------------------------------------------


@pytest.mark.parametrize("n", [4, 5])
def test_the_situation_is_the_last_one_before_the_request(n: int) -> None:
    # With and without an event in snow, later than the request.
    data = log(n)
    found = situation(reader_of(data, reader_of(log())), ask(data, [0, 2], 5))
    assert found == {"degrees": [14, 12], "weather=rain": [1, 0], "weather=sun": [0, 1]}


def test_an_event_at_the_moment_of_the_request_is_not_known_yet() -> None:
    data = log()
    found = situation(reader_of(data), ask(data, [0], 3))
    assert np.isnan(list(found.values())).all()


def test_strangers_are_in_an_unknown_situation() -> None:
    found = situation(reader_of(log()), Queries.of_items([0], 3))
    assert np.isnan(list(found.values())).all()


def test_a_weather_nobody_had_met_adds_no_column_to_what_was_learned() -> None:
    first, later = reader_of(log()), log(5)
    assert reader_of(later, first).user_columns == first.user_columns
    assert "context_weather=snow" in reader_of(later).user_columns


# -- sets with neither -----------------------------------------------------------------


def test_without_friends_and_situations_there_are_no_such_columns() -> None:
    data = log(friends=False, situations=False)
    reader, queries = reader_of(data), ask(data, [0, 1], 5)
    assert not [name for name in reader.user_columns if name.startswith("context_")]
    assert not set(SOCIAL) & set(reader.item_columns)
    rows = np.zeros((2, 1), dtype=np.int32)
    assert reader.user(queries).shape[-1] == len(reader.user_columns)
    assert reader.item(queries, rows).shape[-1] == len(reader.item_columns)


def test_all_other_columns_are_those_of_a_set_with_neither() -> None:
    rich, bare = log(), log(friends=False, situations=False)
    one, other = reader_of(rich), reader_of(bare)
    n_user, n_item = len(other.user_columns), len(other.item_columns)
    assert one.user_columns[:n_user] == other.user_columns
    assert one.item_columns[:n_item] == other.item_columns
    rows = np.array([[0, 1, 2, -1]], dtype=np.int32)
    ours, theirs = ask(rich, [0], 5), ask(bare, [0], 5)
    np.testing.assert_array_equal(one.user(ours)[:, :n_user], other.user(theirs))
    np.testing.assert_array_equal(one.item(ours, rows)[..., :n_item], other.item(theirs, rows))


# -- from learning to serving ----------------------------------------------------------

BASES: dict[str, dict[str, Any]] = {"popularity": {}, "item_knn": {}}
GATE = {"hidden": 8, "n_layers": 1, "user_dim": 4, "item_dim": 4, "train": {"epochs": 1}}
BLEND = {
    "fusion": "meta",
    "fusion_settings": {"meta": GATE},
    "n_candidates": 10,
    "n_earlier_blocks": 1,
    "min_requests": 5,
}


@pytest.fixture(scope="module")
def logs() -> tuple[Dataset, Dataset]:
    """A log, and the same log weeks later, when people own a device that nobody had."""
    now = make_world(WorldConfig(n_listeners=40, n_tracks=60, n_plays=2_500), seed=3).dataset
    first = pl.arange(0, now.n_events, eager=True) < now.n_events * 4 // 5
    before = now.where(first)
    device = (
        pl.when(first).then(pl.col("context_device").cast(pl.String)).otherwise(pl.lit("watch"))
    )
    return before, replace(now, events=now.events.with_columns(context_device=device))


def test_all_blocks_of_a_blend_have_the_columns_of_the_earliest(
    logs: tuple[Dataset, Dataset],
) -> None:
    # The device is named for the week, so every block meets one that the blocks before had not.
    week = pl.col("timestamp").dt.week().cast(pl.String)
    data = replace(logs[0], events=logs[0].events.with_columns(context_device=week))
    plan = make_plan(data, ProtocolConfig(), seed=0)
    config = HybridConfig(bases=BASES, blend=BLEND).blend
    material = gather(plan, BASES, config, seed=0)
    assert material.environment is not None
    names = material.train.signals.columns.user
    assert material.calibrate.signals.columns.user == names
    assert tuple(n for n in names if n.startswith("context_")) == material.environment.names
    assert len(material.environment.names) > 1


def test_a_saved_and_updated_blend_reads_the_situations_it_learned_with(
    logs: tuple[Dataset, Dataset], tmp_path: Any
) -> None:
    model = HybridModel.fit(logs[0], HybridConfig(bases=BASES, blend=BLEND), seed=1)
    assert model.learned is not None
    model.save(tmp_path / "bundle")
    again = HybridModel.load(tmp_path / "bundle")
    assert again.learned is not None
    assert again.learned.environment == model.learned.environment
    user = str(logs[0].user_ids.id(0))
    assert again.recommend(user=user, k=5) == model.recommend(user=user, k=5)
    updated = HybridModel.update(again, logs[1], seed=2)
    assert updated.learned is not None
    assert updated.learned.environment == model.learned.environment
    assert updated.recommend(user=user, k=5)
