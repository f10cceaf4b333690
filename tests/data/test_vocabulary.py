import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.data import Vocabulary
from crossfade.errors import DataError, UnknownIdError

IDS = st.lists(st.text(max_size=4), min_size=1, max_size=8)


@given(IDS, IDS)
def test_rows_are_places_in_the_sorted_union(first: list[str], second: list[str]) -> None:
    vocabulary = Vocabulary.of("user", pl.Series(first), pl.Series(second))
    # Polars sorts by code point, as Python does.
    assert vocabulary.ids.to_list() == sorted({*first, *second})
    for row, external_id in enumerate(vocabulary.ids):
        assert vocabulary.row(external_id) == row
        assert vocabulary.id(row) == external_id
        assert external_id in vocabulary
    assert len(vocabulary) == len({*first, *second})


@given(IDS, IDS)
def test_columns_are_encoded_with_null_for_strangers(known: list[str], asked: list[str]) -> None:
    vocabulary = Vocabulary.of("user", pl.Series(known))
    rows = vocabulary.encode(pl.Series([*asked, None]))
    assert rows.dtype == pl.Int32
    in_order = sorted(set(known))
    expected = [in_order.index(x) if x in in_order else None for x in asked]
    assert rows.to_list() == [*expected, None]
    assert vocabulary.rows(asked).tolist() == [-1 if row is None else row for row in expected]


def test_decoding_undoes_encoding() -> None:
    vocabulary = Vocabulary.of("item", pl.Series(["b", "a", "c"]))
    assert vocabulary.decode([2, 0, 0]) == ["c", "a", "a"]
    assert vocabulary.decode(np.array([], dtype=np.int32)) == []


def test_an_unknown_id_is_named_with_its_kind() -> None:
    vocabulary = Vocabulary.of("user", pl.Series(["a", "b"]))
    with pytest.raises(UnknownIdError) as caught:
        vocabulary.row("u42")
    assert str(caught.value) == 'user "u42" is unknown among 2 users; check the id'
    assert "u42" not in vocabulary
    with pytest.raises(UnknownIdError, match=r'user "42" is unknown .*; ids are text: "42"'):
        vocabulary.row(42)  # type: ignore[arg-type]


def test_a_missing_id_is_refused() -> None:
    with pytest.raises(DataError, match="user_id: some ids are missing; fill them in or drop"):
        Vocabulary.of("user", pl.Series(["a", None]))
