"""`crossfade import` and `crossfade check` as scripts call them."""

import json
from pathlib import Path

import pytest

from crossfade.cli.app import run
from crossfade.cli.importing import SourceFormat
from crossfade.data.importing import FORMATS

LOG = "who,item_id,timestamp,value\nann,a,2020-01-01,4\nbob,b,2020-01-02,2\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    return path


def test_the_command_knows_exactly_the_librarys_formats() -> None:
    assert {one.value for one in SourceFormat} == {*FORMATS, "table"}


def test_import_then_check(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to = str(tmp_path / "data")
    call = ["import", "--format", "table", "--events", str(log), "--to", to]
    call += ["--map", "events.user_id=who", "--map", "target.min_value=4"]
    assert run(call) == 0
    said = capsys.readouterr().out
    assert "2 rows read, 2 kept, 0 skipped" in said
    assert "value of 4.0 or more" in said
    assert said.endswith(f"data set: {to}\n")
    assert run(["check", to, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["n_users"], facts["n_events"], facts["n_positives"]) == (2, 2, 1)
    assert facts["density"] == 0.5
    assert facts["first"] == "2020-01-01T00:00:00+00:00"
    assert run(["check", to]) == 0
    assert "50 %" in capsys.readouterr().out


def test_beside_a_log_the_source_is_where_relative_paths_start(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["import", "--events", "log.csv", "--to", str(tmp_path / "data")]
    call += ["--map", "events.user_id=who"]
    assert run([*call, str(tmp_path)]) == 0
    assert run([*call, str(log)]) == 2
    assert "SOURCE is a folder" in " ".join(capsys.readouterr().err.split())


def test_import_json_is_one_document(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["import", str(log), "--to", str(tmp_path / "data"), "--map", "events.user_id=who"]
    assert run([*call, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_kept"] == 2


def test_bad_rows_fail_with_every_problem_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.csv"
    log.write_text("user_id,item_id\n,a\nann,a\nann,\n")
    call = ["import", "--events", str(log), "--to", str(tmp_path / "data")]
    assert run(call) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("empty_id: 1 row") == 2
    assert run([*call, "--on-error", "skip"]) == 0
    said = capsys.readouterr()
    assert "3 rows read, 1 kept, 2 skipped" in said.out
    assert "skipped.jsonl" in said.out


@pytest.mark.parametrize(
    "call",
    [
        ["import"],
        ["import", "--to", "DATA"],
        ["import", "--format", "tidal", "x", "--to", "DATA"],
        ["import", "--format", "movielens", "--to", "DATA"],
        ["import", "--format", "movielens", "x", "--events", "y.csv", "--to", "DATA"],
        ["import", "--mapping", "m.toml", "--events", "y.csv", "--to", "DATA"],
        ["import", "--events", "y.csv", "--on-error", "ignore", "--to", "DATA"],
    ],
)
def test_a_wrong_call_exits_with_2(call: list[str], tmp_path: Path) -> None:
    assert run([str(tmp_path / "data") if word == "DATA" else word for word in call]) == 2


def test_a_damaged_data_set_is_found_by_check(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "data"
    run(["import", str(log), "--to", str(to), "--map", "events.user_id=who"])
    (part,) = to.glob("parts-*/events.parquet")
    part.write_bytes(part.read_bytes()[:-1] + b"?")
    assert run(["check", str(to)]) == 1
    assert "checksum differs" in capsys.readouterr().err
