"""The how-to page on reasons runs, and its settings are settings."""

import re
import tomllib
from pathlib import Path

import pytest

from crossfade.config import validate
from crossfade.hybrid import HybridConfig

PAGE = (Path(__file__).parents[2] / "docs/how-to/say-why.md").read_text(encoding="utf-8")


def test_the_snippet_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    (snippet,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    exec(compile(snippet, "say-why.md", "exec"), {"__name__": "snippet"})
    said = capsys.readouterr().out
    assert said.count("you listen to “") >= 1
    assert "no such track" in said
    assert "null" in said


def test_the_settings_of_the_page_are_valid() -> None:
    (settings,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    config = validate(HybridConfig, tomllib.loads(settings), "say-why.md")
    assert config.explain.pack == "music"
