"""The page on cold start says what works: its commands, its settings and its Python run."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from crossfade.cli.app import run
from crossfade.config import validate
from crossfade.data import load_dataset
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.meta.blending import BlendChoice

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "cold-start.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
SETTINGS = [tomllib.loads(block) for kind, block in BLOCKS if kind == "toml"]


def test_every_settings_block_is_valid() -> None:
    assert len(SETTINGS) == 3
    for settings in SETTINGS:
        validate(HybridConfig, settings, str(PAGE))


def test_commands_and_python_run(
    world_directory: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    config = validate(HybridConfig, SETTINGS[0], str(PAGE))
    weights = {"ease": 1.0, "content_knn": 0.0, "genre_popularity": 0.0}
    choice = BlendChoice("zscore", weights, True, "ease", 0.0, 0.0, prior="genre_popularity")
    HybridModel.fit(load_dataset(world_directory), config, choice=choice).save(tmp_path / "bundle")
    commands = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
    assert len(commands) == 3
    for line in commands:
        assert run(shlex.split(line)[1:]) == 0, capsys.readouterr().err
        out, err = capsys.readouterr()
        assert len(out.splitlines()) == 10
        assert err == ""
    names: dict[str, Any] = {}
    for kind, block in BLOCKS:
        if kind == "python":
            exec(compile(block, str(PAGE), "exec"), names)
    assert len(names["lines"]) == 5
    assert names["notes"][0].startswith('genre "jaz" is unknown; did you mean jazz?')
