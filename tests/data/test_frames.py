"""Tables of other libraries at the border. Each trap here is one that pandas users know."""

import datetime as dt
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.data import Dataset
from crossfade.data.frames import to_pairs, to_polars
from crossfade.errors import ConfigError, DataError

PAIR = {"user_id": ["a", "b"], "item_id": ["x", "y"]}
NOON = dt.datetime(2024, 1, 1, 12)


def same(first: Dataset, second: Dataset) -> bool:
    ours, theirs = first.tables(), second.tables()
    return ours.keys() == theirs.keys() and all(ours[n].equals(theirs[n]) for n in ours)


# -- the same table, whoever holds it ----------------------------------------------------

ROWS = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.sampled_from("vwxyz"),
        st.integers(0, 10**6),
        st.none() | st.booleans(),
        st.none() | st.floats(0, 5, width=32),
    ),
    min_size=1,
    max_size=12,
)


@given(ROWS)
def test_a_log_is_the_same_from_either_library(rows: list[tuple[Any, ...]]) -> None:
    users, items, seconds, skipped, values = map(list, zip(*rows, strict=True))
    columns: dict[str, Any] = {
        "user_id": users,
        "item_id": items,
        "timestamp": [NOON + dt.timedelta(seconds=s) for s in seconds],
        "skipped": skipped,
        "value": values,
    }
    polars = pl.DataFrame(columns, schema_overrides={"skipped": pl.Boolean, "value": pl.Float64})
    pandas = pd.DataFrame(columns)
    assert same(Dataset.build(pandas), Dataset.build(polars))
    arrow: Any = polars.to_arrow()
    assert same(Dataset.build(arrow), Dataset.build(polars))


def test_every_table_of_a_data_set_may_come_from_pandas() -> None:
    tables: dict[str, dict[str, Any]] = {
        "events": {**PAIR, "timestamp": [NOON, NOON]},
        "items": {"item_id": ["x", "z"], "genres": [["jazz", "soul"], None], "tempo": [120.5, None]},
        "users": {"user_id": ["a", "c"], "age": [31, None]},
        "taggings": {**PAIR, "tag": ["mellow", "odd"]},
        "friends": {"user_id": ["a"], "friend_id": ["b"]},
    }  # fmt: skip
    guests: Any = {name: pd.DataFrame(columns) for name, columns in tables.items()}
    ours: Any = {name: pl.DataFrame(columns) for name, columns in tables.items()}
    pandas, polars = Dataset.build(**guests), Dataset.build(**ours)
    assert pandas.items.rows() == polars.items.rows()
    assert pandas.items["genres"].to_list() == [["jazz", "soul"], None, None]
    assert pandas.users.rows() == [("a", 31.0), ("b", None), ("c", None)]
    for name in ("events", "taggings", "friends"):
        assert getattr(pandas, name).equals(getattr(polars, name))


def test_pandas_is_not_imported_for_those_who_do_not_use_it() -> None:
    code = (
        "import sys, polars as pl; from crossfade.data import Dataset\n"
        "class Arrow:\n"
        "    def __arrow_c_stream__(self, requested_schema=None):\n"
        "        return pl.DataFrame({'user_id': ['a'], 'item_id': ['x']}).__arrow_c_stream__()\n"
        "print(Dataset.build(Arrow()).n_events, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "False"]


# -- what pandas makes of a column --------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pd.Series(["a", np.nan]), ["a", None]),
        (pd.Series(["a", None], dtype="category"), ["a", None]),
        (pd.Series([1, 2], dtype="category"), ["1", "2"]),
        (pd.Series([1, None], dtype="Int64"), ["1", None]),
        (pd.Series([1, np.nan], dtype=object), ["1", None]),
        (pd.Series([7, 8], dtype="int64[pyarrow]"), ["7", "8"]),
    ],
)
def test_ids_in_any_dress_become_text(column: "pd.Series[Any]", expected: list[str | None]) -> None:
    frame = pd.DataFrame({"user_id": ["a", "b"], "item_id": column})
    assert to_pairs(frame)["item_id"].to_list() == expected
    if None in expected:
        with pytest.raises(DataError, match="events: item_id is empty in some rows; fill them in"):
            Dataset.build(frame)
    else:
        assert Dataset.build(frame).item_ids.ids.to_list() == expected


@pytest.mark.parametrize("ids", [[1.0, np.nan], [1.0, 2.0]])
def test_ids_that_became_floats_are_refused(ids: list[float]) -> None:
    frame = pd.DataFrame({"user_id": ["a", "b"], "item_id": ids})
    message = "item_id holds Float64, and 7.0 is not the id 7; drop the rows without an id, then"
    for table in (frame, pl.DataFrame(frame)):
        with pytest.raises(DataError, match=f"events: {message}"):
            Dataset.build(table)
        with pytest.raises(DataError, match=f"pairs: {message}"):
            to_pairs(table)


