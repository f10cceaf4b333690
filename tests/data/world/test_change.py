"""Tastes that change at a declared time, and a world that knows nothing of it where none is asked for."""

import zlib
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossfade.data.dataset import to_datetime
from crossfade.data.world import TasteChange, World, WorldConfig, make_world
from crossfade.data.world.change import Change
from crossfade.data.world.taste import Taste
from crossfade.types import Doubles

SIZE: dict[str, Any] = {
    "n_listeners": 60, "n_tracks": 120, "n_plays": 2_000, "n_days": 40, "n_artists": 20,
}  # fmt: skip
DAY = 20


def world(**change: Any) -> World:
    asked = TasteChange(day=DAY, **change) if change else None
    return make_world(WorldConfig(**SIZE, taste_change=asked), seed=3)


@pytest.fixture(scope="module")
def plain() -> World:
    return world()


@pytest.fixture(scope="module")
def sudden() -> World:
    return world(over_days=1)


def test_without_a_change_the_world_is_the_one_of_before_there_were_any(plain: World) -> None:
    # The number is that of the commit before changes were added.
    items = plain.dataset.events["item_row"].to_numpy()
    assert zlib.crc32(items.astype("<i4").tobytes()) == 1639141468


def test_before_a_change_the_world_is_the_same_to_the_last_bit(plain: World, sudden: World) -> None:
    first = to_datetime(int(np.datetime64("2024-01-01", "us").astype(int))) + timedelta(days=DAY)
    # A session goes on past midnight, and who plays late may have begun before.
    before = [made.dataset.events.filter(pl.col("timestamp") < first) for made in (plain, sudden)]
    assert before[0].height > 500
    assert before[0].equals(before[1])
    n = before[0].height
    assert plain.truth[:n].equals(sudden.truth[:n])
    assert not plain.dataset.events.equals(sudden.dataset.events)
    assert plain.dataset.items.equals(sudden.dataset.items)
    assert sudden.listeners.select(plain.listeners.columns).equals(plain.listeners)


def liking(made: World, end: str) -> Doubles:
    """How much each listener likes the genre of each of their plays, by the tastes of one end."""
    genre = made.tracks["genre_vector"].to_numpy().argmax(axis=1)
    events = made.dataset.events
    taste = made.listeners[f"genre_{end}"].to_numpy()
    found: Doubles = taste[events["user_row"], genre[events["item_row"]]].astype(np.float64)
    return found


def test_from_that_day_on_people_play_what_they_like_then_and_drop_what_they_did(
    plain: World, sudden: World
) -> None:
    day = sudden.dataset.events["timestamp"].dt.ordinal_day().to_numpy() - 1
    old, new = day < DAY - 1, day > DAY
    for end, there, elsewhere in (("start", old, new), ("after", new, old)):
        likes = liking(sudden, end)
        assert likes[there].mean() > likes[elsewhere].mean() + 0.4

    def kept(made: World) -> float:
        """Share of later plays of favourites that the same person had played as one in the first half."""
        plays = made.dataset.events.with_columns(
            made.truth, day=pl.col("timestamp").dt.ordinal_day() - 1
        ).filter(reason="favourite")
        pairs = plays.filter(pl.col("day") < DAY).select("user_row", "item_row").unique()
        late = plays.filter(pl.col("day") > DAY)
        return late.join(pairs, on=["user_row", "item_row"], how="semi").height / late.height

    # 0.06 and 0.52; with favourites that stay it is 0.33, since fewer of them fit the day's taste.
    assert kept(sudden) < 0.25 * kept(plain)


def test_a_gradual_change_comes_in_equal_steps_and_leaves_no_favourite() -> None:
    old, new = (Taste(*[np.full((2, 1), value, np.float32)] * 3) for value in (0.0, 1.0))
    change = Change(TasteChange(day=3, over_days=4), new, np.array([True, False]))
    tastes = [change.at(old, day).genre[:, 0].tolist() for day in range(9)]
    assert tastes == [[way, 0] for way in (0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1)]
    left = np.cumprod([1 - change.dropped(day) for day in range(9)], axis=0)
    np.testing.assert_allclose(left[:, 0], [1, 1, 1, 0.75, 0.5, 0.25, 0, 0, 0])
    assert (left[:, 1] == 1).all()


def test_it_befalls_a_share_of_listeners(sudden: World) -> None:
    assert sudden.listeners["changes"].all()
    some = world(share=0.25)
    assert some.listeners["changes"].sum() == 15


def test_genres_trade_places_for_everybody_alike() -> None:
    listeners = world(what="genres").listeners
    before, after = (listeners[f"genre_{end}"].to_numpy() for end in ("start", "after"))
    came_from = [np.flatnonzero((before == column[:, None]).all(axis=0)) for column in after.T]
    assert sorted(int(one) for (one,) in came_from) == list(range(12))
    assert all(one[0] != at for at, one in enumerate(came_from))
    for name in ("scene", "mood"):
        assert listeners[f"{name}_after"].equals(listeners[f"{name}_start"].alias(f"{name}_after"))
