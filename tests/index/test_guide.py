"""The how-to page runs and says what comes out."""

import re
from pathlib import Path

import pytest

from crossfade.index import IndexConfig

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/index.md").read_text(encoding="utf-8")


def test_the_blocks_of_the_page_run_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, object] = {"__name__": "snippet"}
    for block in blocks:
        exec(compile(block, "index.md", "exec"), names)
    said = capsys.readouterr().out.splitlines()
    shown = re.search(r"print\(error\)  # (.*)…", PAGE)
    assert shown is not None
    assert said[1].startswith(shown[1].strip())


def test_every_choice_on_the_page_is_a_setting() -> None:
    listed = re.findall(r"^- \*\*`(\w+)`", PAGE, re.MULTILINE)
    assert set(listed) - {"queries"} <= IndexConfig.model_fields.keys()
    assert len(listed) == 4
