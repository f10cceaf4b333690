"""`crossfade experiments` as a person runs it, and the page about it."""

import json
import re
import shlex
from pathlib import Path

import pytest

from crossfade.cli.app import run
from crossfade.experiments import Experiment
from crossfade.experiments.analysis import Analysis, ArmResult, Comparison
from crossfade.experiments.intervals import Interval
from crossfade.experiments.lines import changed_versions, told
from crossfade.store.log.experiments import Step, StoredExperiment

Captured = pytest.CaptureFixture[str]
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "experiments.md"

SETTINGS = """
name = "shelf"
minimal_effect = 0.1
planned = 1000
traffic = 0.5
[[arms]]
name = "a"
[[arms]]
name = "b"
"""


def ask(capsys: Captured, *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run(["experiments", *arguments])
    return code, *capsys.readouterr()


def test_an_experiment_is_begun_shown_grown_stopped_and_listed(
    tmp_path: Path, capsys: Captured
) -> None:
    database = ["--database", f"sqlite:///{tmp_path / 'log.db'}"]
    file = tmp_path / "shelf.toml"
    file.write_text(SETTINGS)
    assert ask(capsys, "list", *database)[1] == "no experiments yet\n"
    assert ask(capsys, "add", str(file), *database)[1] == "begun: shelf\n"
    grown = ask(capsys, "grow", "shelf", "0.75", *database)[1]
    assert grown == "grown: shelf has 0.75 of the traffic\n"
    code, out, _ = ask(capsys, "show", "shelf", *database)
    assert code == 0
    assert "75% of users  wanted: a, b" in out
    assert "not known yet" in out
    assert "go on" in out
    shown = json.loads(ask(capsys, "show", "shelf", "--json", *database)[1])
    assert shown["analysis"]["comparisons"][0]["always"] == {"low": None, "high": None}
    assert ask(capsys, "stop", "shelf", *database)[1] == "stopped: shelf\n"
    (listed,) = json.loads(ask(capsys, "list", "--json", *database)[1])["experiments"]
    assert [step["traffic"] for step in listed["steps"]] == [0.5, 0.75, 0]
    assert "75% of users" in ask(capsys, "list", *database)[1]
    assert "shelf  stopped" in ask(capsys, "show", "shelf", *database)[1]
    for again in (("stop", "shelf"), ("grow", "shelf", "0.9"), ("add", str(file)), ("show", "none")):  # fmt: skip
        code, _, err = ask(capsys, *again, *database)
        assert code == 1
        assert err.startswith("error: ")
        assert err.count("\n") == 1


def test_a_wrong_file_begins_nothing_and_every_fault_is_named(
    tmp_path: Path, capsys: Captured
) -> None:
    file = tmp_path / "shelf.toml"
    file.write_text(SETTINGS.replace("planned", "plnned") + "weight = nan\n")
    code, _, err = ask(capsys, "add", str(file), "--database", f"sqlite:///{tmp_path / 'log.db'}")
    assert code == 1
    for fault in ("plnned is not a setting", "planned is missing", "arms.1.weight should be a"):
        assert fault in err
    assert not (tmp_path / "log.db").exists()


def test_a_mismatch_is_the_first_thing_one_reads() -> None:
    experiment = Experiment(name="x", arms=[{"name": "a"}, {"name": "b"}], minimal_effect=1, planned=9)  # fmt: skip
    arms = [
        ArmResult(name, 0.5, n, n, n, 1.0, Interval(0, 2), {"v1": n})
        for name, n in (("a", 900), ("b", 600))
    ]
    stored = StoredExperiment("x", {}, [Step(0, 1.0)])
    lines = told(stored, experiment, Analysis(arms, [], 1e-14, mismatch=True))
    assert lines[2].startswith("ARMS DID NOT GET THEIR SHARES (p = 1e-14)")
    assert "SHARES" not in str(told(stored, experiment, Analysis(arms, [], 0.5, mismatch=False)))


def test_who_reads_an_experiment_is_told_where_what_served_changed() -> None:
    (line,) = changed_versions({"a": {"v1": 1200, "v2": 3, "v3": 1}, "b": {"v2": 9}, "c": {}})
    assert line.startswith(
        "a was answered by v1 (1,200 lists), v2 (3 lists) and v3 (1 lists): what"
    )
    experiment = Experiment(name="x", arms=[{"name": "a"}, {"name": "b"}], minimal_effect=1, planned=9)  # fmt: skip
    arms = [
        ArmResult(name, 0.5, 9, 9, 9, 1.0, Interval(0, 2), {"v1": 5, "v2": 4})
        for name in ("a", "b")
    ]
    stored = StoredExperiment("x", {}, [Step(0, 1.0)])
    lines = told(stored, experiment, Analysis(arms, [], 0.5, mismatch=False))
    assert [line.split()[0] for line in lines[-2:]] == ["a", "b"]


def test_what_is_said_of_interleaved_arms_is_said_of_pairs() -> None:
    arms = [{"name": "a"}, {"name": "b"}]
    experiment = Experiment(name="x", arms=arms, minimal_effect=1, planned=9, design="interleaved")
    one = Comparison("b", 120, 0, 0.5, Interval(0.2, 0.8), Interval(0.1, 0.9), 7, "better")
    stored = StoredExperiment("x", {}, [Step(0, 1.0)])
    lines = told(stored, experiment, Analysis([], [one], 0.5, mismatch=False))
    assert lines[0].endswith("wanted: a, b (interleaved)")
    assert lines[4] == "b against a: +0.5000, n = 120, each with lists of both"


def test_the_page_prints_what_comes_out(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    last = ""
    n_compared = 0
    blocks = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
    for kind, block in blocks.findall(PAGE.read_text("utf-8")):
        if kind == "toml":
            Path("shelf.toml").write_text(block)
        elif kind == "python":
            exec(compile(block, PAGE.name, "exec"), {"__name__": "snippet"})
        elif kind == "text":
            assert block == last
            n_compared += 1
        else:
            for line in block.splitlines():
                capsys.readouterr()
                assert run(shlex.split(line)[1:]) == 0, line
                last = capsys.readouterr().out
    assert n_compared == 2
