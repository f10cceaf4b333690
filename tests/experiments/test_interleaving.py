"""Interleaved lists: neither arm is favoured, and the chance of every place is known."""

from collections import defaultdict
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.experiments.interleaving import coins, team_draft

ITEMS = "abcdefgh"
lists_of = st.permutations(ITEMS).flatmap(
    lambda order: st.integers(0, len(order)).map(lambda n: "".join(order[:n]))
)


def test_by_hand() -> None:
    lists = ("abcd", "bxay")
    first = team_draft(lists, 4, [False, False])
    # a by the first, b by the second; c by the first, then x, as b and a are there.
    assert [(pick.team, lists[pick.team][pick.at]) for pick in first] == [
        (0, "a"), (1, "b"), (0, "c"), (1, "x"),
    ]  # fmt: skip
    assert [pick.chance for pick in first] == [0.5, 0.5, 0.5, 0.5]
    other = team_draft(lists, 4, [True, True])
    assert [lists[pick.team][pick.at] for pick in other] == ["b", "a", "x", "c"]
    short = team_draft(("a", "xyz"), 9, [False] * 5)
    assert [(pick.team, pick.at) for pick in short] == [(0, 0), (1, 0), (1, 1), (1, 2)]
    assert team_draft(("", ""), 3, [True, True]) == []


@given(lists_of, lists_of, st.integers(0, 9), st.lists(st.booleans(), min_size=5, max_size=5))
def test_each_item_stands_once_teams_are_even_and_neither_is_favoured(
    one: str, other: str, k: int, tossed: list[bool]
) -> None:
    lists = (one, other)
    picks = team_draft(lists, k, tossed)
    shown = [lists[pick.team][pick.at] for pick in picks]
    assert len(shown) == len(set(shown)) == min(k, len(set(one) | set(other)))
    sizes = [sum(pick.team == team for pick in picks) for team in (0, 1)]
    if min(len(one), len(other)) >= k:
        assert abs(sizes[0] - sizes[1]) <= 1
    # The other way round with other coins it is the same list with other teams.
    turned = team_draft((other, one), k, [not coin for coin in tossed])
    assert [(1 - pick.team, pick.at, pick.chance) for pick in turned] == [
        (pick.team, pick.at, pick.chance) for pick in picks
    ]


@given(lists_of, lists_of, st.integers(1, 8))
def test_chances_are_those_over_all_coins(one: str, other: str, k: int) -> None:
    counted: dict[tuple[int, str], float] = defaultdict(float)
    told: dict[tuple[int, str], float] = {}
    lists, rounds = (one, other), (k + 1) // 2
    for tossed in product([False, True], repeat=rounds):
        for place, pick in enumerate(team_draft(lists, k, tossed)):
            at = (place, lists[pick.team][pick.at])
            counted[at] += 0.5**rounds
            assert told.setdefault(at, pick.chance) == pick.chance
    assert told == pytest.approx(counted)


def test_equal_lists_give_both_half_of_every_place() -> None:
    # Closed form: each item is put by either arm in half of the lists, so its credit is halved.
    shares = np.zeros(8)
    for tossed in product([False, True], repeat=4):
        shares += [pick.team for pick in team_draft((ITEMS, ITEMS), 8, tossed)]
    assert (shares / 16 == 0.5).all()


def test_coins_follow_from_names_and_are_fair() -> None:
    assert coins("e", "u", "r", 20) == coins("e", "u", "r", 20)
    assert coins("e", "u", "r", 9) == coins("e", "u", "r", 9)
    others = [coins("e", "u", "s", 64), coins("e", "v", "r", 64), coins("f", "u", "r", 64)]
    assert all(one != coins("e", "u", "r", 64) for one in others)
    assert coins("e 1", "u", "r", 64) != coins("e", "1 u", "r", 64)
    assert coins("e", "u 1", "r", 64) != coins("e", "u", "1 r", 64)
    many = np.array([coins("e", f"u{i}", "r", 16) for i in range(2000)])
    assert np.abs(many.mean(axis=0) - 0.5).max() < 0.05  # four and a half standard deviations
