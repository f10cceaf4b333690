"""Docs that cannot go stale: generated pages are fresh, snippets run, links lead somewhere."""

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from crossfade.cli.app import run
from crossfade.config import validate
from crossfade.hybrid import HybridConfig
from crossfade.recommenders.registry import make_all

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


@pytest.mark.parametrize("page", ["two-tower.md", "recommenders.md", "synthesis.md"])
def test_settings_on_the_pages_about_bases_are_valid(page: str) -> None:
    blocks = BLOCK.findall((ROOT / "docs" / "explanation" / page).read_text())
    settings = [tomllib.loads(block) for kind, block in blocks if kind == "toml"]
    assert settings
    for values in settings:
        make_all(validate(HybridConfig, values, page).bases)


@pytest.mark.parametrize(("name", "letter", "n"), [("two-tower", "T", 21), ("synthesis", "P", 12)])
def test_the_tests_that_guard_against_traps_exist(name: str, letter: str, n: int) -> None:
    page = (ROOT / "docs" / "explanation" / f"{name}.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith(f"| {letter}-")]
    assert [line[2:6] for line in rows] == [f"{letter}-{number:02}" for number in range(1, n + 1)]
    code = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "src" / "crossfade" / "testing").glob("*.py")]
    defined = set(re.findall(r"^def (\w+)\(", "\n".join(map(Path.read_text, code)), re.MULTILINE))
    for row in rows:
        named = re.findall(r"`((?:test|check)_\w+)`", row.split("|")[3])
        assert named, row
        assert set(named) <= defined, row


def test_the_readme_shows_output_within_ninety_words() -> None:
    before_output = (ROOT / "README.md").read_text().split("```text")[0]
    assert len(before_output.split()) <= 90


@pytest.mark.slow
@pytest.mark.usefixtures("small_world")
@pytest.mark.parametrize(
    "page", ["docs/tutorial/first-log.md", "docs/how-to/python.md", "README.md"]
)
def test_every_block_of_the_page_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / page).read_text()
    n_run, names = 0, {"__name__": "snippet"}
    for language, block in BLOCK.findall(text):
        if language == "python":
            exec(compile(block, page, "exec"), names)
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
