"""Diversity is MMR and DPP as published, checked against plain arithmetic and determinants."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ranking.lists import catalogue, rows, scored, worlds

from crossfade.evaluation.beyond import ItemFacts
from crossfade.evaluation.beyond import diversity as intra_list_diversity
from crossfade.ranking import Candidates, Conditions, RankingCatalogue, RankingConfig, rank
from crossfade.ranking.diversity import cosine, filled, relevance, similarity
from crossfade.ranking.greedy import LEAST_VOLUME
from crossfade.types import Doubles, Floats

NAN = np.nan


def clustered(seed: int, n: int = 30, n_clusters: int = 4, width: int = 6) -> Floats:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_clusters, width))
    noise = 0.3 * rng.normal(size=(n, width))
    return (centres[rng.integers(n_clusters, size=n)] + noise).astype(np.float32)


# -- scales ----------------------------------------------------------------------------


def test_relevance_is_the_share_of_the_way_from_worst_to_best() -> None:
    assert relevance(np.array([9.0, 5.0, 5.0, 1.0])).tolist() == [1, 0.5, 0.5, 0]
    assert relevance(np.array([3.0])).tolist() == [1]
    assert relevance(np.array([])).tolist() == []
    assert relevance(np.array([2.0, 2.0])).tolist() == [1, 1]


def test_cosines_by_hand() -> None:
    found = cosine(np.array([[3, 4], [6, 8], [4, -3], [0, 0], [NAN, 1]], dtype=np.float32))
    expected = [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    np.testing.assert_allclose(found[:3, :3], expected, atol=1e-15)
    assert np.isnan(found[3:]).all()
    assert np.isnan(found[:, 3:]).all()


def test_likeness_of_genres_is_what_the_evaluation_counts() -> None:
    items = catalogue(genres=[["a", "b"], ["b", "c"], ["a", "b"], ["d"]])
    alike = similarity(rows(0, 1, 2, 3), None, items)
    assert alike[0].tolist() == [1, 1 / 3, 1, 0]
    facts = ItemFacts(np.ones(4, dtype=np.int64), 1, items.genre_indptr, items.genre)
    for i in range(4):
        for j in range(i):
            assert intra_list_diversity(rows(i, j)[None, :], facts)[0] == 1 - alike[i, j]


def test_an_unknown_item_is_as_like_the_others_as_they_are_on_average() -> None:
    known = np.array([[1, 0.5, NAN], [0.5, 1, NAN], [NAN, NAN, NAN]])
    assert filled(known).tolist() == [[1, 0.5, 0.75], [0.5, 1, 0.75], [0.75, 0.75, 1]]
    assert filled(np.full((2, 2), NAN)).tolist() == [[1, 0], [0, 1]]


@given(st.integers(0, 10_000), st.sets(st.integers(0, 7), max_size=8))
def test_filling_in_leaves_a_kernel(seed: int, unknown: set[int]) -> None:
    vectors = clustered(seed, n=8, width=3)
    vectors[list(unknown)] = NAN
    found = filled(cosine(vectors))
    np.testing.assert_array_equal(found, found.T)
    assert np.linalg.eigvalsh(found).min() > -1e-9


# -- against plain readings of the papers ----------------------------------------------

Worth = Callable[[list[int], int], float]


def likeness(vectors: Floats) -> Doubles:
    units = vectors.astype(np.float64)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    return np.asarray((1 + units @ units.T) / 2)


def by_worth(n: int, k: int, worth: Worth) -> list[int]:
    """Greedy choice, the first of equals; candidates stand in the order of their scores."""
    chosen: list[int] = []
    for _ in range(min(k, n)):
        left = [i for i in range(n) if i not in chosen]
        chosen.append(max(left, key=lambda i: (round(worth(chosen, i), 9), -i)))
    return chosen


def mmr(alike: Doubles, knob: float) -> Worth:
    """Carbonell and Goldstein (1998), with 1 - lambda for our knob."""
    relevant = relevance(np.arange(len(alike), 0.0, -1))

    def worth(chosen: list[int], i: int) -> float:
        nearest = max((alike[i, j] for j in chosen), default=0.0)
        return float((1 - knob) * relevant[i] - knob * nearest)

    return worth


def dpp(alike: Doubles, knob: float) -> Worth:
    """Chen, Zhang and Zhou (2018), with 1 - theta for our knob, by determinants."""
    relevant = relevance(np.arange(len(alike), 0.0, -1))

    def worth(chosen: list[int], i: int) -> float:
        more = [*chosen, i]
        gained = np.linalg.det(alike[np.ix_(more, more)]) / np.linalg.det(
            alike[np.ix_(chosen, chosen)]
        )
        return float((1 - knob) * relevant[i] + knob * np.log(max(gained, LEAST_VOLUME)))

    return worth


@pytest.mark.parametrize("knob", [0.1, 0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("method", ["mmr", "dpp"])
@pytest.mark.parametrize("seed", range(4))
def test_lists_follow_the_paper(method: str, knob: float, seed: int) -> None:
    n, k = 30, 12
    vectors = clustered(seed, n, width=20)
    config = RankingConfig(max_per_creator=0, diversity=knob, diversify=method)
    found = rank(scored(*range(n, 0, -1), vectors=vectors), catalogue(n=n), k, config=config)
    worth = {"mmr": mmr, "dpp": dpp}[method](likeness(vectors), knob)
    assert found.item_row.tolist() == by_worth(n, k, worth)


def test_the_greedy_volume_is_near_the_largest_there_is() -> None:
    # Every set of three among ten; the greedy one may miss the best, but not by much.
    from itertools import combinations

    alike = likeness(clustered(5, n=10, width=5))
    best = max(np.linalg.det(alike[np.ix_(c, c)]) for c in combinations(range(10), 3))
    config = RankingConfig(max_per_creator=0, diversity=1.0, diversify="dpp")
    vectors = clustered(5, n=10, width=5)
    found = rank(scored(*range(10, 0, -1), vectors=vectors), catalogue(n=10), 3, config=config)
    own = np.linalg.det(alike[np.ix_(found.item_row, found.item_row)])
    assert own > 0.7 * best


def test_mmr_by_hand() -> None:
    # Relevance 1, 2/3, 1/3, 0. Item 1 is a copy of item 0, item 2 stands at a right angle (a
    # likeness of a half), item 3 is the opposite (none).
    vectors = [[1, 0], [1, 0], [0, 1], [-1, 0]]
    candidates = scored(4, 3, 2, 1, vectors=vectors)
    for knob, expected in (
        (0.0, [0, 1, 2, 3]),
        (0.3, [0, 1, 2, 3]),  # 0.7 * 2/3 - 0.3 = 0.17 beats 0.7 * 1/3 - 0.3 / 2 = 0.08 and 0
        (0.5, [0, 3, 2, 1]),  # 0.5 * 2/3 - 0.5 = -0.17 falls behind 0.5 * 1/3 - 0.25 = -0.08 and 0
        (1.0, [0, 3, 2, 1]),
    ):
        config = RankingConfig(diversity=knob)
        assert rank(candidates, catalogue(n=4), 4, config=config).item_row.tolist() == expected


@pytest.mark.parametrize("method", ["mmr", "dpp"])
def test_at_full_strength_copies_come_last_in_the_order_of_scores(method: str) -> None:
    vectors = [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]]
    config = RankingConfig(diversity=1.0, diversify=method)
    found = rank(scored(5, 4, 3, 2, 1, vectors=vectors), catalogue(n=5), 5, config=config)
    assert found.item_row.tolist() == [0, 2, 4, 1, 3]


def test_dpp_goes_on_where_volume_is_used_up() -> None:
    # Two dimensions, and the one that all items share, hold three directions, no more.
    vectors = clustered(1, n=20, width=2)
    config = RankingConfig(max_per_creator=0, diversity=0.5, diversify="dpp")
    found = rank(scored(*range(20, 0, -1), vectors=vectors), catalogue(n=20), 20, config=config)
    assert sorted(found.item_row.tolist()) == list(range(20))
    assert found.item_row[3:].tolist() == sorted(found.item_row[3:].tolist())


@pytest.mark.parametrize("method", ["mmr", "dpp"])
@pytest.mark.parametrize("with_vectors", [True, False])
def test_more_of_the_knob_is_more_diversity_and_less_score(method: str, with_vectors: bool) -> None:
    knobs = (0.0, 0.3, 0.6, 1.0)
    alikeness, score = np.zeros(4), np.zeros(4)
    for seed in range(20):  # of one request alone it need not be true at every step
        rng = np.random.default_rng(seed)
        genres = [rng.choice(list("abcdefgh"), 2, replace=False).tolist() for _ in range(60)]
        items = catalogue(genres=genres)
        vectors = {"vectors": clustered(seed, n=60)} if with_vectors else {}
        candidates = scored(*rng.normal(size=60), **vectors)
        alike = similarity(candidates.item_row, candidates.vectors, items)
        for i, knob in enumerate(knobs):
            config = RankingConfig(diversity=knob, diversify=method)
            chosen = rank(candidates, items, 10, config=config).item_row
            alikeness[i] += alikeness_of(alike[np.ix_(chosen, chosen)], method)
            score[i] += candidates.score[chosen].mean()
    # Beyond some point there is nothing more unlike to be had.
    assert (np.diff(alikeness) <= 0).all()
    assert alikeness[0] > alikeness[1] > alikeness[3]
    assert (np.diff(score) <= 0).all()
    assert score[0] > score[1] > score[3]


def alikeness_of(alike: Doubles, method: str) -> float:
    """What a method makes small: similarity to the nearest earlier item, or minus the log volume."""
    if method == "dpp":
        # The jitter keeps lists that span no volume comparable.
        return -float(np.linalg.slogdet(alike + 1e-3 * np.eye(len(alike)))[1])
    return float(np.tril(alike, -1)[1:].max(axis=1).mean())


def test_only_the_pool_is_looked_at_and_the_rest_follows_by_score() -> None:
    vectors = [[1, 0], [1, 0], [1, 0.1], [0, 1], [-1, 0]]
    config = RankingConfig(diversity=1.0, pool=3)
    found = rank(scored(5, 4, 3, 2, 1, vectors=vectors), catalogue(n=5), 5, config=config)
    assert found.item_row.tolist() == [0, 2, 1, 3, 4]


def test_a_limit_is_kept_from_beyond_the_pool_before_it_gives_way_within() -> None:
    items = catalogue(["a", "a", "b"], [["x"], ["y"], ["x"]])
    config = RankingConfig(max_per_creator=1, diversity=0.5, pool=2)
    found = rank(scored(3, 2, 1), items, 3, config=config)
    assert found.item_row.tolist() == [0, 2, 1]
    assert (found.relaxed, found.n_within) == (("max_per_creator",), 2)


def test_missing_vectors_are_neither_favoured_nor_punished() -> None:
    # Item 3, of which nothing is known, would come second if it counted as unlike everything.
    vectors = [[1, 0], [1, 0.1], [0, 1], [NAN, NAN]]
    config = RankingConfig(diversity=1.0)
    found = rank(scored(4, 3, 2, 1, vectors=vectors), catalogue(n=4), 4, config=config)
    assert found.item_row.tolist() == [0, 2, 3, 1]


@given(worlds(), st.sampled_from(["mmr", "dpp"]), st.sampled_from([0.2, 0.7, 1.0]))
def test_a_list_of_all_is_a_permutation_that_begins_with_the_best(
    world: tuple[RankingCatalogue, Candidates], method: str, knob: float
) -> None:
    items, candidates = world
    config = RankingConfig(max_per_creator=0, diversity=knob, diversify=method)
    found = rank(candidates, items, 99, config=config, conditions=Conditions())
    plain = rank(candidates, items, 99, config=RankingConfig(max_per_creator=0))
    assert sorted(found.item_row.tolist()) == sorted(plain.item_row.tolist())
    assert found.item_row[:1].tolist() == plain.item_row[:1].tolist()
