"""A half-life is tuned out of time, and kept only where it wins twice."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset
from crossfade.data.splits import Plan, ProtocolConfig, make_plan
from crossfade.errors import ConfigError
from crossfade.meta.fading import tune_half_life

DAY0 = datetime(2024, 1, 1, tzinfo=UTC)
TRIED = (1.0, 20.0)


def plan(*popular: tuple[int, str], timed: bool = True) -> Plan:
    """Forty days on which three plays of four are of one half of twenty items: "a" or "b", day after day.

    The fuse block is about days 24 to 27, the calibrate block days 28 to 31.
    """
    rng = np.random.default_rng(0)
    days = [half for n_days, half in popular for _ in range(n_days)]
    rows = []
    for day, half in enumerate(days):
        for place in range(60):
            side = half if rng.random() < 0.75 else "ab"[rng.integers(2)]
            who = f"u{rng.integers(150)}"
            rows.append(
                (who, f"{side}{rng.integers(10)}", DAY0 + timedelta(days=day, minutes=place))
            )
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    if not timed:
        return make_plan(
            Dataset.build(frame.drop("timestamp"), None), ProtocolConfig(name="user"), 0
        )
    return make_plan(Dataset.build(frame, None), ProtocolConfig(), 0)


SETTINGS = {"half_life_days": None}


def test_where_the_world_changed_forgetting_wins_twice() -> None:
    found = tune_half_life(
        plan((21, "a"), (19, "b")), "popularity", SETTINGS, half_lives_days=TRIED
    )
    assert found.half_life_days == found.best == 1.0
    assert set(found.tuned) == {None, 1.0, 20.0}
    assert found.tuned[1.0] > found.tuned[None]
    assert found.high > found.gain > found.low > 0
    assert found.n > 50


def test_what_wins_only_where_it_was_chosen_is_not_kept() -> None:
    # The world turns before the fuse block, and turns back before the calibrate block.
    lured = plan((22, "a"), (6, "b"), (12, "a"))
    found = tune_half_life(lured, "popularity", SETTINGS, half_lives_days=TRIED)
    assert found.best == 1.0
    assert found.gain < 0
    assert found.half_life_days is None


def test_where_nothing_changes_the_settings_stay() -> None:
    same = plan((40, "a"))
    found = tune_half_life(same, "popularity", {"half_life_days": 20.0}, half_lives_days=(0.05,))
    assert found.half_life_days == found.best == 20.0
    assert (found.gain, found.low, found.high) == (0, 0, 0)


def test_another_label_and_model_can_be_tuned() -> None:
    found = tune_half_life(
        plan((21, "a"), (19, "b")), "near", {"model": "item_knn"}, half_lives_days=(2.0,)
    )
    assert set(found.tuned) == {None, 2.0}


def test_what_cannot_be_tuned_is_named() -> None:
    timed = plan((40, "a"))
    with pytest.raises(ConfigError, match=r"bases.content_knn: content_knn has no half_life_days"):
        tune_half_life(timed, "content_knn")
    with pytest.raises(ConfigError, match="half_life_days should be greater than 0, got -1"):
        tune_half_life(timed, "item_knn", {"half_life_days": -1})
    with pytest.raises(ConfigError, match="no times"):
        tune_half_life(plan((40, "a"), timed=False), "item_knn")
