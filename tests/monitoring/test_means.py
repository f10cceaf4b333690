"""Decisiveness, variety and whose numbers count, with a pencil."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from crossfade.monitoring.means import decisiveness, means
from crossfade.monitoring.measure import apart, mean_over_people
from crossfade.monitoring.window import Acts, Lists, Window
from crossfade.types import Doubles


def test_decisiveness_by_hand() -> None:
    weights = np.array([[1, 0], [0.5, 0.5], [0.75, 0.25], [np.nan, np.nan]])
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    np.testing.assert_allclose(decisiveness(weights), [1, 0, 1 - entropy / np.log(2), np.nan])
    assert np.isnan(decisiveness(np.ones((2, 1)))).all()


def test_who_asks_often_counts_once_and_nobody_is_everybody_apart() -> None:
    rng = np.random.default_rng(0)
    values, person = np.array([1.0, 1, 1, 0, np.nan]), np.array([4, 4, 4, 2, 9])
    found = mean_over_people("share", "", values, person, rng=rng, resamples=50)
    assert (found.value, found.n) == (0.5, 2)
    assert apart(np.array([3, -1, 3, -1])).tolist() == [3, -2, 3, -4]


def window(items: list[list[int]], weights: Doubles) -> Window:
    """Lists of different people."""
    n, flat = len(items), [row for one in items for row in one]
    owner = np.repeat(np.arange(n), [len(one) for one in items])
    nothing: Any = np.zeros(0, np.int64)
    lists = Lists(
        person=np.arange(n),
        user_row=np.arange(n, dtype=np.int32),
        time_us=np.zeros(n, np.int64),
        method=("blend", "static")[:n],
        adapted=np.full(n, np.nan),
        chance=np.full(n, np.nan),
        owner=owner,
        place=np.concatenate([np.arange(1, len(one) + 1) for one in items]),
        item_row=np.array(flat, np.int32),
        probability=np.full(len(flat), np.nan),
        weights=weights,
        told=np.zeros(n, np.bool_),
        request={},
        item={},
        shadow_owner=nothing,
        shadow_place=nothing,
        shadow_row=nothing,
    )
    said: Any = None
    return Window(lists, Acts(nothing, nothing, nothing, nothing, said, nothing), 0)


def test_variety_by_hand() -> None:
    # Items 0 and 1 are by one creator, 2 by another, of 3 nobody knows; genres {0, 1}, {1}, {}, {2}.
    catalogue = SimpleNamespace(
        creator=np.array([0, 0, 1, -1]),
        genre_indptr=np.array([0, 2, 3, 3, 4]),
        genre=np.array([0, 1, 1, 2], np.int32),
    )
    facts: Any = SimpleNamespace(
        model=SimpleNamespace(lists=SimpleNamespace(catalogue=catalogue)),
        labels=("a", "b"),
        listener=np.array([0, 2, 0]),
        completeness=np.array([1, 0.5, 0.5, 0, np.nan]),
        audio_confidence=None,
        audio_guessed=None,
    )
    weights = np.array([[1.0, 0]] * 4 + [[0.5, 0.5]] * 2)
    found = {
        one.key: one.value
        for one in means(
            window([[0, 1, 2, 3], [2, 3]], weights), facts, np.random.default_rng(0), 9
        )
    }
    assert found["creators", ""] == pytest.approx((2 / 3 + 1) / 2)
    assert found["repeat_creator", ""] == pytest.approx((1 / 3 + 0) / 2)
    assert found["genres", ""] == pytest.approx((3 + 1) / 2)
    # Of known pairs 0 and 1 share one of two genres, 0 and 3 none, 1 and 3 none.
    assert found["within_lists", ""] == pytest.approx((0.5 + 1 + 1) / 3)
    assert found["list_length", ""] == 3
    assert found["completeness", "shown"] == pytest.approx((0.5 + 0.25) / 2)
    assert found["method", "blend"] == 0.5
    assert found["decisiveness", "new"] == 1
    assert found["decisiveness", "heavy"] == 0
    assert found["weight", "b, heavy"] == 0.5
    assert ("decisiveness", "light") not in found
