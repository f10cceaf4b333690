"""Tasks: one person, support before query, nothing shared."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fusion.maml.people import lists

from crossfade.fusion.maml.tasks import (
    N_QUERY,
    N_SUPPORT,
    Episodes,
    consecutive,
    episodes_of,
    limited,
    split_list,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# -- one list cut in two ---------------------------------------------------------------


@given(st.integers(0, 1000), st.integers(1, 70), st.floats(0, 1))
def test_support_and_query_want_nothing_in_common_and_keep_the_negatives(
    seed: int, n_items: int, share: float
) -> None:
    relevant = rng(seed).random((4, n_items)) < share
    given_lists = lists(relevant)
    cut = split_list(given_lists, rng(seed))
    places = np.flatnonzero(relevant.sum(axis=1) >= 2)
    assert len(cut) == len(places)
    support, query = cut.support, cut.query
    assert not (support.relevant & query.relevant).any()
    # Who adapts cannot know what will be wanted; who is judged has seen what was.
    assert support.signals.mask.all()
    assert not (query.signals.mask & support.relevant).any()
    assert query.signals.mask[~relevant[places]].all()
    assert ((support.relevant | query.relevant) <= relevant[places]).all()
    assert (support.relevant.sum(axis=1) >= 1).all()
    assert (query.relevant.sum(axis=1) >= 1).all()
    assert (support.relevant.sum(axis=1) <= N_SUPPORT).all()
    assert (query.relevant.sum(axis=1) <= N_QUERY).all()


def test_the_support_is_what_came_first() -> None:
    when = np.array([[5.0, 1.0, 9.0, 3.0, np.nan]])
    cut = split_list(lists([[1, 1, 1, 1, 0]]), rng(), when, n_support=np.array([2]))
    assert cut.support.relevant.tolist() == [[False, True, False, True, False]]
    assert cut.query.relevant.tolist() == [[True, False, True, False, False]]


def test_two_thirds_go_into_the_support_and_one_is_always_left() -> None:
    relevant = np.zeros((3, 100), dtype=np.bool_)
    for row, n in enumerate((2, 9, 80)):
        relevant[row, :n] = True
    cut = split_list(lists(relevant), rng())
    assert cut.support.relevant.sum(axis=1).tolist() == [1, 6, 32]
    assert cut.query.relevant.sum(axis=1).tolist() == [1, 3, 16]
    asked = split_list(lists(relevant), rng(), n_support=np.array([5, 5, 5]), n_query=100)
    assert asked.support.relevant.sum(axis=1).tolist() == [1, 5, 5]
    assert asked.query.relevant.sum(axis=1).tolist() == [1, 4, 75]


def test_wanted_items_elsewhere_still_count_for_the_query() -> None:
    made = replace(lists([[1, 1, 1, 0]]), n_relevant=np.array([7.0]))  # four no base proposed
    cut = split_list(made, rng())
    assert cut.support.n_relevant.tolist() == [2.0]
    assert cut.query.n_relevant.tolist() == [5.0]


def test_a_wanted_candidate_that_no_base_can_score_teaches_nothing() -> None:
    score = np.zeros((1, 3, 2))
    score[0, 1] = np.nan
    assert len(split_list(lists([[1, 1, 0]], score), rng())) == 0
    assert len(split_list(lists([[1, 0, 1]], score), rng())) == 1


def test_equal_seeds_cut_alike_and_other_seeds_do_not() -> None:
    made = lists(np.ones((5, 12)))
    one, same, other = (split_list(made, rng(seed)).support.relevant for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_cutting_changes_nothing_that_was_given() -> None:
    made = lists([[1, 1, 0]])
    before = made.relevant.copy(), made.signals.mask.copy()
    split_list(made, rng())
    np.testing.assert_array_equal(made.relevant, before[0])
    np.testing.assert_array_equal(made.signals.mask, before[1])


# -- several lists of one person -------------------------------------------------------


def test_each_list_is_followed_by_the_next_of_the_same_person() -> None:
    support, query = consecutive(lists(np.ones((6, 2)), user_row=[3, 7, 3, -1, 3, -1]))
    assert list(zip(support.tolist(), query.tolist(), strict=True)) == [(0, 2), (2, 4)]


def test_a_list_without_anything_wanted_is_left_out_of_the_chain() -> None:
    support, query = consecutive(lists([[1, 1], [0, 0], [0, 1]], user_row=[3, 3, 3]))
    assert (support.tolist(), query.tolist()) == ([0], [2])


def test_people_with_one_list_are_cut_and_the_others_paired() -> None:
    made = lists([[1, 1, 0], [1, 1, 1], [0, 0, 1], [0, 1, 0]], user_row=[5, 6, 5, 8])
    found = episodes_of(made, rng())
    assert found.support.signals.user_row is not None
    assert found.support.signals.user_row.tolist() == [5, 6]
    np.testing.assert_array_equal(found.query.signals.user_row, [5, 6])
    assert found.support.relevant[0].tolist() == [True, True, False]
    assert found.query.relevant[0].tolist() == [False, False, True]


def test_without_names_every_list_is_a_person() -> None:
    assert len(episodes_of(lists([[1, 1], [0, 1], [1, 1]]), rng())) == 2


def test_long_lists_are_limited_and_the_rest_is_no_negative() -> None:
    made = limited(lists(np.ones((1, 50))), 16, rng())
    assert made.relevant.sum() == made.signals.mask.sum() == 16
    assert made.n_relevant.tolist() == [16.0]


def test_nobody_is_no_task() -> None:
    assert len(episodes_of(lists(np.zeros((3, 4))), rng())) == 0
    assert len(episodes_of(lists(np.zeros((0, 4))), rng())) == 0


def test_sides_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="2 support lists cannot be matched with 1"):
        Episodes(lists([[1], [1]]), lists([[1]]))
