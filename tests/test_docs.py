"""Docs that cannot go stale: generated pages are fresh, snippets run, links lead somewhere."""

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest

from crossfade.cli.app import run

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_pages_say_what_the_code_says(generate: ModuleType) -> None:
    reference = ROOT / "docs" / "reference"
    assert (reference / "settings.md").read_text() == generate.settings_page(), (
        "run docs/generate.py"
    )
    assert (reference / "commands.md").read_text() == generate.commands_page(), (
        "run docs/generate.py"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


def test_the_readme_shows_output_within_ninety_words() -> None:
    before_output = (ROOT / "README.md").read_text().split("```text")[0]
    assert len(before_output.split()) <= 90


@pytest.mark.slow
@pytest.mark.parametrize("page", ["docs/tutorial/first-log.md", "README.md"])
def test_every_block_of_the_page_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / page).read_text()
    n_run = 0
    for language, block in BLOCK.findall(text):
        if language == "python":
            exec(compile(block, page, "exec"), {"__name__": "snippet"})
        elif language == "toml":
            (tmp_path / "quick.toml").write_text(block)
        elif language == "sh" and page != "README.md":
            if "quick.toml" in block and not (tmp_path / "quick.toml").exists():
                # The page shows the command first and the file right after it.
                toml = next(b for kind, b in BLOCK.findall(text) if kind == "toml")
                (tmp_path / "quick.toml").write_text(toml)
            for line in block.splitlines():
                program, *arguments = shlex.split(line)
                assert program == "crossfade"
                assert run(arguments) == 0, capsys.readouterr().err
        else:
            continue
        n_run += 1
    assert n_run > 0
