"""`crossfade registry`, and fitting into and serving from one."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from crossfade.cli.app import run
from crossfade.data import load_dataset
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.meta.blending import BlendChoice
from crossfade.store import Registry
from crossfade.testing import checkerboard

Captured = pytest.CaptureFixture[str]
CHOICE = BlendChoice("zscore", {"popularity": 1.0}, True, "popularity", 0.25, 0.125)


def ask(capsys: Captured, *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def document(capsys: Captured, *arguments: object) -> Any:
    code, out, err = ask(capsys, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def bundle(place: Path, half_life_days: float) -> str:
    config = HybridConfig(bases={"popularity": {"half_life_days": half_life_days}})
    return HybridModel.fit(checkerboard(), config, choice=CHOICE).save(place)


@pytest.fixture
def two(tmp_path: Path, capsys: Captured) -> tuple[Path, str, str]:
    """A registry with two versions, the first promoted."""
    registry = tmp_path / "registry"
    versions = [bundle(tmp_path / str(days), days) for days in (30.0, 60.0)]
    for days, version in zip((30.0, 60.0), versions, strict=True):
        code, out, _ = ask(capsys, "registry", "add", tmp_path / str(days), "--registry", registry)
        assert (code, out) == (0, f"added version {version} to {registry}\n")
    assert run(["registry", "promote", versions[0], "--registry", str(registry)]) == 0
    return registry, versions[0], versions[1]


def test_fit_publishes_into_a_registry_and_promotes_when_asked(
    world_directory: Path, quick: Path, tmp_path: Path, capsys: Captured
) -> None:
    registry = tmp_path / "registry"
    settings = ("--config", quick, "--fusion", "static")
    asked = ("fit", world_directory, "--registry", registry, *settings)
    code, out, err = ask(capsys, *asked)
    assert code == 0, err
    (first,) = Registry(registry).versions()
    assert out.splitlines()[-1] == f"registry: {registry} (version {first.version})"
    assert not first.promoted
    assert set(first.metrics) == {"blend_ndcg", "base_ndcg"}
    code, out, err = ask(capsys, *asked, "--promote")
    assert code == 0, err
    second = Registry(registry).promoted()
    assert f"registry: {registry}, which serves it now (version {second})" in out
    assert second != first.version


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ((), "give either --bundle or --registry"),
        (("--bundle", "b", "--registry", "r"), "give either --bundle or --registry"),
        (("--bundle", "b", "--promote"), "--promote needs --registry"),
    ],
)
def test_one_place_is_needed(places: tuple[str, ...], message: str, capsys: Captured) -> None:
    code, _, err = ask(capsys, "fit", "no-such-data", *places)
    assert code == 2
    assert message in " ".join(err.replace("│", " ").split())


def test_fit_refuses_somebody_elses_directory_before_it_reads_anything(
    tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "thesis.doc").write_text("mine")
    code, _, err = ask(capsys, "fit", "no-such-data", "--registry", tmp_path)
    assert code == 1
    assert "holds no registry (found thesis.doc); choose another directory" in err


def test_the_promoted_version_answers(two: tuple[Path, str, str], capsys: Captured) -> None:
    registry, first, second = two
    like = ("--like", "item001")
    assert document(capsys, "recommend", "--registry", registry, *like)["version"] == first
    assert run(["registry", "promote", second, "--registry", str(registry)]) == 0
    assert document(capsys, "recommend", "--registry", registry, *like)["version"] == second
    answer = document(capsys, "similar", "--registry", registry, "--item", "item001")
    assert answer["version"] == second
    code, out, _ = ask(capsys, "registry", "rollback", "--registry", registry)
    assert (code, out) == (0, f"rolled back: {registry} serves version {first}\n")
    assert document(capsys, "recommend", "--registry", registry, *like)["version"] == first


def test_list_shows_what_serves(two: tuple[Path, str, str], capsys: Captured) -> None:
    registry, first, second = two
    code, out, _ = ask(capsys, "registry", "list", "--registry", registry)
    newest, oldest = out.splitlines()
    assert code == 0
    assert newest.startswith(f"{second}          20")
    assert oldest.startswith(f"{first}  serves  20")
    assert oldest.endswith("blend_ndcg 0.2500, base_ndcg 0.1250")
    found = document(capsys, "registry", "list", "--registry", registry)["versions"]
    assert [version["promoted"] for version in found] == [False, True]


def test_diff_says_what_differs(two: tuple[Path, str, str], capsys: Captured) -> None:
    registry, first, second = two
    code, out, _ = ask(capsys, "registry", "diff", first, second, "--registry", registry)
    assert code == 0
    assert out.splitlines()[:2] == ["settings", "  bases.popularity.half_life_days: 30 → 60"]
    found = document(capsys, "registry", "diff", first, second, "--registry", registry)
    (setting,) = (d for d in found["differences"] if d["section"] == "settings")
    assert (setting["before"], setting["after"]) == (30.0, 60.0)
    code, out, _ = ask(capsys, "registry", "diff", first, first, "--registry", registry)
    assert (code, out) == (0, "no difference\n")


def test_gc_says_what_it_removes(two: tuple[Path, str, str], capsys: Captured) -> None:
    registry, first, second = two
    asked = ("registry", "gc", "--registry", registry, "--keep", 0)
    code, out, _ = ask(capsys, *asked, "--dry-run")
    assert (code, out.split(",")[0]) == (0, f"would remove {second}")
    assert document(capsys, *asked) == {"removed": [second], "dry_run": False}
    code, out, _ = ask(capsys, *asked)
    assert (code, out) == (0, "nothing to remove\n")
    assert [v.version for v in Registry(registry).versions()] == [first]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("promote", "0" * 16), f"no version {'0' * 16}; it holds "),
        (("rollback",), "nothing served before version "),
        (("diff", "a", "b"), "no version a; it holds "),
    ],
)
def test_what_cannot_be_done_is_one_line(
    two: tuple[Path, str, str], capsys: Captured, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = ask(capsys, "registry", *arguments, "--registry", two[0])
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {two[0]}: {message}")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("arguments", [("list",), ("rollback",), ("gc",), ("promote", "0" * 16)])
def test_without_a_registry_nothing_is_made(
    tmp_path: Path, capsys: Captured, arguments: tuple[str, ...]
) -> None:
    code, _, err = ask(capsys, "registry", *arguments, "--registry", tmp_path / "none")
    assert code == 1
    assert "no registry here (registry.json is missing); check the path" in err
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_the_commands_on_the_page_about_versions_run_in_their_order(
    world_directory: Path,
    quick: Path,
    tmp_path: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine").symlink_to(world_directory)
    (tmp_path / "settings.toml").write_text(quick.read_text())
    registry = Registry(Path("out/versions"))
    page = (Path(__file__).parents[2] / "docs/how-to/new-versions.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    user = load_dataset(world_directory).user_ids.id(0)
    names = {"u42": user}
    for number, line in enumerate(block.splitlines()):
        if number == 2:
            names |= {"NEW": registry.versions()[0].version, "OLD": registry.versions()[1].version}
        program, *arguments = (names.get(word, word) for word in line.split())
        fast = ("--fusion", "static") if arguments[0] == "fit" else ()
        code, _, err = ask(capsys, *arguments, *fast)
        assert (program, code) == ("crossfade", 0), err
    assert registry.promoted() == names["OLD"]
    (snippet,) = re.findall(r"^```py\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    there: dict[str, Any] = {"Registry": Registry, "Path": Path, "HybridModel": HybridModel}
    exec(compile(snippet, "new-versions.md", "exec"), there)
    assert there["model"].version == names["OLD"]
