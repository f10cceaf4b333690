"""Files of item vectors: which columns are read, and what a bad file is told."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crossfade.cli.importing import summary_rows
from crossfade.config import validate
from crossfade.data import load_dataset
from crossfade.data.importing import ImportMapping, ImportReport, import_table, summarise
from crossfade.errors import ConfigError, DataError

LOG = "user_id,item_id\nann,a\nann,b\nbob,c\n"


@pytest.fixture
def imported(tmp_path: Path, now: datetime) -> Any:
    """Imports `LOG` with one file of vectors."""

    def run(
        text: str, name: str = "image.csv", on_error: Any = "fail", **said: Any
    ) -> ImportReport:
        (tmp_path / "log.csv").write_text(LOG)
        if text:
            (tmp_path / name).write_text(text)
        values = {"events": {"file": "log.csv"}, "vectors": {"image": {"file": name, **said}}}
        mapping = validate(ImportMapping, values, "test")
        return import_table(mapping, tmp_path / "data", now=now, root=tmp_path, on_error=on_error)

    return run


def vectors(report: ImportReport) -> dict[str, list[float]]:
    data = load_dataset(report.directory)
    table = data.vectors["image"]
    ids = data.item_ids.decode(table["item_row"].to_numpy())
    return dict(zip(ids, table["vector"].to_list(), strict=True))


def test_text_with_numbered_columns_and_json_and_parquet_with_lists_say_the_same(
    imported: Any, tmp_path: Path
) -> None:
    expected = {"a": [1.5, 2.0], "c": [0.0, -1.0]}
    # An item with nothing in its columns has no vector.
    assert vectors(imported("item_id,v0,v1\na,1.5,2\nb,,\nc,0,-1\n")) == expected
    rows = [{"sku": "a", "v": [1.5, 2]}, {"sku": "b", "v": None}, {"sku": "c", "v": [0, -1]}]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    assert vectors(imported(lines, "image.jsonl", item_id="sku")) == expected
    frame = pl.DataFrame(rows, schema={"sku": pl.String, "v": pl.List(pl.Float64)}, strict=False)
    frame.with_columns(size=1).write_parquet(tmp_path / "image.parquet")
    assert vectors(imported("", "image.parquet", item_id="sku", columns=["v"])) == expected


def test_columns_may_be_named_in_any_order(imported: Any) -> None:
    report = imported("item_id,x,y,note\na,1,2,n\n", columns=["y", "x"])
    assert vectors(report) == {"a": [2, 1]}


def test_all_faults_of_the_file_are_told_with_their_lines(imported: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        imported("item_id,v0,v1\na,1,2\n,1,2\nb,red,2\na,3,4\nc,nan,1\nc,1\n")
    found = {(one.check, one.n_rows, one.where) for one in raised.value.problems}
    assert found == {
        ("ragged_row", 1, "image.csv: line 7"),
        ("empty_id", 1, "image.csv: line 3, column item_id"),
        ("repeated_id", 1, "image.csv: line 5, column item_id"),
        ("no_number", 2, "image.csv: line 4"),
    }
    assert not (tmp_path / "data").exists()


def test_a_vector_of_another_width_is_left_out_where_asked(imported: Any, left_out: Any) -> None:
    text = (
        '{"item_id": "a", "v": [1, 2]}\n{"item_id": "b", "v": [1]}\n{"item_id": "c", "v": [3, 4]}\n'
    )
    with pytest.raises(DataError, match=r"wrong_width: 1 row, first at image\.jsonl: line 2"):
        imported(text, "image.jsonl")
    report = imported(text, "image.jsonl", on_error="skip")
    assert vectors(report) == {"a": [1, 2], "c": [3, 4]}
    assert [row["checks"] for row in left_out(report)] == [["wrong_width"]]


def test_vectors_of_unknown_items_are_left_out_and_counted(imported: Any) -> None:
    report = imported("item_id,v0\na,1\nx,2\ny,3\n")
    assert vectors(report) == {"a": [1]}
    assert [(one.check, one.n_rows) for one in report.warnings] == [("vectors_of_unknown", 2)]
    summary = summarise(report.directory)
    assert summary.n_vectors == {"image": 1}
    assert dict(summary_rows(summary))["vectors"] == "image of 1 items"


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("item_id,v0\nx,1\n", "no_known_item"),
        ("item_id,v0\na,\n", "no_vector"),
        ("item_id,v0,v2\na,1,2\n", "no_vector_columns"),
        ("sku,v0\na,1\n", "missing_column"),
        ("item_id\na\n", "no_vector_columns"),
    ],
)
def test_a_file_that_describes_no_item_is_refused_even_where_rows_may_be_skipped(
    imported: Any, text: str, check: str
) -> None:
    with pytest.raises(DataError) as raised:
        imported(text, on_error="skip")
    assert [one.check for one in raised.value.problems] == [check]


def test_two_tables_of_one_name_are_refused(tmp_path: Path, now: datetime) -> None:
    two = '[vectors.image]\nfile = "a.csv"\n[vectors.image]\nfile = "b.csv"\n'
    (tmp_path / "m.toml").write_text('[events]\nfile = "log.csv"\n' + two)
    with pytest.raises(ConfigError, match="vectors"):
        import_table(tmp_path / "m.toml", tmp_path / "data", now=now)
    values = {"events": {"file": "l.csv"}, "vectors": {"My Image": {"file": "a.csv"}}}
    with pytest.raises(ConfigError, match="My Image"):
        validate(ImportMapping, values, "m")
