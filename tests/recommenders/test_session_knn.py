import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset, Queries
from crossfade.recommenders.recent import LEAST_WEIGHT, recent_items
from crossfade.recommenders.session_knn import (
    SessionKNN,
    SessionKNNConfig,
)
from crossfade.types import Csr, CsrParts, Floats

DAY0 = datetime(2024, 1, 1, tzinfo=UTC)
A, B, C, D, X = range(5)


def log(*sessions: tuple[str, float, str]) -> Dataset:
    """Sessions as (user, day, items); every session starts at midnight."""
    rows = [
        (user, item, DAY0 + timedelta(days=day, minutes=minute))
        for user, day, items in sessions
        for minute, item in enumerate(items)
    ]
    return Dataset.build(pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row"))


# Item frequencies over three sessions: a 2, b 2, c 1, d 1, x 1.
THREE = log(("u", 0, "ab"), ("v", 10, "abcd"), ("w", 20, "x"))
IDF_2, IDF_1 = math.log(1 + 3 / 2), math.log(1 + 3)
PLAIN = {"half_life_days": None, "half_life_events": None}


def scores(query: Queries, data: Dataset = THREE, **config: float | None) -> np.ndarray:
    model = SessionKNN(SessionKNNConfig.model_validate({**PLAIN, **config})).fit(data)
    return np.asarray(model.score_batch(query)[0])


def test_three_sessions_by_hand() -> None:
    # Liking a: both sessions with a share it; lengths 2 and 4. Item a itself gets no vote:
    # it would be evidence for itself.
    found = scores(Queries.of_items([A], 5))
    short, long = IDF_2 / math.sqrt(2), IDF_2 / math.sqrt(4)
    np.testing.assert_allclose(found, [0, short + long, long, long, 0], rtol=1e-6)


def test_an_item_already_had_is_voted_for_by_the_others() -> None:
    # Liking a and d: session 2 shares both. a is voted for by d, d by a (session 2 only).
    found = scores(Queries.of_items([A, D], 5))
    both = (IDF_2 + IDF_1) / math.sqrt(4)
    expected = [IDF_1 / 2, both + IDF_2 / math.sqrt(2), both, IDF_2 / 2, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_an_old_session_counts_half_after_one_half_life() -> None:
    # The newest session ends on day 20: session 1 is two half-lives old, session 2 one.
    fresh, faded = (
        scores(Queries.of_items([A], 5)),
        scores(Queries.of_items([A], 5), half_life_days=10),
    )
    assert faded[C] == pytest.approx(fresh[C] / 2, rel=1e-3)
    assert faded[B] == pytest.approx((IDF_2 / math.sqrt(2)) / 4 + (IDF_2 / 2) / 2, rel=1e-3)


def test_only_the_nearest_sessions_vote() -> None:
    # For a, the short session is nearer: with one neighbour c and d get nothing.
    found = scores(Queries.of_items([A], 5), n_neighbours=1)
    np.testing.assert_allclose(found, [0, IDF_2 / math.sqrt(2), 0, 0, 0], rtol=1e-6)


def test_among_equal_sessions_the_newest_votes() -> None:
    twins = log(("u", 0, "ab"), ("v", 1, "ac"))
    found = scores(Queries.of_items([0], 3), twins, n_neighbours=1)
    assert found[1] == 0
    assert found[2] > 0


def test_only_the_newest_sessions_of_an_item_are_looked_at() -> None:
    found = scores(Queries.of_items([A], 5), max_sessions_per_item=1)
    np.testing.assert_allclose(found, [0, IDF_2 / 2, IDF_2 / 2, IDF_2 / 2, 0], rtol=1e-6)


def dense(weights: CsrParts, n_items: int) -> Floats:
    indptr, indices, data = weights
    return Csr((data, indices, indptr), shape=(len(indptr) - 1, n_items)).toarray()


def test_history_items_fade_with_the_events_after_them() -> None:
    data = log(("u", 0, "abca"), ("v", 1, "b"))
    weights = recent_items(data.queries([0, 1]), 1.0, np.ones(3, dtype=np.bool_))
    # a was last; c one event before; b two.
    np.testing.assert_allclose(dense(weights, 3), [[1.0, 0.25, 0.5], [0.0, 1.0, 0.0]])


def test_events_on_unknown_items_do_not_age_the_others() -> None:
    data = log(("u", 0, "abc"))
    weights = recent_items(data.queries([0]), 1.0, np.array([True, True, False]))
    np.testing.assert_allclose(dense(weights, 3), [[0.5, 1.0, 0.0]])


def test_a_very_long_history_stays_in_bounds() -> None:
    # 2^-299 is 0 in single precision, which would look like a session not met yet.
    songs = "".join(chr(0x4E00 + place) for place in range(300))
    data = log(*[(f"u{n}", n, songs) for n in range(5)])
    weights = recent_items(data.queries([0]), 1.0, np.ones(300, dtype=np.bool_))
    assert weights[2].min() == LEAST_WEIGHT
    model = SessionKNN(SessionKNNConfig(half_life_events=1)).fit(data)
    assert np.isfinite(model.score_batch(data.queries([0, 4]))).all()


def test_a_history_without_times_does_not_fade() -> None:
    data = Dataset.build(pl.DataFrame({"user_id": list("uuv"), "item_id": list("aba")}))
    weights = recent_items(data.queries([0]), 1.0, np.array([True, True]))
    np.testing.assert_array_equal(dense(weights, 2), [[1, 1]])


def test_without_sessions_whole_histories_stand_in_and_it_says_so() -> None:
    data = Dataset.build(pl.DataFrame({"user_id": list("uuvv"), "item_id": list("abac")}))
    model = SessionKNN().fit(data)
    (notice,) = model.notices
    assert "whole history counts as one session" in notice
    found = model.score_batch(Queries.of_items([1], 3))[0]
    assert found[0] > found[2] == 0


def test_with_sessions_there_is_nothing_to_say() -> None:
    assert SessionKNN().fit(THREE).notices == ()


def test_evidence_is_the_best_session_that_holds_the_item() -> None:
    model = SessionKNN(SessionKNNConfig.model_validate(PLAIN)).fit(THREE)
    evidence = model.score(Queries.of_items([A], 5), [B, C, X]).evidence[:, 2]
    np.testing.assert_allclose(evidence, [IDF_2 / math.sqrt(2), IDF_2 / 2, 0], rtol=1e-6)
