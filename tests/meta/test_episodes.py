"""Tasks from blocks: matched by person, earlier before later."""

from dataclasses import replace

import numpy as np
import pytest
from tests.fusion.maml.people import lists

from crossfade.fusion.base import Columns
from crossfade.fusion.maml.tasks import N_QUERY, N_SUPPORT
from crossfade.meta.episodes import from_blocks, matched


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_people_of_both_blocks_are_matched_whatever_their_order() -> None:
    earlier = lists(np.eye(4), user_row=[9, 2, 5, 7])
    later = lists([[1, 0], [0, 1], [1, 1]], user_row=[5, 9, 1])
    found = matched(earlier, later, rng())
    for side in (found.support, found.query):
        np.testing.assert_array_equal(side.signals.user_row, [5, 9])
    assert found.support.relevant.tolist() == np.eye(4, dtype=bool)[[2, 0]].tolist()
    assert found.query.relevant[:, :2].tolist() == [[True, False], [False, True]]


def test_both_sides_are_as_wide_as_the_wider_and_padding_is_masked() -> None:
    found = matched(lists(np.ones((1, 5)), user_row=[1]), lists([[1, 0]], user_row=[1]), rng())
    assert found.support.relevant.shape == found.query.relevant.shape == (1, 5)
    assert found.query.signals.mask.tolist() == [[True, True, False, False, False]]
    assert found.query.item_row.tolist() == [[0, 1, -1, -1, -1]]
    assert np.isnan(found.query.signals.score[0, 2:]).all()


def test_the_last_list_before_and_the_first_list_after_count() -> None:
    earlier = lists(
        [[1, 0, 0], [0, 1, 0], [0, 0, 0]], user_row=[3, 3, 3]
    )  # the last wanted nothing
    later = lists([[0, 0, 0], [0, 0, 1], [1, 0, 0]], user_row=[3, 3, 3])
    found = matched(earlier, later, rng())
    assert found.support.relevant.tolist() == [[False, True, False]]
    assert found.query.relevant.tolist() == [[False, False, True]]


def test_strangers_and_nameless_lists_are_nobody() -> None:
    strangers = lists([[1, 0]], user_row=[-1])
    assert len(matched(strangers, strangers, rng())) == 0
    nameless = lists([[1, 0]])
    assert len(matched(nameless, nameless, rng())) == 0


def test_long_lists_are_cut_to_the_size_of_a_task() -> None:
    block = lists(np.ones((1, 60)), user_row=[1])
    found = matched(block, block, rng())
    assert found.support.relevant.sum() == N_SUPPORT
    assert found.query.relevant.sum() == N_QUERY


def test_of_several_blocks_each_person_gives_a_chain_or_a_cut_list() -> None:
    blocks = [
        lists([[1, 0], [1, 0]], user_row=[1, 2]),
        lists([[0, 1], [1, 1]], user_row=[1, 3]),
        lists([[1, 0, 0]], user_row=[1]),
    ]
    found = from_blocks(blocks, rng())
    np.testing.assert_array_equal(found.support.signals.user_row, [1, 1, 3])
    assert found.query.relevant[:2].tolist() == [[False, True, False], [True, False, False]]
    assert (found.support.relevant[2] ^ found.query.relevant[2]).tolist() == [True, True, False]


def test_blocks_with_other_columns_are_refused() -> None:
    block = lists([[1, 0]], user_row=[1])
    other = replace(block, signals=replace(block.signals, columns=Columns(("a", "b"))))
    with pytest.raises(ValueError, match="same columns"):
        matched(block, other, rng())
