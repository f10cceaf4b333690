"""The page on inspecting says what works: its commands and its Python run."""

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from crossfade.cli.app import run

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "inspect.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_commands_and_python_run(
    bundle: Path,
    world_directory: Path,
    quick: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(bundle, "bundle")
    shutil.copytree(world_directory, "data")
    shutil.copy(quick, "settings.toml")
    commands = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
    assert len(commands) == 4
    for line in commands:
        assert run(shlex.split(line)[1:]) == 0, capsys.readouterr().err
    assert Path("weights.png").stat().st_size > 10_000
    assert "<svg" in Path("report.html").read_text()
    names: dict[str, Any] = {}
    for kind, block in BLOCKS:
        if kind == "python":
            exec(compile(block, str(PAGE), "exec"), names)
    assert len(names["journey"].moments) == 6
    assert names["last"].n_events > 5
