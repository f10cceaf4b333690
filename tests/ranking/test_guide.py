"""The how-to page runs, says what comes out, and names settings that exist."""

import re
from pathlib import Path

import pytest

from crossfade.ranking import RankingConfig

PAGE = (Path(__file__).parents[2] / "docs/how-to/lists-and-rules.md").read_text(encoding="utf-8")


def test_the_blocks_of_the_page_print_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 7
    names: dict[str, object] = {"__name__": "snippet"}
    for block in blocks:
        exec(compile(block, "lists-and-rules.md", "exec"), names)
        said = capsys.readouterr().out.splitlines()
        shown = re.findall(r"(?:print\(.*\)  |^)# (.*)$", block, re.MULTILINE)
        assert len(said) == len(shown) > 0
        for line, promised in zip(said, shown, strict=True):
            whole = promised.removesuffix(" …")
            assert line.startswith(whole)
            assert line == promised or whole != promised


def test_every_setting_has_a_word_on_the_page() -> None:
    assert [name for name in RankingConfig.model_fields if f"`{name}" not in PAGE] == []
