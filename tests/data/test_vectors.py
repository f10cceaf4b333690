"""Tables of item vectors in a data set: what is refused, what is kept, what absence means."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.data import Dataset, load_dataset, save_dataset
from crossfade.data.continuing import continued
from crossfade.data.fingerprint import fingerprint
from crossfade.data.vectors import VectorRows
from crossfade.errors import DataError

START = datetime(2024, 1, 1, tzinfo=UTC)
EVENTS = pl.DataFrame(
    {
        "user_id": ["ann", "ann", "bob"],
        "item_id": ["a", "b", "d"],
        "timestamp": [START, START + timedelta(hours=1), START + timedelta(hours=2)],
    }
)
IMAGES = pl.DataFrame({"item_id": ["d", "a"], "vector": [[0.0, 1.0], [5.0, 2.0]]})


def built(**vectors: pl.DataFrame) -> Dataset:
    return Dataset.build(EVENTS, vectors=vectors)


def held(data: Dataset, name: str = "image") -> dict[str, list[float]]:
    table = data.vectors[name]
    ids = data.item_ids.decode(table["item_row"].to_numpy())
    return dict(zip(ids, table["vector"].to_list(), strict=True))


def problems(frame: pl.DataFrame) -> dict[str, int]:
    with pytest.raises(DataError) as raised:
        built(image=frame)
    return {one.check: one.n_rows for one in raised.value.problems}


def test_an_item_without_a_vector_is_absent_and_not_zeros() -> None:
    given_none = pl.DataFrame({"item_id": ["b"], "vector": [None]}, schema=IMAGES.schema)
    assert held(built(image=pl.concat([IMAGES, given_none]))) == {"a": [5, 2], "d": [0, 1]}


def test_numbered_columns_are_read_by_their_numbers() -> None:
    # As texts, v10 would stand before v9.
    table = pl.DataFrame({"item_id": ["a"], "v10": [1.0], "v9": ["7"], "v11": [3]})
    assert held(built(image=table)) == {"a": [7, 1, 3]}


def test_all_faults_of_all_tables_are_told_at_once() -> None:
    image = pl.DataFrame(
        {
            "item_id": ["a", "a", None, "b", "d"],
            "vector": [[1.0, 2.0], [1.0, 2.0, 3.0], [1.0, 2.0], [float("nan"), 1.0], None],
        }
    )
    cover = pl.DataFrame({"item_id": ["a"], "vector": [[float("inf")]]})
    with pytest.raises(DataError) as raised:
        built(image=image, cover=cover)
    assert [(one.check, one.n_rows, one.where) for one in raised.value.problems] == [
        ("repeated_id", 1, "vectors.image: row 2"),
        ("wrong_width", 1, "vectors.image: row 2"),
        ("no_number", 1, "vectors.image: row 4"),
        ("empty_id", 1, "vectors.image: row 3"),
        ("no_number", 1, "vectors.cover: row 1"),
    ]
    assert "give every vector 2 numbers" in str(raised.value)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"item_id": ["a"], "v1": [1.0], "v3": [1.0]}, {"no_vector_columns": 0}),
        ({"item_id": ["a"], "v1": [1.0], "w2": [1.0]}, {"no_vector_columns": 0}),
        ({"item_id": ["a"]}, {"no_vector_columns": 0}),
        ({"id": ["a"], "v1": [1.0]}, {"missing_column": 0}),
        ({"item_id": ["a"], "v1": [None], "v2": [1.0]}, {"no_number": 1}),
        ({"item_id": ["a"], "v1": [1e300], "v2": [1.0]}, {"no_number": 1}),
        ({"item_id": ["a"], "v": ["red"]}, {"no_number": 1}),
        ({"item_id": ["q"], "v": [[1.0]]}, {"no_known_item": 0}),
        ({"item_id": ["a"], "v": [[]]}, {"no_vector": 0}),
    ],
)
def test_a_table_that_cannot_be_used_says_why(
    columns: dict[str, list[object]], expected: dict[str, int]
) -> None:
    assert problems(pl.DataFrame(columns, strict=False)) == expected


def test_an_empty_table_and_a_bad_name_are_refused() -> None:
    assert problems(IMAGES.clear()) == {"no_vector": 0}
    with pytest.raises(DataError, match="bad_name"):
        Dataset.build(EVENTS, vectors={"My Image": IMAGES})


def test_vectors_stay_whatever_is_cut_from_the_log() -> None:
    data = built(image=IMAGES)
    cuts = [
        data.before(START + timedelta(hours=1)),
        data.where(pl.Series([False, True, False])),
        data.without_users(np.array([0], dtype=np.int32)),
        data.without_items(np.array([0], dtype=np.int32)),
        data.with_target(data.target),
    ]
    assert all(held(cut) == held(data) for cut in cuts)


def test_vectors_follow_their_items_where_the_data_set_goes_on() -> None:
    later = EVENTS.head(1).with_columns(item_id=pl.lit("aa"), timestamp=START + timedelta(days=1))
    grown = continued(built(image=IMAGES), later)
    assert grown.item_ids.ids.to_list() == ["a", "aa", "b", "d"]
    assert held(grown) == held(built(image=IMAGES))


def test_a_saved_data_set_brings_its_vectors_back(tmp_path: Path) -> None:
    data = built(image=IMAGES)
    save_dataset(data, tmp_path / "data")
    again = load_dataset(tmp_path / "data")
    assert held(again) == held(data)
    assert fingerprint(again) == fingerprint(data)


def test_vectors_are_part_of_the_fingerprint() -> None:
    other = IMAGES.with_columns(pl.Series("vector", [[0.0, 1.0], [5.0, 2.5]]))
    prints = [built(), built(image=IMAGES), built(image=other), built(cover=IMAGES)]
    assert len({fingerprint(data) for data in prints}) == 4


def test_rows_of_a_later_piece_are_held_against_those_before() -> None:
    rows = VectorRows()
    first, later = (pl.Series("item_id", ids) for ids in (["a", "b"], ["b", "c", "d"]))
    rows.read(first, pl.DataFrame({"v": [[1.0, 2.0], [3.0, 4.0]]}))
    _, faults = rows.read(later, pl.DataFrame({"v": [[5.0, 6.0], [7.0], [8.0]]}))
    found = {fault.check: fault.bad.to_list() for fault in faults if fault.bad.any()}
    assert found == {
        "repeated_id": [True, False, False],
        "wrong_width": [False, True, True],  # most of the piece, and yet not the width of the table
    }


@given(st.permutations(["a", "b", "d"]), st.integers(1, 3))
def test_the_order_of_a_table_does_not_matter(order: list[str], n: int) -> None:
    table = pl.DataFrame({"item_id": order[:n], "v": [[float(ord(x))] for x in order[:n]]})
    data = built(image=table)
    assert data.vectors["image"]["item_row"].is_sorted()
    assert held(data) == {x: [ord(x)] for x in order[:n]}
