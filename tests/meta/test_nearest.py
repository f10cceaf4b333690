"""A base that proposes through an index says what it says of the whole catalogue."""

from typing import Any

import numpy as np
import pytest

from crossfade.data import Dataset, Queries
from crossfade.data.world import WorldConfig, make_world
from crossfade.errors import BundleError
from crossfade.fusion.standings import Standings
from crossfade.meta.nearest import N_FOUND, Near, NearStandings, prepare
from crossfade.meta.signals import allowed_scores
from crossfade.recommenders.base import Recommender
from crossfade.recommenders.registry import make_all
from crossfade.types import Bools, Floats, Rows


@pytest.fixture(scope="module")
def world() -> Dataset:
    config = WorldConfig(n_listeners=120, n_tracks=1_500, n_plays=12_000)
    return make_world(config, seed=1).dataset


@pytest.fixture(scope="module")
def base(world: Dataset) -> Recommender[Any]:
    made = make_all({"ials": {"factors": 8, "iterations": 3}})["ials"]
    return made.fit(world, 0)


@pytest.fixture(scope="module")
def candidates(world: Dataset) -> Bools:
    some = np.random.default_rng(0).random(world.n_items) < 0.9
    return np.asarray(some)


@pytest.fixture(scope="module")
def near(world: Dataset, base: Recommender[Any], candidates: Bools) -> Near:
    found = Near.build(base, people(world), candidates, seed=0)
    assert found is not None
    return found


def people(world: Dataset) -> Queries:
    return world.queries(np.arange(world.n_users, dtype=np.int32))


def both(
    world: Dataset, near: Near, candidates: Bools, *, exclude_seen: bool
) -> tuple[NearStandings, Standings]:
    queries = people(world)
    whole = allowed_scores(near.base, queries, exclude_seen, candidates)
    return NearStandings(near, queries, exclude_seen), Standings(whole)


def every_item(world: Dataset) -> Rows:
    return np.tile(np.arange(-1, world.n_items, dtype=np.int32), (world.n_users, 1))


def told(standings: NearStandings | Standings, item_row: Rows) -> tuple[Floats, Floats]:
    score, rank = (np.empty(item_row.shape, dtype=np.float32) for _ in range(2))
    standings.tell(item_row, score, rank)
    return score, rank


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("k", [10, N_FOUND + 50])
def test_the_best_are_those_of_the_whole_catalogue(
    world: Dataset, near: Near, candidates: Bools, exclude_seen: bool, k: int
) -> None:
    through, whole = both(world, near, candidates, exclude_seen=exclude_seen)
    found, exact = through.best(k), whole.best(k)
    np.testing.assert_array_equal((found >= 0).sum(axis=1), (exact >= 0).sum(axis=1))
    hits = [np.isin(a[a >= 0], b) for a, b in zip(found, exact, strict=True)]
    assert np.concatenate(hits).mean() >= 0.97
    assert (np.diff(np.where(found < 0, world.n_items, found), axis=1) >= 0).all()
    for row, rows in enumerate(found):
        assert candidates[rows[rows >= 0]].all()
        if exclude_seen:
            start, stop = people(world).indptr[row : row + 2]
            assert not np.isin(rows, people(world).item_row[start:stop]).any()


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_zscores_are_those_of_the_whole_catalogue(
    world: Dataset, near: Near, candidates: Bools, exclude_seen: bool
) -> None:
    through, whole = both(world, near, candidates, exclude_seen=exclude_seen)
    (found, _), (exact, _) = (told(one, every_item(world)) for one in (through, whole))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(exact))
    np.testing.assert_allclose(found, exact, atol=1e-3)


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_ranks_are_nearly_those_of_the_whole_catalogue(
    world: Dataset, near: Near, candidates: Bools, exclude_seen: bool
) -> None:
    through, whole = both(world, near, candidates, exclude_seen=exclude_seen)
    (_, found), (_, exact) = (told(one, every_item(world)) for one in (through, whole))
    np.testing.assert_allclose(found, exact, atol=0.03)
    best = exact > 61 / (60 + 100)
    assert np.mean(np.abs(found[best] - exact[best]) < 1e-6) >= 0.97


def test_of_some_items_the_best_are_found_whether_the_index_finds_them_or_not(
    world: Dataset, near: Near, candidates: Bools
) -> None:
    through, whole = both(world, near, candidates, exclude_seen=True)
    rows = np.arange(3, world.n_items, 50, dtype=np.int32)
    expected = np.sort(whole.among(rows, 5), axis=1)
    np.testing.assert_array_equal(np.sort(through.among(rows, 5), axis=1), expected)


def test_a_stranger_without_history_gets_nothing(world: Dataset, near: Near) -> None:
    through = NearStandings(near, Queries.of_items([], world.n_items), exclude_seen=True)
    assert (through.best(5) == -1).all()
    assert np.isnan(told(through, np.arange(10, dtype=np.int32)[None, :])).all()


def test_only_bases_of_vectors_are_prepared(world: Dataset, base: Recommender[Any]) -> None:
    popularity = make_all({"popularity": {}})["popularity"].fit(world, 0)
    prepared = prepare({"popularity": popularity, "ials": base}, people(world), None, seed=0)
    assert list(prepared) == ["ials"]


def test_what_is_kept_finds_the_same(world: Dataset, near: Near, candidates: Bools) -> None:
    again = Near.from_arrays(near.base, near.arrays())
    one, other = (NearStandings(n, people(world), exclude_seen=True) for n in (near, again))
    np.testing.assert_array_equal(one.best(20), other.best(20))
    (score, rank), (same_score, same_rank) = (told(x, every_item(world)) for x in (one, other))
    np.testing.assert_array_equal(score, same_score)
    np.testing.assert_array_equal(rank, same_rank)


def test_a_part_that_is_missing_is_named(near: Near) -> None:
    arrays = {name: array for name, array in near.arrays().items() if name != "mean"}
    with pytest.raises(BundleError, match="mean"):
        Near.from_arrays(near.base, arrays)
