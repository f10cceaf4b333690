"""Conditions keep out what they name, and nothing else."""

from datetime import date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ranking.lists import N_ITEMS, catalogue, rows, scored, worlds

from crossfade.data.dataset import to_us
from crossfade.errors import ConfigError
from crossfade.ranking import Candidates, Conditions, RankingCatalogue
from crossfade.ranking.eligibility import eligible

NAN = np.nan
PLAIN = catalogue(n=5, year=[1990, 2000, None, 2010, 2020])


def left(conditions: Conditions, candidates: Candidates | None = None) -> list[int]:
    candidates = candidates or scored(5, 4, 3, 2, 1)
    passed, _ = eligible(candidates, conditions, PLAIN)
    return [int(row) for row in candidates.item_row[passed]]


def test_seen_blocked_and_not_allowed_items_are_kept_out() -> None:
    assert left(Conditions()) == [0, 1, 2, 3, 4]
    assert left(Conditions(seen=rows(1, 1, 3))) == [0, 2, 4]
    assert left(Conditions(block=rows(0))) == [1, 2, 3, 4]
    assert left(Conditions(allow=rows(4, 2))) == [2, 4]
    assert left(Conditions(allow=rows())) == []
    assert left(Conditions(rules=("year >= 2000", "year < 2020"))) == [1, 3]


def test_a_block_beats_an_allow() -> None:
    assert left(Conditions(allow=rows(2, 4), block=rows(4))) == [2]


def test_unknown_ids_stand_for_no_item() -> None:
    assert left(Conditions(seen=rows(-1), block=rows(-1, 0))) == [1, 2, 3, 4]
    assert left(Conditions(allow=rows(-1))) == []


def test_what_nobody_can_score_is_kept_out() -> None:
    assert left(Conditions(), scored(1, NAN, 0, NAN, -3)) == [0, 2, 4]


def test_rules_of_the_settings_and_of_the_request_must_both_hold() -> None:
    passed, _ = eligible(
        scored(5, 4, 3, 2, 1), Conditions(rules=("year < 2020",)), PLAIN, ("year > 1990",)
    )
    assert passed.tolist() == [False, True, False, True, False]
    with pytest.raises(ConfigError, match="none of the 5 items is left"):
        eligible(scored(1), Conditions(rules=("year < 2000",)), PLAIN, ("year > 2000",))


def test_every_condition_says_how_many_it_keeps_out() -> None:
    candidates = scored(5, 4, NAN, 2, 1)
    conditions = Conditions(
        seen=rows(0), block=rows(-1), allow=rows(0, 1, 3), rules=("year < 2015",)
    )
    # 2 has no score, is not allowed, and its year is unknown; 4 is not allowed, and too young.
    passed, kept_out = eligible(candidates, conditions, PLAIN)
    assert passed.tolist() == [False, True, False, True, False]
    assert kept_out == {"score": 1, "seen": 1, "allow": 2, "rules": 2}


def test_a_window_holds_its_first_moment_and_not_its_last() -> None:
    begin, end = datetime(2024, 5, 1), datetime(2024, 6, 1)
    windows = catalogue(n=2, available_from=[begin, None], available_until=[end, None])

    def there(moment: datetime) -> list[bool]:
        passed, _ = eligible(scored(1, 1), Conditions(as_of_us=to_us(moment)), windows)
        return [bool(one) for one in passed]

    tick = timedelta(microseconds=1)
    assert there(begin - tick) == [False, True]
    assert there(begin) == [True, True]
    assert there(end - tick) == [True, True]
    assert there(end) == [False, True]


def test_windows_need_a_moment() -> None:
    windows = catalogue(n=1, available_until=[date(2024, 5, 1)])
    with pytest.raises(ConfigError, match=r"needs the moment of the request; give as_of_us"):
        eligible(scored(1), Conditions(), windows)


LISTED = st.lists(st.integers(-1, N_ITEMS - 1), max_size=6).map(lambda found: rows(*found))


@given(worlds(), LISTED, LISTED, st.none() | LISTED, st.integers(0, N_ITEMS - 1))
def test_one_more_blocked_item_only_removes_it(
    world: tuple[RankingCatalogue, Candidates],
    seen: np.ndarray,
    block: np.ndarray,
    allow: np.ndarray | None,
    item: int,
) -> None:
    items, candidates = world
    before, _ = eligible(candidates, Conditions(seen=seen, block=block, allow=allow), items)
    more = np.append(block, np.int32(item))
    after, _ = eligible(candidates, Conditions(seen=seen, block=more, allow=allow), items)
    assert (after == (before & (candidates.item_row != item))).all()
