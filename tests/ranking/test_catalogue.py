"""What ranking reads from a catalogue."""

from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest
from tests.ranking.lists import catalogue, rows

from crossfade.data.dataset import to_us
from crossfade.errors import DataError
from crossfade.ranking import RankingCatalogue
from crossfade.ranking.catalogue import ALWAYS_FROM, ALWAYS_UNTIL
from crossfade.testing import tiny_catalogue


def test_creators_are_numbers_and_unknown_is_minus_one() -> None:
    found = catalogue(["Ella", "John", None, " ella ", ""])
    assert found.creator.tolist() == [0, 1, -1, 0, -1]
    assert found.n_creators == 2


def test_an_id_tells_creators_apart_and_a_name_is_never_taken_for_an_id() -> None:
    items = pl.DataFrame(
        {
            "item_id": list("abcd"),
            "creator_id": ["1", "2", None, "1"],
            "creator": ["John", "John", "1", "Johnny"],
        }
    )
    found = RankingCatalogue(items)
    assert found.n_creators == 3
    assert found.creator[0] == found.creator[3]
    assert len(set(found.creator[:3].tolist())) == 3


def test_genres_are_plain_sorted_and_once_each() -> None:
    found = catalogue(genres=[["Rock", "folk", "rock "], None, [], ["Folk"], ["", None]])  # type: ignore[list-item]
    assert found.genres == ("folk", "rock")
    assert found.genre_indptr.tolist() == [0, 2, 2, 2, 3, 3]
    assert found.genre.tolist() == [0, 1, 0]


def test_a_bare_catalogue_knows_nothing() -> None:
    found = catalogue(n=3)
    assert found.creator.tolist() == [-1, -1, -1]
    assert found.genres == ()
    assert found.genre_indptr.tolist() == [0, 0, 0, 0]
    assert not found.has_windows
    assert found.genre_shares(rows(0, 1)) is None


def test_the_items_of_a_data_set_can_be_read() -> None:
    found = RankingCatalogue(tiny_catalogue().items)
    assert found.n_items == 5
    assert found.genres == ("folk", "jazz", "rock")
    assert found.creator[0] == found.creator[1] != found.creator[2]


def test_genre_shares_by_hand() -> None:
    found = catalogue(genres=[["jazz"], ["folk", "rock"], None])
    shares = found.genre_shares(rows(0, 1, 1, 2, -1))
    # Jazz 1; folk and rock a half from each of two: 1 of 3 each.
    assert shares is not None
    np.testing.assert_allclose(shares, [1 / 3, 1 / 3, 1 / 3])
    weighed = found.genre_shares(rows(0, 1), np.array([3.0, 1.0]))
    assert weighed is not None
    np.testing.assert_allclose(weighed, [1 / 8, 3 / 4, 1 / 8])


@pytest.mark.parametrize("history", [[], [2], [-1]])
def test_a_history_without_known_genres_has_no_shares(history: list[int]) -> None:
    assert catalogue(genres=[["jazz"], ["folk"], None]).genre_shares(rows(*history)) is None


def test_windows_are_moments_and_an_empty_cell_is_no_bound() -> None:
    items = pl.DataFrame(
        {
            "item_id": ["a", "b"],
            "available_from": [date(2024, 5, 1), None],
            "available_until": [None, datetime(2024, 6, 1, 12)],
        }
    )
    found = RankingCatalogue(items)
    assert found.available_from_us is not None
    assert found.available_from_us.tolist() == [
        to_us(datetime(2024, 5, 1, tzinfo=UTC)),
        ALWAYS_FROM,
    ]
    assert found.available_until_us is not None
    assert found.available_until_us.tolist() == [ALWAYS_UNTIL, to_us(datetime(2024, 6, 1, 12))]


def test_zones_are_taken_into_account() -> None:
    moment = pl.Series(["2024-05-01T02:00+02:00"]).str.to_datetime(time_unit="ms")
    aware = moment.dt.convert_time_zone("Europe/Berlin")
    found = RankingCatalogue(pl.DataFrame({"item_id": ["a"], "available_until": aware}))
    assert found.available_until_us is not None
    assert found.available_until_us[0] == to_us(datetime(2024, 5, 1))


def test_a_column_without_any_moment_is_no_window() -> None:
    assert not catalogue(n=2, available_from=[None, None]).has_windows


@pytest.mark.parametrize("values", [["2024-05-01", None], [1_700_000_000, None]])
def test_availability_in_texts_or_numbers_is_refused(values: list[object]) -> None:
    with pytest.raises(DataError, match=r"column available_from holds .*; turn it into dates"):
        catalogue(n=2, available_from=values)


def test_a_window_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(DataError, match=r'1 of 2 have available_until before .*\(first: "item001"'):
        catalogue(
            n=2,
            available_from=[date(2024, 5, 1), date(2024, 5, 2)],
            available_until=[date(2024, 5, 1), date(2024, 5, 1)],
        )


def test_masks_of_rules_are_remembered_and_cannot_be_written() -> None:
    found = catalogue(n=3, year=[1, 2, 3])
    first = found.allowed(("year > 1",))
    assert first.tolist() == [False, True, True]
    assert found.allowed(["year > 1"]) is first
    with pytest.raises(ValueError, match="read-only"):
        first[0] = True
