"""Score files checked and joined: every fault is named at once, and nothing is guessed."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossfade.errors import DataError
from crossfade.meta.outside_table import ScoreTable, read_scores

MAY = datetime(2024, 5, 1, tzinfo=UTC)


def write(tmp_path: Path, name: str = "s.parquet", **columns: Any) -> Path:
    path = tmp_path / name
    pl.DataFrame(columns, strict=False).write_parquet(path)
    return path


def scored(table: ScoreTable) -> dict[tuple[str, str], list[float]]:
    owner = np.repeat(np.arange(len(table)), np.diff(table.indptr))
    users = table.requests["user_id"].gather(owner)
    return {
        (user, item): line
        for user, item, line in zip(users, table.item_id, table.score.tolist(), strict=True)
    }


def refused(*paths: Path, **options: Any) -> str:
    with pytest.raises(DataError) as error:
        read_scores(paths, **options)
    return str(error.value)


# -- what comes in ---------------------------------------------------------------------


def test_long_wide_and_one_file_per_base_are_the_same_table(tmp_path: Path) -> None:
    long = write(
        tmp_path,
        "long.parquet",
        user_id=["u", "u", "v"],
        item_id=["b", "b", "a"],
        base=["x", "y", "y"],
        score=[1.0, 2.0, 3.0],
    )
    wide = write(
        tmp_path,
        "wide.parquet",
        user_id=["v", "u"],
        item_id=["a", "b"],
        x=[None, 1.0],
        y=[3.0, 2.0],
    )
    one = write(tmp_path, "x.parquet", user_id=["u"], item_id=["b"], score=[1.0])
    two = write(tmp_path, "y.parquet", user_id=["u", "v"], item_id=["b", "a"], score=[2.0, 3.0])
    for paths in ([long], [wide], [one, two]):
        table = read_scores(paths)
        assert table.bases == ("x", "y")
        assert table.requests["user_id"].to_list() == ["u", "v"]
        np.testing.assert_array_equal(table.score, [[1, 2], [np.nan, 3]])


def test_a_missing_score_a_null_and_a_nan_are_the_same(tmp_path: Path) -> None:
    path = write(
        tmp_path, user_id=["u"] * 3, item_id=["a", "b", "c"], score=[float("nan"), None, 0.0]
    )
    np.testing.assert_array_equal(read_scores([path]).score, [[np.nan], [np.nan], [0.0]])


def test_numbers_and_nothing_in_text_files(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("user_id,item_id,score\n1,a, 0.5\n1,b,\n1,c,1e300\n")
    assert read_scores([path]).score[:, 0].tolist()[::2] == [0.5, 1e300]


def test_a_request_is_a_person_at_a_moment_with_a_name(tmp_path: Path) -> None:
    june = datetime(2024, 6, 1, tzinfo=UTC)
    path = write(
        tmp_path,
        user_id=["u", "u", "u", "u"],
        item_id=["a", "a", "a", "a"],
        timestamp=[june, MAY, MAY, MAY],
        request_id=["q", "q", "r", None],
        score=[1.0, 2.0, 3.0, 4.0],
    )
    table = read_scores([path])
    assert len(table) == 4
    assert table.requests["timestamp"].to_list() == [MAY, MAY, MAY, june]
    assert sorted(table.score[:3, 0]) == [2.0, 3.0, 4.0]
    assert table.score[3, 0] == 1.0


@pytest.mark.parametrize(
    "text",
    ["2024-05-01", "2024-05-01T00:00:00Z", "2024-05-01 00:00", "2024-05-01T02:00:00.000+02:00"],
)
def test_times_are_read_as_people_write_them(text: str, tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text(f"user_id,item_id,score,timestamp\nu,a,1,{text}\n")
    assert read_scores([path]).requests["timestamp"].to_list() == [MAY]


def test_one_moment_can_be_said_for_all(tmp_path: Path) -> None:
    path = write(tmp_path, user_id=["u"], item_id=["a"], score=[1.0])
    assert read_scores([path], as_of=MAY).requests["timestamp"].to_list() == [MAY]
    assert read_scores([path]).requests["timestamp"].to_list() == [None]


def test_a_constant_base_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, user_id=["u", "v"], item_id=["a", "b"], x=[2.0, 2.0], y=[1.0, 2.0])
    assert read_scores([path]).notes == ("base x gives every item the same score, 2",)


# -- refusals --------------------------------------------------------------------------


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    long = write(
        tmp_path,
        "long.parquet",
        user_id=["u", "u", None, "w", "u"],
        item_id=["a", "a", "a", "z", "b"],
        base=["x", "x", "x", "x", ""],
        score=[1.0, 2.0, float("inf"), 3.0, -float("inf")],
    )
    text = tmp_path / "text.csv"
    text.write_text("user_id,item_id,score\nu,a,high\n")
    known = {"user_id": pl.Series(["u", "v"]), "item_id": pl.Series(["a", "b", "c", "d"])}
    message = refused(long, text, known=known)
    assert "no_id: 1 row, first at long.parquet: row 3: user_id is missing" in message
    assert "no_id: 1 row, first at long.parquet: row 5: base is missing" in message
    assert "infinite_score: 2 rows, first at long.parquet: row 3: score is inf" in message
    assert "duplicate_pair: 1 row, first at long.parquet: row 2: item_id is 'a'" in message
    assert "unknown_user: 1 row, first at long.parquet: row 4: 1 unknown user (w)" in message
    assert "unknown_item: 1 row, first at long.parquet: row 4: 1 unknown item (z)" in message
    assert "use ids like a, b, c (4 items), drop the rows, or leave them out with" in message
    assert "no_number: 1 row, first at text.csv: row 1: score is 'high'" in message


def test_an_id_that_is_missing_is_not_unknown_too(tmp_path: Path) -> None:
    path = write(tmp_path, user_id=["u", None], item_id=["a", "a"], score=[1.0, 2.0])
    message = refused(path, known={"user_id": pl.Series(["u"])})
    assert "no_id: 1 row" in message
    assert "unknown_user" not in message


def test_unknown_ids_can_be_left_out_and_are_told(tmp_path: Path) -> None:
    users = ["u", *"pqrs"]
    path = write(tmp_path, user_id=users, item_id=["a"] * 5, score=[1.0] * 5)
    table = read_scores([path], known={"user_id": pl.Series(["u"])}, ignore_unknown=True)
    assert list(scored(table)) == [("u", "a")]
    assert table.notes == ("s.parquet: 4 rows with 4 unknown users (p, q, r, …) left out",)
    message = refused(path, known={"user_id": pl.Series(["else"])}, ignore_unknown=True)
    assert "no scores; give at least one row" in message


def test_a_base_that_scores_nothing_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, user_id=["u"], item_id=["a"], x=[1.0], y=[None], z=[float("nan")])
    message = refused(path)
    assert "empty_base: s.parquet: base y scores nothing; leave it out" in message
    assert "empty_base: s.parquet: base z scores nothing" in message


def test_a_wide_column_that_holds_no_numbers_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, user_id=["u"], item_id=["a"], x=[1.0], seen=[True])
    assert "no_number: s.parquet: column seen: holds Boolean; a base holds numbers" in refused(path)


def test_two_files_must_not_hold_one_base(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    first = write(tmp_path, "x.parquet", user_id=["u"], item_id=["a"], score=[1.0])
    second = write(tmp_path / "more", "x.parquet", user_id=["u"], item_id=["b"], score=[1.0])
    assert "base_twice: x.parquet: base x is in x.parquet too" in refused(first, second)


@pytest.mark.parametrize("key", ["timestamp", "request_id"])
def test_requests_of_two_files_must_be_able_to_meet(key: str, tmp_path: Path) -> None:
    value = MAY if key == "timestamp" else "q"
    first = write(tmp_path, "x.parquet", user_id=["u"], item_id=["a"], score=[1.0])
    second = write(
        tmp_path, "y.parquet", user_id=["u"], item_id=["a"], score=[1.0], **{key: [value]}
    )
    message = refused(first, second)
    assert f"other_requests: x.parquet: no {key}, but y.parquet has; give every file" in message


def test_times_nobody_can_read_are_refused(tmp_path: Path) -> None:
    numbers = write(tmp_path, user_id=["u"], item_id=["a"], score=[1.0], timestamp=[1714521600])
    assert "column timestamp holds numbers" in refused(numbers)
    path = tmp_path / "s.csv"
    path.write_text("user_id,item_id,score,timestamp\nu,a,1,2024-05-01\nu,b,1,soon\nu,c,1,\n")
    message = refused(path)
    assert "bad_timestamp: 2 rows, first at s.csv: row 2: timestamp is 'soon'" in message
    assert "leave --as-of out" in refused(path, as_of=MAY)


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("user_id,item_id,base,score\n")
    assert "no scores; give at least one row" in refused(path)
