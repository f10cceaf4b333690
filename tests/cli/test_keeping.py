"""`--cache` of `fit` and `evaluate`, and the page that tells of it."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from crossfade.cli.app import run
from crossfade.hybrid import HybridModel

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "keep-lists.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)

Captured = pytest.CaptureFixture[str]


def ask(capsys: Captured, *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def cache_lines(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.startswith("cache: ")]


def test_evaluate_takes_the_lists_that_fit_wrote_and_says_the_same(
    world_directory: Path, quick: Path, tmp_path: Path, capsys: Captured
) -> None:
    lists = tmp_path / "lists"
    asked = ("fit", world_directory, "--config", quick, "--fusion", "static")
    code, _, err = ask(capsys, *asked, "--bundle", tmp_path / "bundle", "--cache", lists)
    assert code == 0, err
    (line,) = cache_lines(err)
    assert " written to " in line
    assert str(lists) in line

    judged = ("evaluate", world_directory, "--config", quick, "--fusion", "ridge", "--no-compare")
    found, plain = (ask(capsys, *judged, "--json", *more) for more in (("--cache", lists), ()))
    assert found[0] == plain[0] == 0
    assert json.loads(found[1]) == json.loads(plain[1])  # and nothing but the document
    (line,) = cache_lines(found[2])
    assert " taken from " in line
    assert not cache_lines(plain[2])


def test_a_cache_that_cannot_be_is_told_before_anything_is_fitted(
    world_directory: Path, tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "file").write_text("")
    asked = ("fit", "no-such-data", "--bundle", tmp_path / "b", "--cache", tmp_path / "file")
    code, out, err = ask(capsys, *asked)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {tmp_path / 'file'}: cannot keep a cache here")


def test_a_weekly_fit_makes_no_lists_to_keep(tmp_path: Path, capsys: Captured) -> None:
    asked = ("fit", "data", "--bundle", tmp_path / "b", "--weekly-from", "old", "--cache", tmp_path)
    code, _, err = ask(capsys, *asked)
    assert code == 2
    assert "leave --cache out" in " ".join(err.split())


def test_the_page_runs(
    world_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(world_directory)
    (settings,) = (block for kind, block in BLOCKS if kind == "toml")
    (tmp_path / "mine.toml").write_text(settings)
    commands = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
    told = []
    for line in commands:
        code, _, err = ask(capsys, *shlex.split(line)[1:])
        assert code == 0, err
        told += cache_lines(err)
    assert [" taken from " in line for line in told] == [False, True, True]
    names: dict[str, Any] = {}
    for kind, block in BLOCKS:
        if kind == "python":
            exec(compile(block, str(PAGE), "exec"), names)
    assert [" taken from " in line for line in names["told"]] == [True, True, True]
    assert isinstance(names["model"], HybridModel)
