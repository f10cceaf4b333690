"""Slots left to chance: the chances are true, above 0, and enough to learn from without bias."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ranking.lists import CONFIGS, catalogue, rows, scored, worlds

from crossfade.ranking import Candidates, Conditions, Ranked, RankingCatalogue, RankingConfig, rank
from crossfade.ranking.exploration import EVEN_SHARE, chances, positions

NAN = np.nan


def test_chances_follow_uncertainty_and_unknown_is_the_most_uncertain() -> None:
    found = chances(np.array([0.0, 1.0, 2.0, NAN]))
    even = EVEN_SHARE / 4
    expected = [even, even + 0.9 / 5, even + 0.9 * 2 / 5, even + 0.9 * 2 / 5]
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("values", [[0.0, 0.0], [NAN, NAN], [NAN, 0.0], [3.0, 3.0]])
def test_chances_are_equal_where_nothing_tells_candidates_apart(values: list[float]) -> None:
    assert chances(np.array(values)).tolist() == [0.5, 0.5]


@given(st.lists(st.floats(0, 1e308) | st.just(NAN), min_size=1, max_size=20))
def test_every_chance_is_above_zero_and_they_sum_to_one(values: list[float]) -> None:
    found = chances(np.array(values))
    assert (found >= EVEN_SHARE / len(values)).all()
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("n_listed", "n_explored", "expected"),
    [
        (10, 0, []),
        (10, 1, [9]),
        (10, 2, [4, 9]),
        (10, 3, [2, 5, 9]),
        (1, 1, [0]),
        (2, 2, [0, 1]),
        (0, 0, []),
    ],
)
def test_explored_slots_end_equal_stretches(
    n_listed: int, n_explored: int, expected: list[int]
) -> None:
    assert positions(n_listed, n_explored).tolist() == expected


def test_a_share_is_rounded_down_so_that_short_lists_stay_as_they_are() -> None:
    candidates, items = scored(*range(50, 0, -1)), catalogue(n=50)
    for k, share, n in ((1, 0.1, 0), (9, 0.1, 0), (10, 0.1, 1), (30, 0.1, 3), (1, 1.0, 1)):
        rng = np.random.default_rng(0)
        found = rank(candidates, items, k, config=RankingConfig(explore=share), rng=rng)
        assert len(found.explored) == n


def test_without_exploration_the_generator_is_not_touched() -> None:
    rng = np.random.default_rng(3)
    rank(scored(2, 1), catalogue(n=2), 1, rng=rng)
    assert rng.random() == np.random.default_rng(3).random()


def test_the_same_generator_gives_the_same_list_and_another_another() -> None:
    candidates, items = scored(*range(50, 0, -1)), catalogue(n=50)

    def explored(seed: int) -> list[int]:
        config = RankingConfig(explore=0.5)
        rng = np.random.default_rng(seed)
        return [int(row) for row in rank(candidates, items, 20, config=config, rng=rng).item_row]

    assert explored(1) == explored(1) != explored(2)


@given(worlds(), CONFIGS, st.integers(1, 14), st.integers(0, 99))
def test_propensities_are_what_the_slots_say(
    world: tuple[RankingCatalogue, Candidates], config: RankingConfig, k: int, seed: int
) -> None:
    items, candidates = world
    found = rank(candidates, items, k, config=config, rng=np.random.default_rng(seed))
    n = len(found.item_row)
    assert len(found.explored) == int(config.explore * n + 1e-9)
    by_chance = {slot.position: slot for slot in found.explored}
    for place in range(n):
        slot = by_chance.get(place)
        assert found.propensity[place] == (1.0 if slot is None else slot.propensity)
        if slot is not None:
            assert slot.item_row[slot.chosen] == found.item_row[place]
            assert (slot.probability > 0).all()
            assert slot.probability.sum() == pytest.approx(1)
    # Nobody who stands elsewhere by score could have been drawn, nor by an earlier slot.
    planned = {row for at, row in enumerate(found.item_row.tolist()) if at not in by_chance}
    for slot in found.explored:
        among = set(slot.item_row.tolist())
        assert not planned & among
        planned.add(int(slot.item_row[slot.chosen]))


def test_conditions_hold_for_explored_items_and_limits_before_they_are_in_doubt() -> None:
    items = catalogue(["a", "a", "a", "b", "c", "d"])
    config = RankingConfig(explore=0.5, max_per_creator=1)
    seen = Conditions(seen=rows(5))
    for seed in range(20):
        rng = np.random.default_rng(seed)
        found = rank(scored(6, 5, 4, 3, 2, 1), items, 4, config=config, conditions=seen, rng=rng)
        assert found.item_row[0] == 0
        assert found.item_row[2] == 3
        # Only c is left within the limit; after that any a will do, and it is said.
        assert found.explored[0].item_row.tolist() == [4]
        assert found.explored[1].item_row.tolist() == [1, 2]
        assert found.relaxed == ("max_per_creator",)


def test_unlikely_items_may_be_explored_and_that_is_no_limit_given_way() -> None:
    config = RankingConfig(explore=0.5, min_probability=0.5)
    candidates = scored(4, 3, 2, 1, probability=[0.9, 0.1, NAN, 0.8])
    found = rank(candidates, catalogue(n=4), 2, config=config, rng=np.random.default_rng(0))
    assert found.item_row[0] == 0
    assert found.explored[0].item_row.tolist() == [1, 2, 3]
    assert found.relaxed == ()


# -- learning from it ------------------------------------------------------------------

N_DRAWS = 4_000
REWARD = np.array([0.0, 0.1, 0.9, 0.2, 0.7, 0.4, 0.0, 0.5])


def draws() -> list[Ranked]:
    """Lists of four with two explored slots, for one request asked again and again."""
    rng = np.random.default_rng(11)
    candidates = scored(*range(8, 0, -1), uncertainty=[0, 0, 0.1, 3, 0.5, NAN, 1, 0.2])
    config = RankingConfig(explore=0.5)
    items = catalogue(n=8)
    return [rank(candidates, items, 4, config=config, rng=rng) for _ in range(N_DRAWS)]


def test_rewards_over_propensities_estimate_what_every_item_is_worth() -> None:
    lists = draws()
    for slot in range(2):
        # What would the slot earn on average if it were filled evenly among those it may hold?
        estimates, truths = [], []
        for found in lists:
            one = found.explored[slot]
            reward = REWARD[one.item_row]
            estimates.append(reward[one.chosen] / one.propensity / len(one.item_row))
            truths.append(reward.mean())
        off = np.array(estimates) - np.array(truths)
        standard_error = off.std() / np.sqrt(N_DRAWS)
        assert abs(off.mean()) < 4 * standard_error
        # The test can fail: without the propensities the bias is far larger than that.
        plain = np.array([REWARD[f.item_row[f.explored[slot].position]] for f in lists])
        biased = plain - np.array(truths)
        assert abs(biased.mean()) > 4 * biased.std() / np.sqrt(N_DRAWS)


def test_items_come_as_often_as_their_chances_say() -> None:
    lists = draws()
    first = lists[0].explored[0]
    assert first.item_row.tolist() == [2, 3, 4, 5, 6, 7]
    drawn = np.array([found.explored[0].chosen for found in lists])
    counts = np.bincount(drawn, minlength=6)
    expected = first.probability * N_DRAWS
    # Chi-squared with five degrees of freedom: 20.5 is passed once in a thousand.
    assert ((counts - expected) ** 2 / expected).sum() < 20.5
