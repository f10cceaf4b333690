"""Lists hold what was asked for: k items, conditions, limits, and a word about what gave way."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from tests.ranking.lists import CONFIGS, N_ITEMS, catalogue, rows, scored, shuffled, worlds

from crossfade.ranking import (
    Candidates,
    Conditions,
    Ranked,
    RankingCatalogue,
    RankingConfig,
    rank,
)

NAN = np.nan
OFF = RankingConfig(max_per_creator=0)


def listed(candidates: Candidates, items: RankingCatalogue, k: int, **settings: Any) -> list[int]:
    found = rank(candidates, items, k, config=RankingConfig(**settings))
    return [int(row) for row in found.item_row]


# -- by score --------------------------------------------------------------------------


def test_the_best_come_first_and_equal_scores_in_the_order_of_rows() -> None:
    found = rank(scored(1, 3, 2, 3, NAN, 2), catalogue(n=6), 4, config=OFF)
    assert found.item_row.tolist() == [1, 3, 2, 5]
    assert found.place.tolist() == [1, 3, 2, 5]
    assert found.propensity.tolist() == [1.0] * 4
    assert (found.explored, found.relaxed, found.n_within) == ((), (), 4)
    assert (found.n_eligible, found.kept_out) == (5, {"score": 1})


def test_k_larger_than_the_catalogue_lists_everything_once() -> None:
    assert listed(scored(1, 3, NAN, 3), catalogue(n=4), 10**6) == [1, 3, 0]


@pytest.mark.parametrize("diversity", [0.0, 0.5, 1.0])
def test_nothing_to_list_is_an_empty_list(diversity: float) -> None:
    items, config = catalogue(genres=[["x"], ["x"]]), RankingConfig(diversity=diversity)
    for candidates in (scored(), scored(NAN, NAN)):
        found = rank(candidates, items, 3, config=config)
        assert found.item_row.shape == found.place.shape == found.propensity.shape == (0,)
        assert (found.relaxed, found.n_eligible) == ((), 0)


# -- limits ----------------------------------------------------------------------------


def test_three_items_of_a_creator_by_default_and_unknown_creators_are_no_group() -> None:
    items = catalogue(["a"] * 5 + ["b"] + [None] * 5)
    falling = scored(*range(11, 0, -1))
    found = rank(falling, items, 9)
    assert found.item_row.tolist() == [0, 1, 2, 5, 6, 7, 8, 9, 10]
    assert found.relaxed == ()


def test_a_creator_fills_up_rather_than_leaving_the_list_short() -> None:
    items = catalogue(["a", "a", "a", "b"])
    found = rank(scored(4, 3, 2, 1), items, 4, config=RankingConfig(max_per_creator=1))
    # a and b first; the other two come back by score, and it is said.
    assert found.item_row.tolist() == [0, 3, 1, 2]
    assert found.n_within == 2
    assert found.relaxed == ("max_per_creator",)


@pytest.mark.parametrize(
    ("k", "expected"), [(1, [0]), (2, [0, 2]), (3, [0, 2, 3]), (6, [0, 1, 2, 3, 4, 5])]
)
def test_a_third_for_each_genre_never_empties_a_short_list(k: int, expected: list[int]) -> None:
    # The cap of k // 3 would be 0 for k = 1 and 2, and remove every item that has a genre.
    items = catalogue(genres=[["jazz"], ["jazz"], ["rock"], None, ["folk"], ["rock"]])
    assert listed(scored(6, 5, 4, 3, 2, 1), items, k, max_genre_share=0.34) == expected


def test_an_item_counts_for_the_genre_that_has_most_room() -> None:
    # Two slots a genre. Item 1 stands for rock, so there is room for a second item of jazz alone.
    genres = [["jazz"], ["jazz", "rock"], ["jazz"], ["jazz"], ["rock"], ["rock"], ["folk"]]
    found = listed(scored(7, 6, 5, 4, 3, 2, 1), catalogue(genres=genres), 5, max_genre_share=0.4)
    assert found == [0, 1, 2, 4, 6]


def test_one_full_genre_does_not_keep_out_an_item_that_has_another() -> None:
    genres = [["pop"], ["pop", "disco"], ["pop", "soul"], ["pop"]]
    assert listed(scored(4, 3, 2, 1), catalogue(genres=genres), 3, max_genre_share=0.3) == [0, 1, 2]


def test_shares_are_not_lost_to_rounding() -> None:
    # 0.29 * 100 is 28.999999999999996 in floating point.
    items = catalogue(genres=[["x"]] * 60 + [[str(i)] for i in range(100)])
    found = rank(scored(*range(160, 0, -1)), items, 100, config=RankingConfig(max_genre_share=0.29))
    assert sum(found.item_row < 60) == 29


def test_unlikely_items_wait_until_nothing_else_is_left_and_unknown_is_unlikely() -> None:
    candidates = scored(4, 3, 2, 1, probability=[0.1, NAN, 0.5, 0.9])
    config = RankingConfig(min_probability=0.5)
    assert rank(candidates, catalogue(n=4), 2, config=config).item_row.tolist() == [2, 3]
    found = rank(candidates, catalogue(n=4), 3, config=config)
    assert found.item_row.tolist() == [2, 3, 0]
    assert (found.relaxed, found.n_within) == (("min_probability",), 2)
    # Nobody calibrated these scores: nothing is known to be likely enough.
    found = rank(scored(2, 1), catalogue(n=2), 2, config=config)
    assert (found.item_row.tolist(), found.relaxed, found.n_within) == (
        [0, 1],
        ("min_probability",),
        0,
    )


def test_limits_give_way_in_the_order_of_the_settings() -> None:
    # 0 fits. 1 has a full genre, 2 a full creator, 3 is unlikely.
    items = catalogue(["a", None, "a", None], [["x"], ["x"], None, None])
    candidates = scored(4, 3, 2, 1, probability=[1, 1, 1, 0])
    limits = {"max_per_creator": 1, "max_genre_share": 0.1, "min_probability": 0.5}
    names = ("max_genre_share", "max_per_creator", "min_probability")
    for k, relaxed in ((1, ()), (2, names[:1]), (3, names[:2]), (4, names)):
        found = rank(candidates, items, k, config=RankingConfig(**limits))
        assert found.item_row.tolist() == [0, 1, 2, 3][:k]
        assert found.relaxed == relaxed
    config = RankingConfig(**limits, relax=names[::-1])
    assert rank(candidates, items, 4, config=config).item_row.tolist() == [0, 3, 2, 1]


def test_a_limit_that_may_not_give_way_leaves_the_list_short() -> None:
    items = catalogue(["a", "a", None])
    candidates = scored(3, 2, 1, probability=[1, 1, 0.1])
    config = RankingConfig(max_per_creator=1, min_probability=0.5, relax=("max_per_creator",))
    found = rank(candidates, items, 3, config=config)
    assert (found.item_row.tolist(), found.relaxed) == ([0, 1], ("max_per_creator",))
    assert found.n_eligible == 3


def test_a_limit_is_not_reported_unless_an_item_breaks_it() -> None:
    # The genre gives way first, but only the creator is in the way.
    items = catalogue(["a", "a"], [["x"], ["y"]])
    found = rank(
        scored(2, 1), items, 2, config=RankingConfig(max_per_creator=1, max_genre_share=0.5)
    )
    assert found.relaxed == ("max_per_creator",)


# -- what holds for every list ---------------------------------------------------------

LISTED = st.lists(st.integers(-1, N_ITEMS - 1), max_size=4).map(lambda found: rows(*found))


@st.composite
def conditions(draw: st.DrawFn, items: RankingCatalogue) -> Conditions:
    history = items.genre_shares(draw(LISTED))
    return Conditions(seen=draw(LISTED), block=draw(LISTED), history=history)


def answer(
    candidates: Candidates,
    items: RankingCatalogue,
    k: int,
    config: RankingConfig,
    where: Conditions,
) -> Ranked:
    rng = np.random.default_rng(7)
    return rank(candidates, items, k, config=config, conditions=where, rng=rng)


@given(worlds(), CONFIGS, st.integers(1, 14), st.data())
def test_k_items_come_back_whenever_k_may_be_listed(
    world: tuple[RankingCatalogue, Candidates], config: RankingConfig, k: int, data: st.DataObject
) -> None:
    items, candidates = world
    where = data.draw(conditions(items))
    found = answer(candidates, items, k, config, where)
    hidden = {*where.seen.tolist(), *where.block.tolist()}
    may = {
        row
        for row, score in zip(candidates.item_row.tolist(), candidates.score, strict=True)
        if row not in hidden and not np.isnan(score)
    }
    assert found.n_eligible == len(may)
    assert len(found.item_row) == min(k, len(may))
    assert len(set(found.item_row.tolist())) == len(found.item_row)
    assert set(found.item_row.tolist()) <= may
    np.testing.assert_array_equal(candidates.item_row[found.place], found.item_row)


@given(worlds(), CONFIGS, st.integers(1, 14), st.data())
def test_every_limit_holds_or_is_reported(
    world: tuple[RankingCatalogue, Candidates], config: RankingConfig, k: int, data: st.DataObject
) -> None:
    items, candidates = world
    found = answer(candidates, items, k, config, data.draw(conditions(items)))
    by_chance = {slot.position for slot in found.explored}
    planned = [place for place in range(len(found.item_row)) if place not in by_chance]
    whole, front = range(len(found.item_row)), planned[: found.n_within]
    for name, holds in (
        ("max_per_creator", creators_hold),
        ("max_genre_share", genres_hold),
        ("min_probability", probabilities_hold),
    ):
        assert holds(found, front, items, candidates, config, k)
        # Slots left to chance are there to try unlikely items.
        places = planned if name == "min_probability" else list(whole)
        assert name in found.relaxed or holds(found, places, items, candidates, config, k)
    assert bool(found.relaxed) or found.n_within == len(planned)


def creators_hold(
    found: Ranked, places: list[int], items: RankingCatalogue, _: Any, config: RankingConfig, k: int
) -> bool:
    creators = Counter(items.creator[found.item_row[places]].tolist())
    del creators[-1]
    return config.max_per_creator == 0 or all(
        n <= config.max_per_creator for n in creators.values()
    )


def genres_hold(
    found: Ranked, places: list[int], items: RankingCatalogue, _: Any, config: RankingConfig, k: int
) -> bool:
    """Whether each item can stand for one of its genres without any genre having too many."""
    if config.max_genre_share == 1:
        return True
    cap = max(int(config.max_genre_share * k + 1e-9), 1)
    sizes = np.diff(items.genre_indptr)
    bearing = [row for row in found.item_row[places].tolist() if sizes[row]]
    seats = np.zeros((len(bearing), cap * len(items.genres)), dtype=np.int8)
    for i, row in enumerate(bearing):
        for genre in items.genre[items.genre_indptr[row] : items.genre_indptr[row + 1]]:
            seats[i, genre * cap : (genre + 1) * cap] = 1
    if not bearing:
        return True
    matched = maximum_bipartite_matching(csr_array(seats), perm_type="column")
    return bool((matched >= 0).all())


def probabilities_hold(
    found: Ranked, places: list[int], _: Any, candidates: Candidates, config: RankingConfig, k: int
) -> bool:
    if config.min_probability == 0 or not places:
        return True
    if candidates.probability is None:
        return False
    return bool((candidates.probability[found.place[places]] >= config.min_probability).all())


@given(worlds(), CONFIGS, st.integers(1, 14), st.data())
def test_the_order_of_the_candidates_changes_nothing(
    world: tuple[RankingCatalogue, Candidates], config: RankingConfig, k: int, data: st.DataObject
) -> None:
    items, candidates = world
    where = data.draw(conditions(items))
    order = data.draw(st.permutations(range(len(candidates.item_row))))
    one = answer(candidates, items, k, config, where)
    other = answer(shuffled(candidates, order), items, k, config, where)
    assert other.item_row.tolist() == one.item_row.tolist()
    assert other.propensity.tolist() == one.propensity.tolist()
    assert (other.relaxed, other.n_within, other.kept_out) == (
        one.relaxed,
        one.n_within,
        one.kept_out,
    )
    assert [slot.item_row.tolist() for slot in other.explored] == [
        slot.item_row.tolist() for slot in one.explored
    ]


@given(worlds(), st.integers(0, 3), st.integers(1, 14), st.integers(0, N_ITEMS - 1))
def test_one_more_blocked_item_only_leaves_the_list(
    world: tuple[RankingCatalogue, Candidates], cap: int, k: int, item: int
) -> None:
    # With two kinds of limits, or diversity, the room an item leaves may go to one that keeps
    # out another; with one creator limit it never does.
    items, candidates = world
    config = RankingConfig(max_per_creator=cap)
    before = rank(candidates, items, k, config=config).item_row.tolist()
    after = rank(candidates, items, k, config=config, conditions=Conditions(block=rows(item)))
    assert item not in after.item_row
    assert set(before) - {item} <= set(after.item_row.tolist())
    if item not in before:
        assert after.item_row.tolist() == before


@given(worlds(), st.integers(1, 3), st.integers(1, 14))
def test_creators_give_way_only_where_they_must(
    world: tuple[RankingCatalogue, Candidates], cap: int, k: int
) -> None:
    items, candidates = world
    found = rank(candidates, items, k, config=RankingConfig(max_per_creator=cap))
    scored_rows = candidates.item_row[~np.isnan(candidates.score)]
    n_of = Counter(items.creator[scored_rows].tolist())
    room = n_of[-1] + sum(min(n, cap) for creator, n in n_of.items() if creator >= 0)
    assert found.n_within == min(room, k)
    assert bool(found.relaxed) == (room < min(k, len(scored_rows)))


@given(worlds(), st.integers(1, 14))
def test_without_limits_a_list_is_a_sort(
    world: tuple[RankingCatalogue, Candidates], k: int
) -> None:
    items, candidates = world
    pairs = zip(-candidates.score, candidates.item_row.tolist(), strict=True)
    expected = [row for score, row in sorted(p for p in pairs if not np.isnan(p[0]))][:k]
    for method in ("mmr", "dpp"):
        config = RankingConfig(max_per_creator=0, diversity=0.0, diversify=method, pool=1)
        assert rank(candidates, items, k, config=config).item_row.tolist() == expected


@given(worlds(), CONFIGS, st.integers(1, 14), st.data())
def test_another_unit_and_origin_of_the_scores_changes_nothing(
    world: tuple[RankingCatalogue, Candidates], config: RankingConfig, k: int, data: st.DataObject
) -> None:
    items, candidates = world
    where = data.draw(conditions(items))
    changed = Candidates(
        candidates.item_row,
        8 * candidates.score.astype(np.float64) - 64,  # exact in binary
        candidates.probability,
        candidates.uncertainty,
        candidates.vectors,
    )
    one = answer(candidates, items, k, config, where)
    other = answer(changed, items, k, config, where)
    assert one.item_row.tolist() == other.item_row.tolist()


def test_the_inputs_are_left_as_they_were() -> None:
    items = catalogue(["a", "a", "b"], [["x"], ["y"], ["x"]])
    candidates = scored(1, 2, 3, uncertainty=[1, 2, 3], vectors=np.eye(3))
    before = [candidates.score.copy(), items.creator.copy(), items.genre.copy()]
    config = RankingConfig(diversity=0.5, explore=0.4, max_genre_share=0.5)
    for _ in range(2):
        rank(candidates, items, 3, config=config, rng=np.random.default_rng(0))
    for array, kept in zip([candidates.score, items.creator, items.genre], before, strict=True):
        np.testing.assert_array_equal(array, kept)
