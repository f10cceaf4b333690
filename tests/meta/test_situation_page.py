"""The how-to page on situations runs."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/how-to/ask-in-a-situation.md"


def test_the_snippet_asks_in_two_situations(capsys: pytest.CaptureFixture[str]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    (snippet,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    exec(compile(snippet, PAGE.name, "exec"), {"__name__": "snippet"})
    car, phone, columns = capsys.readouterr().out.splitlines()
    assert car.startswith("car ")
    assert phone.startswith("phone ")
    assert columns == "['context_device']"
