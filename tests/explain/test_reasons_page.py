import re
from pathlib import Path

import pytest

from crossfade.recommenders.registry import RECOMMENDERS

PAGE = (Path(__file__).parents[2] / "docs" / "explanation" / "reasons.md").read_text("utf-8")


def test_the_snippet_of_the_page_gives_a_sentence_per_item(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (snippet,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    exec(compile(snippet, "reasons.md", "exec"), {"__name__": "snippet"})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("Suggested because you listen to “") for line in lines)


def test_the_page_tells_of_every_base() -> None:
    told = {
        name
        for row in PAGE.splitlines()
        if row.startswith("| `")
        for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert told == set(RECOMMENDERS)