@pytest.mark.parametrize(
    "times",
    [
        pd.to_datetime([NOON, NOON]),
        pd.to_datetime([NOON, NOON]).astype("datetime64[ns]"),
        pd.to_datetime(["2024-01-01T14:00:00+02:00"] * 2),
        pd.to_datetime(["2024-01-01 13:00"] * 2).tz_localize("Europe/Berlin"),
        pd.Series([NOON, NOON.replace(tzinfo=dt.UTC)], dtype=object),
        pd.Series([NOON.replace(tzinfo=dt.UTC), NOON], dtype=object),
    ],
)
def test_times_without_a_zone_are_utc_and_others_are_converted(times: Any) -> None:
    data = Dataset.build(pd.DataFrame({**PAIR, "timestamp": times}))
    assert data.events["timestamp"].to_list() == [NOON.replace(tzinfo=dt.UTC)] * 2


@pytest.mark.parametrize(
    "genres",
    [[["soul", "jazz"], None], [("soul", "jazz"), np.nan], [np.array(["soul", "jazz"]), None]],
)
def test_lists_are_kept_in_order_whatever_holds_them(genres: list[Any]) -> None:
    items = pd.DataFrame({"item_id": ["x", "y"], "genres": pd.Series(genres, dtype=object)})
    assert Dataset.build(pl.DataFrame(PAIR), items).items["genres"].to_list() == [
        ["soul", "jazz"],
        None,
    ]


def test_row_labels_without_a_name_are_left_behind() -> None:
    frame = pd.DataFrame({**PAIR, "skipped": [True, False]})[lambda rows: rows["skipped"]]
    assert to_polars(frame, "events").columns == ["user_id", "item_id", "skipped"]


# -- what is refused, with the mend -------------------------------------------------------


def events(**columns: Any) -> Any:
    return lambda: Dataset.build(pd.DataFrame({**PAIR, **columns}))


def items(**columns: Any) -> Any:
    catalogue = {"item_id": ["x", "y"], **columns}
    return lambda: Dataset.build(pl.DataFrame(PAIR), pd.DataFrame(catalogue))


def renamed(columns: list[Any]) -> Any:
    return lambda: Dataset.build(pd.DataFrame(PAIR).set_axis(columns, axis=1))


def other(columns: Any) -> Any:
    return lambda: Dataset.build(columns)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (other(pd.DataFrame(PAIR).set_index("user_id")), "events: user_id is the index .* call reset_index"),
        (other(pd.DataFrame(PAIR).set_index(["user_id", "item_id"])), "events: user_id, item_id is the index"),
        (events(user_id=pd.Series(["a", 1], dtype=object)), "column user_id cannot .* it holds int, str; make all"),
        (items(genres=[["jazz"], "soul"]), "items: column genres cannot be read .* it holds list, str; make all"),
        (items(genres=[["jazz"], {"soul", "pop"}]), "items: column genres holds sets, whose order differs"),
        (items(genres=["jazz|soul", None]), r"not fit its column genres: .* into List\(String\) first"),
        (items(release_date=[1999, 2001]), "items: column release_date holds numbers; .* with polars.date"),
        (events(played_ms=pd.to_timedelta([3, 4])), r"played_ms holds Duration.*; turn it into numbers"),
        (events(timestamp=pd.period_range("2024", periods=2, freq="M")), r"timestamp holds period\[M\]; turn it"),
        (events(timestamp=[1_700_000_000] * 2), "timestamp holds numbers; .* with polars.from_epoch"),
        (events(value=[2**70, 1]), "events: column value cannot be read .*: it holds int"),
        (events(event=pd.Series(["\ud800", "x"], dtype=object)), "column event cannot be read .*surrogates"),
        (renamed(["user_id", "user_id"]), "events: column 'user_id' needs a text of its own as a name"),
        (renamed(["user_id", 1]), "events: column 1 needs a text of its own as a name; rename it"),
        (other({"user_id": ["a"]}), "events: a data frame of Polars or pandas .* got dict; polars"),
        (other(pl.LazyFrame(PAIR)), "events: a data frame .* got LazyFrame; collect it first"),
        (items(loudness=[1j, 2j]), "items: column loudness cannot be read .*: it holds complex"),
        (lambda: to_pairs(pd.DataFrame({"user_id": ["a"]})), "pairs: column item_id is missing; the columns"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_table_column_and_mend(make: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()


def test_pairs_are_texts() -> None:
    assert to_pairs([("a", "x"), ("b", "y")]).rows() == [("a", "x"), ("b", "y")]
    assert to_pairs([]).schema == {"user_id": pl.String, "item_id": pl.String}
    with pytest.raises(
        ConfigError, match=r'item_id of pairs must be .* got int 3; write it as "3"'
    ):
        to_pairs([("a", 3)])  # type: ignore[list-item]


def test_arrow_tables_are_tables() -> None:
    table: Any = pa.table(PAIR)
    assert to_polars(table, "events").equals(pl.DataFrame(PAIR))
