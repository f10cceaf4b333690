"""Every kind of bad file: one message that counts, places and mends; nothing written."""

import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

import polars as pl
import pytest

from crossfade.data import load_dataset
from crossfade.data.importing import blocks, import_table, mapping_from_flags
from crossfade.data.importing.findings import Findings
from crossfade.errors import BundleError, DataError

HEAD = "user_id,item_id,timestamp,value\n"
GOOD = "ann,a,2020-01-01,4\nbob,b,2020-01-02,5\n"


def fails(import_log: Any, tmp_path: Path, text: str | bytes, *maps: str, **more: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        import_log(text, *maps, **more)
    assert not (tmp_path / "data").exists(), "a failed import must write nothing"
    return caught.value


def test_an_empty_file_is_named(import_log: Any, tmp_path: Path) -> None:
    error = fails(import_log, tmp_path, "")
    assert [p.check for p in error.problems] == ["empty_file"]
    assert "log.csv" in str(error)


def test_a_header_without_rows_has_no_events(import_log: Any, tmp_path: Path) -> None:
    assert "no events to import" in str(fails(import_log, tmp_path, HEAD))


def test_a_missing_file_is_named(tmp_path: Path, now: Any) -> None:
    with pytest.raises(DataError, match=r"missing_file: .*nowhere\.csv: no such file"):
        import_table(mapping_from_flags(str(tmp_path / "nowhere.csv")), tmp_path / "data", now=now)


def test_one_row_is_a_data_set(import_log: Any) -> None:
    report, data = import_log(HEAD + "ann,a,2020-01-01,4\n")
    assert (report.n_read, data.n_events, data.n_users) == (1, 1, 1)


def test_a_missing_column_says_which_columns_there_are(import_log: Any, tmp_path: Path) -> None:
    (problem,) = fails(import_log, tmp_path, "user,item_id\nann,a\n").problems
    assert problem.check == "missing_column"
    assert problem.found == "no column user_id; the columns are user, item_id"
    assert "--map events.user_id=COLUMN" in problem.mend


def test_a_mapped_column_that_is_not_there_names_our_side_of_the_mapping(
    import_log: Any, tmp_path: Path
) -> None:
    error = fails(import_log, tmp_path, HEAD + GOOD, "events.value=stars")
    (problem,) = error.problems
    assert problem.found.startswith("no column stars;")
    assert "--map events.value=COLUMN" in problem.mend


def test_the_wrong_delimiter_is_recognised(import_log: Any, tmp_path: Path) -> None:
    (problem,) = fails(import_log, tmp_path, "user_id;item_id\nann;a\n").problems
    assert problem.check == "wrong_delimiter"
    assert "semicolon" in problem.mend


@pytest.mark.parametrize(
    ("row", "check"),
    [
        ("ann,a,never,4", "bad_timestamp"),
        ("ann,a,1970-01-01,4", "bad_timestamp"),
        ("ann,a,2024-01-02,4", "future_timestamp"),
        ("ann,a,,4", "empty_timestamp"),
        ("ann,a,2020-01-01T10:00:00Z,4", "mixed_time_zones"),
        ("ann,a,2020-01-03,NaN", "nan_value"),
        ("ann,a,2020-01-03,inf", "nan_value"),
        ("ann,a,2020-01-03,1e39", "nan_value"),
        ("ann,a,2020-01-03,four", "mixed_types"),
        (",a,2020-01-03,4", "empty_id"),
        ("ann,  ,2020-01-03,4", "empty_id"),
        ("user_id,item_id,timestamp,value", "repeated_header"),
        ("ann,a,2020-01-03", "ragged_row"),
        ("ann,a,2020-01-03,4,5", "ragged_row"),
        ("bob,b,2020-01-02,3", "duplicate_event"),
        ('"ann" x,a,2020-01-03,4', "bad_quoting"),
    ],
)
@pytest.mark.parametrize("quoted", [False, True])
def test_each_bad_row_has_its_check_its_line_and_its_place_in_the_side_file(
    import_log: Any,
    tmp_path: Path,
    left_out: Callable[[Any], list[dict[str, Any]]],
    row: str,
    check: str,
    quoted: bool,
) -> None:
    # A quote in the first row sends the whole file down the careful path.
    good = GOOD.replace("ann", '"ann"') if quoted else GOOD
    text = HEAD + good + row + "\n" + "cid,c,2020-01-04,2\n"
    (problem,) = fails(import_log, tmp_path, text).problems
    assert (problem.check, problem.n_rows) == (check, 1)
    assert "line 4" in problem.where
    report, data = import_log(text, on_error="skip")
    assert (report.n_read, report.n_kept, report.n_skipped) == (4, 3, 1)
    assert data.n_events == 3
    (row_out,) = left_out(report)
    assert (row_out["file"], row_out["number"], row_out["checks"]) == ("log.csv", 4, [check])
    if check != "duplicate_event":
        assert row_out["row"] == row


def test_a_negative_duration_is_a_fault(import_log: Any, tmp_path: Path) -> None:
    text = "user_id,item_id,seconds\nann,a,3\nann,b,-1\n"
    (problem,) = fails(import_log, tmp_path, text, "events.played_ms=seconds").problems
    assert (problem.check, problem.found) == ("negative_duration", '"-1"')


def test_all_problems_are_reported_at_once_with_counts(import_log: Any, tmp_path: Path) -> None:
    text = HEAD + GOOD + ",a,2020-01-03,x\nann,,2030-01-01,2\nann,b,2020-01-03,NaN\n"
    error = fails(import_log, tmp_path, text)
    assert [(p.check, p.n_rows, p.where) for p in error.problems] == [
        ("empty_id", 1, "log.csv: line 4, column user_id"),
        ("empty_id", 1, "log.csv: line 5, column item_id"),
        ("future_timestamp", 1, "log.csv: line 5, column timestamp"),
        ("mixed_types", 1, "log.csv: line 4, column value"),
        ("nan_value", 1, "log.csv: line 6, column value"),
    ]
    assert "3 of 5 rows of the log have faults" in str(error)


def test_bytes_that_are_not_utf8_are_counted_by_line(import_log: Any, tmp_path: Path) -> None:
    text = HEAD.encode() + GOOD.encode() + "zoë,a,2020-01-03,4\n".encode("latin-1")
    (problem,) = fails(import_log, tmp_path, text).problems
    assert problem.check == "wrong_encoding"
    assert problem.where == "log.csv: line 4"
    assert problem.found == "byte 0xeb is not utf-8"
    assert "latin-1" in problem.mend
    report, _ = import_log(text, on_error="skip")
    assert report.n_kept == 2


def test_utf16_is_named(import_log: Any, tmp_path: Path) -> None:
    (problem,) = fails(import_log, tmp_path, (HEAD + GOOD).encode("utf-16")).problems
    assert (problem.check, problem.found) == ("wrong_encoding", "a UTF-16 file")


def test_an_endless_line_is_refused_without_holding_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1 << 12)
    monkeypatch.setattr(blocks, "MAX_LINE_BYTES", 1 << 20)

    class Counting:
        """A file of one line without end."""

        def __init__(self) -> None:
            self.n_read = 0

        def read(self, size: int) -> bytes:
            self.n_read += size
            assert self.n_read < 4 << 20, "the line was held far beyond the limit"
            return b"x" * size

    findings = Findings(io.StringIO(), keep_skipped=False)
    assert list(blocks._whole_lines(cast("IO[bytes]", Counting()), "log.csv", findings)) == []
    (problem,) = findings.problems
    assert problem.check == "endless_line"
    assert problem.where == "log.csv: line 1"


