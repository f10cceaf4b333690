"""The how-to page: its snippets run and print what it shows, its table is complete."""

import re
from pathlib import Path

import pytest

from crossfade.features.modalities import MODALITIES

PAGE = (Path(__file__).parents[3] / "docs/how-to/modalities.md").read_text(encoding="utf-8")


def test_the_snippets_add_a_modality_that_acts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODALITIES, "decade", MODALITIES["text"])  # taken out again afterwards
    names = {"__name__": "snippet"}
    shown = []
    for kind, block in re.findall(r"^```(python|text)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        if kind == "python":
            exec(compile(block, "modalities.md", "exec"), names)
        else:
            shown.append(block)
            assert capsys.readouterr().out == block
    assert len(shown) == 2


def test_every_modality_is_in_the_table_with_what_it_is_made_of() -> None:
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]*) \|$", PAGE, re.MULTILINE)
    told = {name: set(made.split(", ")) for name, made in rows}
    assert told == {name: set(kind.provenance) for name, kind in MODALITIES.items()}
