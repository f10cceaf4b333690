"""The how-to page: its commands print what it says, its lists are complete."""

import re
import shlex
from pathlib import Path

import pytest

from crossfade.cli.app import run
from crossfade.data.importing import FORMATS
from crossfade.data.importing.mapping import (
    Column,
    ImportMapping,
    ItemsMapping,
    JoinMapping,
    VectorsMapping,
)
from crossfade.data.schema import EVENT_COLUMNS, ITEM_COLUMNS
from crossfade.data.target import Target

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/how-to/import.md").read_text(encoding="utf-8")
FILES = re.compile(r'```\w+ title="([^"]+)"\n(.*?)```', re.DOTALL)
COMMANDS = re.compile(r"```console\n\$ crossfade (.*?)\n(.*?)```", re.DOTALL)


def test_every_command_of_the_page_prints_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.findall(PAGE):
        Path(name).write_text(text)
    commands = COMMANDS.findall(PAGE)
    assert len(commands) == 5
    for call, expected in commands:
        code = run(shlex.split(call))
        said = capsys.readouterr()
        shown = said.out if code == 0 else re.sub(r"^read .*\n", "", said.err, flags=re.MULTILINE)
        assert re.sub(r"parts-\w+", "parts-…", shown) == expected


@pytest.mark.parametrize(
    "model", [ImportMapping, ItemsMapping, VectorsMapping, JoinMapping, Column, Target]
)
def test_every_setting_is_on_the_page(model: type[Column]) -> None:
    missing = [name for name in model.model_fields if f"`{name}`" not in PAGE]
    assert missing == []


def test_every_format_and_column_is_on_the_page() -> None:
    names = {*FORMATS, *EVENT_COLUMNS, *ITEM_COLUMNS}
    assert [name for name in sorted(names) if f"`{name}`" not in PAGE] == []


def test_every_check_is_on_the_page() -> None:
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "src/crossfade/data/importing").glob("*.py")
    )
    call = r"(?:findings\.file|findings\.row|_fault|Fault|\.warn|of_events\.warn)\(\s*\"(\w+)\""
    checks = set(re.findall(call, source))
    assert len(checks) > 15
    assert [check for check in sorted(checks) if f"`{check}`" not in PAGE] == []
