"""A base that says the same to everybody stands as if it had been asked each time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.data import Dataset
from crossfade.data.world import WorldConfig, make_world
from crossfade.fusion.scaling import centre
from crossfade.fusion.standings import Standings, moments_without
from crossfade.meta.common import N_FIRST, Common, CommonStandings
from crossfade.meta.signals import allowed_scores
from crossfade.recommenders.popularity import Popularity
from crossfade.types import Bools, Floats, Rows


def told(standings: Standings | CommonStandings, item_row: Rows) -> tuple[Floats, Floats]:
    score, rank = (np.empty(item_row.shape, dtype=np.float32) for _ in range(2))
    standings.tell(item_row, score, rank)
    return score, rank


@pytest.fixture(scope="module")
def world() -> Dataset:
    return make_world(WorldConfig(n_listeners=80, n_tracks=2_000, n_plays=12_000), seed=1).dataset


@pytest.fixture(scope="module")
def base(world: Dataset) -> Popularity:
    return Popularity().fit(world)


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("some", [True, False])
def test_it_stands_as_if_asked_each_time(
    world: Dataset, base: Popularity, exclude_seen: bool, some: bool
) -> None:
    candidates: Bools | None = None
    if some:
        candidates = np.asarray(np.random.default_rng(0).random(world.n_items) < 0.7)
    queries = world.queries(np.arange(world.n_users, dtype=np.int32))
    asked = Standings(allowed_scores(base, queries, exclude_seen, candidates))
    common = CommonStandings(Common(base, candidates), queries, exclude_seen)
    for k in (1, 50, N_FIRST + 100):
        np.testing.assert_array_equal(common.best(k), asked.best(k))
    rows = np.arange(5, world.n_items, 7, dtype=np.int32)
    np.testing.assert_array_equal(common.among(rows, 9), asked.among(rows, 9))
    every = np.arange(-1, world.n_items, dtype=np.int32)  # -1 pads a list
    (score, rank), (asked_score, asked_rank) = (
        told(one, np.tile(every, (world.n_users, 1))) for one in (common, asked)
    )
    np.testing.assert_array_equal(rank, asked_rank)
    np.testing.assert_allclose(score, asked_score, rtol=1e-4, atol=1e-5)
    assert np.isnan(score[:, 0]).all()


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=30), st.integers(0, 30))
def test_moments_without_some_are_those_of_the_rest(values: list[int], n_gone: int) -> None:
    numbers = np.array(values, dtype=np.float64) / 8
    gone, rest = numbers[:n_gone], numbers[n_gone:]
    squares = float(np.square(numbers - numbers.mean()).sum())
    left, mean, found = moments_without(len(numbers), float(numbers.mean()), squares, gone)
    assert left == len(rest)
    if len(rest):
        assert mean == pytest.approx(rest.mean(), abs=1e-9)
        assert found == pytest.approx(np.square(rest - rest.mean()).sum(), abs=1e-8)
        exact = centre(rest.astype(np.float32))[1]
        inverse = 1 / np.sqrt(found / left) if found > 0 else 0.0
        assert inverse == pytest.approx(exact, rel=1e-4)