def test_a_truncated_parquet_file_is_one_message(tmp_path: Path, import_log: Any) -> None:
    whole = tmp_path / "whole.parquet"
    pl.DataFrame({"user_id": ["ann"] * 99, "item_id": ["a"] * 99}).write_parquet(whole)
    half = whole.read_bytes()[:-40]
    (problem,) = fails(import_log, tmp_path, half, name="log.parquet").problems
    assert problem.check == "damaged_file"
    assert "truncated" in problem.mend


def test_a_truncated_gz_file_is_one_message(tmp_path: Path, import_log: Any) -> None:
    packed = gzip.compress((HEAD + GOOD * 1000).encode())[:-20]
    (problem,) = fails(import_log, tmp_path, packed, name="log.csv.gz").problems
    assert problem.check == "damaged_file"


def test_faults_of_the_whole_file_fail_even_when_rows_may_be_skipped(
    import_log: Any, tmp_path: Path
) -> None:
    fails(import_log, tmp_path, "user;item\nann;a\n", on_error="skip")


def test_all_rows_bad_is_no_data_set(import_log: Any, tmp_path: Path) -> None:
    error = fails(import_log, tmp_path, HEAD + ",a,2020-01-01,4\n", on_error="skip")
    assert [p.check for p in error.problems] == ["empty_id"]


def test_a_folder_of_other_things_is_never_overwritten(import_log: Any, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "letter.txt").write_text("dear")
    with pytest.raises(BundleError, match="holds no data set"):
        import_log(HEAD + GOOD)


def test_a_failed_import_leaves_the_old_data_set(import_log: Any, tmp_path: Path) -> None:
    import_log(HEAD + GOOD)
    with pytest.raises(DataError):
        import_log(HEAD + "ann,a,never,4\n")
    assert load_dataset(tmp_path / "data").n_events == 2


def test_an_item_without_a_catalogue_row_is_a_warning(import_log: Any) -> None:
    report, data = import_log(HEAD + GOOD, items="item_id,title\na,Alpha\n")
    (warning,) = report.warnings
    assert (warning.check, warning.n_rows) == ("item_not_in_catalogue", 1)
    assert warning.where == "log.csv: line 3"
    assert 'such as "b"' in warning.found
    assert data.items["title"].to_list() == ["Alpha", None]


def test_an_id_twice_in_the_catalogue_is_a_fault(import_log: Any, tmp_path: Path) -> None:
    error = fails(import_log, tmp_path, HEAD + GOOD, items="item_id,title\na,A\nb,B\na,C\n")
    (problem,) = error.problems
    assert (problem.check, problem.where) == ("repeated_id", "items.csv: line 4, column item_id")


def test_an_unclosed_quote_says_how_much_it_swallowed(import_log: Any, tmp_path: Path) -> None:
    (problem,) = fails(
        import_log, tmp_path, HEAD + GOOD + '"ann,a,2020-01-03,4\nx,y,z,1\n'
    ).problems
    assert (problem.check, problem.where) == ("bad_quoting", "log.csv: line 4")
    assert "2 lines" in problem.found
