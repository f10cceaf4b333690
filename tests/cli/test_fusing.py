"""`crossfade fuse`: files in, a report and everybody's lists out; and the page about it."""

import json
import re
import shlex
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
import pytest
import torch
from threadpoolctl import threadpool_limits

from crossfade.arrays import top_k
from crossfade.cli.app import run
from crossfade.cli.fusing import ScoreFormat
from crossfade.data import load_dataset
from crossfade.meta.outside_formats import SourceFormat
from crossfade.meta.signals import allowed_scores
from crossfade.recommenders.registry import make_all
from crossfade.training import loop

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "blend-outside-scores.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
MOMENT = datetime(2024, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def place(world_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set and the scores of two recommenders that saw its past."""
    folder = tmp_path_factory.mktemp("fuse")
    shutil.copytree(world_directory, folder / "data" / "mine")
    past = load_dataset(world_directory).before(MOMENT)
    users = np.arange(past.n_users, dtype=np.int32)
    for name, base in make_all(
        {"knn": {"model": "item_knn"}, "pop": {"model": "popularity"}}
    ).items():
        scores = allowed_scores(base.fit(past), past.queries(users), exclude_seen=True)
        best = top_k(scores, 40)
        user, column = np.nonzero(best >= 0)
        item = best[user, column]
        frame = pl.DataFrame(
            {
                "user_id": past.user_ids.decode(user.astype(np.int32)),
                "item_id": past.item_ids.decode(item),
                "score": scores[user, item],
            }
        )
        frame.write_parquet(folder / f"{name}.parquet")
    return folder


def fuse(place: Path, *options: str) -> int:
    both = ["--scores", str(place / "knn.parquet"), "--scores", str(place / "pop.parquet")]
    return run(["fuse", *both, "--events", str(place / "data" / "mine"), *options])


AS_OF = ("--as-of", "2024-03-01", "--no-compare")

QUICK = """
[blend]
min_requests = 5
[blend.fusion_settings.auto]
candidates = ["static", "fwls"]
n_folds = 2
[evaluation]
resamples = 100
"""


@pytest.fixture
def few(tmp_path: Path) -> str:
    """Settings for eighty people and little time."""
    path = tmp_path / "few.toml"
    path.write_text(QUICK)
    return str(path)


def test_a_device_reaches_the_networks_that_blend(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def resolve(device: str) -> torch.device:
        asked.append(device)
        return torch.device("cpu")

    monkeypatch.setattr(loop, "resolve_device", resolve)
    small = "[blend]\nmin_requests = 5\n[blend.fusion_settings.meta]\nhidden = 4\ntrain = { epochs = 1 }"
    (tmp_path / "small.toml").write_text(small)
    told = [*AS_OF, "--fusion", "meta", "--config", str(tmp_path / "small.toml")]
    assert fuse(place, *told, "--device", "cpu") == 0
    assert asked == ["cpu"]


def test_the_formats_of_the_command_are_those_of_the_library() -> None:
    assert [choice.value for choice in ScoreFormat] == list(get_args(SourceFormat))


def test_what_is_printed_says_who_taught_what_was_found_and_what_serves(
    place: Path, few: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "fused.parquet"
    asked = [*AS_OF, "--config", few, "--fusion", "static", "--out", str(out)]
    assert fuse(place, *asked) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"scores: 2 bases, 80 users, 80 lists, [\d,]+ candidates", lines[0])
    assert re.fullmatch(
        r"outcomes \(.+\): \d+ users wanted [\d,]+ items since, \d+% of them on a list", lines[1]
    )
    assert re.fullmatch(
        r"lists with an outcome, divided by user: \d+ to learn, \d+ to check, \d+ to hold out",
        lines[2],
    )
    assert any(line.startswith("flag: scores from elsewhere: nobody checked") for line in lines)
    (header,) = (number for number, line in enumerate(lines) if line.startswith("model "))
    table = lines[header + 1 : header + 4]
    assert {line.split()[0] for line in table} == {"static", "knn", "pop"}
    assert all(re.search(r"\d+  0\.\d{4} \[0\.\d{4}, 0\.\d{4}\]$", line) for line in table)
    assert re.match(
        r"held out, static minus (knn|pop), the best base when learning: [+-]0", lines[header + 4]
    )
    (verdict,) = (line for line in lines if line.startswith("do no harm"))
    assert re.search(r"static 0\.\d{4}, (knn|pop) 0\.\d{4}; (static|knn|pop) serves$", verdict)
    fused = pl.read_parquet(out)
    assert lines[-1] == f"fused: {out} ({fused.height:,} rows, 80 users)"


def test_the_document_holds_what_is_printed(
    place: Path, few: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "fused.parquet"
    asked = [*AS_OF, "--config", few, "--out", str(out), "--json"]
    assert fuse(place, *asked) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bases"] == ["knn", "pop"]
    assert found["context"] is True
    assert found["fusion"] == "auto"
    assert found["serves"] in {"auto", "knn", "pop"}
    assert {(m["name"], m["kind"]) for m in found["models"]} == {
        ("knn", "base"), ("pop", "base"), ("auto", "fusion"),
    }  # fmt: skip
    assert all(m["low"] <= m["mean"] <= m["high"] for m in found["models"])
    assert {m["n"] for m in found["models"]} == {found["split"]["hold out"]}
    assert {verdict["name"] for verdict in found["verdicts"]} >= {"all"}
    assert found["n_rows"] == pl.read_parquet(out).height
    assert found["out"] == str(out)


def test_without_a_moment_the_command_says_that_context_is_missing(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fuse(place, "--fusion", "rrf", "--no-compare") == 0
    assert "note: no context: nobody says when the scores were made" in capsys.readouterr().out


def test_too_few_people_leave_the_best_base_to_serve(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = pl.DataFrame({"user_id": ["listener-00", "listener-01"], "item_id": ["t", "t"]})
    users = pl.read_parquet(place / "knn.parquet")["user_id"].unique().sort()
    log = log.with_columns(user_id=users.head(2))
    log.write_parquet(tmp_path / "log.parquet")
    asked = ["fuse", "--scores", str(place / "knn.parquet"), "--events"]
    assert run([*asked, str(tmp_path / "log.parquet")]) == 0
    printed = capsys.readouterr().out
    assert "note: too few requests with an outcome to learn from (0; 30 needed)" in printed
    assert "nothing was learned, so the best base serves alone: knn" in printed


# -- refusals --------------------------------------------------------------------------


def unknown(place: Path, tmp_path: Path) -> Path:
    path = tmp_path / "theirs.parquet"
    frame = pl.read_parquet(place / "knn.parquet")
    strange = pl.DataFrame({"user_id": ["me"], "item_id": ["mine"], "score": [1.0]})
    pl.concat([frame, strange.cast({"score": pl.Float32})]).write_parquet(path)
    return path


def test_unknown_ids_are_one_error_or_left_out(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = unknown(place, tmp_path)
    asked = ["fuse", "--scores", str(path), "--events", str(place / "data" / "mine"), *AS_OF]
    assert run(asked) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"error: {path}: the scores cannot be used\n")
    assert "unknown_user: 1 row, first at theirs.parquet: row" in message
    assert "1 unknown item (mine); use ids like" in message
    assert run([*asked, "--fusion", "static", "--ignore-unknown"]) == 0
    printed = capsys.readouterr().out
    assert "note: theirs.parquet: 1 row with 1 unknown user (me) left out" in printed


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--fusion", "meta"], 1, "meta needs context"),
        (["--fusion", "nothing"], 1, 'there is no fusion model "nothing"'),
        (["--as-of", "1999"], 2, "is no time; write it like 2024-05-01"),
        (["--shares", "a,b"], 2, "a,b is not three numbers"),
        (["--shares", "0.5,0.5,0.5"], 1, "shares must be above 0 and sum to 1"),
        (["--format", "implicit"], 1, "implicit's arrays come as .npz"),
        (["--as-of", "2034-01-01"], 1, "did anything positive from 2034-01-01"),
    ],
)
def test_wrong_calls_are_one_message(
    options: list[str], code: int, message: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fuse(place, *options) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in re.sub(r"\s*│?\n│?\s*", " ", printed.err)


def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fuse(place, "--out", str(tmp_path)) == 1
    assert "Is a directory" in capsys.readouterr().err
    assert fuse(place, "--out", str(tmp_path / "none" / "fused.parquet")) == 1
    assert "No such file or directory" in capsys.readouterr().err


# -- the page --------------------------------------------------------------------------


def test_the_page_says_what_works(
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(place / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    (code,) = (block for kind, block in BLOCKS if kind == "python")
    with threadpool_limits(1, "blas"):
        exec(compile(code, str(PAGE), "exec"), names)
    (command,) = (block for kind, block in BLOCKS if kind == "sh")
    program, *arguments = shlex.split(command)
    assert program == "crossfade"
    # As the page offers, to be quick: the table of all fusion models takes a minute.
    assert run([*arguments, "--no-compare", "--fusion", "static"]) == 0, capsys.readouterr().err
    fused = pl.read_parquet("fused.parquet")
    told = PAGE.read_text().split("## What it writes")[1].split("##")[0]
    assert all(f"`{name}`" in told for name in fused.columns if not name.startswith("weight_"))
    assert {name for name in fused.columns if name.startswith("weight_")} == {
        "weight_als", "weight_trending",
    }  # fmt: skip
