from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset, Queries
from crossfade.recommenders.popularity import Popularity, PopularityConfig

DAY0 = datetime(2024, 1, 1, tzinfo=UTC)


def plays(*rows: tuple[str, str, float]) -> Dataset:
    frame = pl.DataFrame(
        {
            "user_id": [user for user, _, _ in rows],
            "item_id": [item for _, item, _ in rows],
            "timestamp": [DAY0 + timedelta(days=day) for _, _, day in rows],
        }
    )
    return Dataset.build(frame)


def scores(data: Dataset, half_life_days: float | None) -> list[float]:
    model = Popularity(PopularityConfig(half_life_days=half_life_days)).fit(data)
    return [float(x) for x in model.score_batch(Queries.of_items([], data.n_items))[0]]


def test_an_event_counts_half_after_one_half_life() -> None:
    # Newest event is day 10. a: 2 events of age 10 = 2/2; b: one of age 0 = 1; c: age 20/… none.
    data = plays(("u", "a", 0), ("v", "a", 0), ("u", "b", 10), ("v", "c", 5))
    a, b, c = scores(data, half_life_days=10)
    assert (a, b) == (1.0, 1.0)
    assert c == pytest.approx(0.5**0.5)


def test_a_short_half_life_turns_the_order_round() -> None:
    data = plays(("u", "old", 0), ("v", "old", 0), ("u", "new", 10))
    new, old = scores(data, half_life_days=2)
    assert new > old
    new, old = scores(data, half_life_days=None)
    assert (new, old) == (0.5, 1.0)


def test_everybody_gets_the_same_scores() -> None:
    data = plays(("u", "a", 0), ("v", "b", 1), ("v", "c", 1))
    model = Popularity().fit(data)
    batch = model.score_batch(data.queries([0, 1, 0]))
    np.testing.assert_array_equal(batch, np.tile(batch[0], (3, 1)))
