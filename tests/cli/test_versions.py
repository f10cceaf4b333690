"""`crossfade fit --weekly-from` and `crossfade index`: a new version, and its vectors."""

from pathlib import Path

import polars as pl
import pytest

from crossfade.cli.app import run
from crossfade.data import load_dataset, save_dataset
from crossfade.errors import BundleError
from crossfade.hybrid import HybridModel
from crossfade.index import load_index
from crossfade.store import Registry

Captured = pytest.CaptureFixture[str]

SETTINGS = """
[bases.popularity]
[bases.ials]
factors = 8
"""


def ask(capsys: Captured, *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture(scope="module")
def old_bundle(world_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fitted on what the world's log was before its last fifth."""
    folder = tmp_path_factory.mktemp("weekly")
    data = load_dataset(world_directory)
    first = pl.arange(0, data.n_events, eager=True) < data.n_events * 4 // 5
    save_dataset(data.where(first), folder / "data")
    (folder / "settings.toml").write_text(SETTINGS)
    arguments = ["fit", folder / "data", "--bundle", folder / "old", "--config"]
    assert run([*map(str, arguments), str(folder / "settings.toml"), "--device", "cpu"]) == 0
    return folder / "old"


def test_a_weekly_fit_names_both_versions(
    old_bundle: Path, world_directory: Path, tmp_path: Path, capsys: Captured
) -> None:
    code, out, err = ask(
        capsys, "fit", world_directory, "--bundle", tmp_path / "new", "--weekly-from", old_bundle
    )
    assert code == 0, err
    before, after = (HybridModel.load(path) for path in (old_bundle, tmp_path / "new"))
    assert f"(version {after.version}, updated from version {before.version})" in out
    assert after.version != before.version
    assert after.previous == before.version
    assert "when it was tuned" in out  # the numbers are not of this week

    code, out, err = ask(
        capsys,
        "fit",
        world_directory,
        "--bundle",
        tmp_path / "x",
        "--weekly-from",
        tmp_path / "new",
    )
    assert (code, out) == (1, "")
    assert f"version {after.version} knows, so there is nothing to update" in err
    assert not (tmp_path / "x").exists()


def test_a_weekly_fit_takes_no_settings(
    old_bundle: Path, world_directory: Path, tmp_path: Path, capsys: Captured
) -> None:
    asked = ("fit", world_directory, "--bundle", tmp_path / "new", "--weekly-from", old_bundle)
    code, _, err = ask(capsys, *asked, "--config", old_bundle.parent / "settings.toml")
    assert code == 2
    assert "keeps the settings" in err


def test_a_device_that_does_not_exist_is_a_wrong_call(
    world_directory: Path, tmp_path: Path, capsys: Captured
) -> None:
    code, _, err = ask(
        capsys, "fit", world_directory, "--bundle", tmp_path / "new", "--device", "abacus"
    )
    assert code == 2
    assert "abacus" in err


def test_index_exports_the_vectors_under_the_version_of_the_bundle(
    old_bundle: Path, tmp_path: Path, capsys: Captured
) -> None:
    model = HybridModel.load(old_bundle)
    vectors = model.bases["ials"].embeddings()
    assert vectors is not None
    item = model.dataset.item_ids.id(0)
    asked = ("index", "--bundle", old_bundle, "--out", tmp_path / "index", "--kind", "exact")
    code, out, err = ask(capsys, *asked, "--like", item, "-k", 3)
    assert code == 0, err
    index = load_index(tmp_path / "index", expected_version=model.version)
    assert f"(of version {model.version})" in out
    assert "recall@100   1.0000" in out
    assert "8 numbers each" in out
    nearest, _ = index.search(vectors.item[[0]], 3, [[0]])
    listed = [line.rsplit("[", 1)[1].rstrip("]") for line in out.splitlines()[-3:]]
    assert listed == model.dataset.item_ids.decode(nearest[0])


def test_an_index_without_a_place_of_its_own_lies_in_its_version(
    old_bundle: Path, world_directory: Path, tmp_path: Path, capsys: Captured
) -> None:
    settings, registry = old_bundle.parent / "settings.toml", tmp_path / "registry"
    asked = ("fit", world_directory, "--config", settings, "--fusion", "static")
    assert ask(capsys, *asked, "--registry", registry, "--promote")[0] == 0
    code, out, err = ask(capsys, "index", "--registry", registry, "--kind", "exact")
    assert code == 0, err
    (version,) = Registry(registry).versions()
    place = Registry(registry).path(version.version) / "index"
    assert f"index: {place} (of version {version.version})" in out
    assert load_index(place, expected_version=version.version).n_items
    assert "with index" in ask(capsys, "registry", "list", "--registry", registry)[1]

    bundle = tmp_path / "bundle"
    assert ask(capsys, *asked, "--bundle", bundle)[0] == 0
    assert ask(capsys, "index", "--bundle", bundle, "--kind", "exact")[0] == 0
    assert ask(capsys, *asked, "--bundle", bundle)[0] == 0  # the index stays behind
    model = HybridModel.load(bundle)
    with pytest.raises(BundleError, match=f"the model is version {model.version}"):
        load_index(bundle / "index", expected_version=model.version)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--base", "popularity"), "popularity: no item vectors to export"),
        (("--base", "magic"), 'there is no base "magic"'),
        (("--like", "nothing"), 'item "nothing" is unknown'),
    ],
)
def test_index_says_in_one_line_what_is_missing(
    old_bundle: Path, tmp_path: Path, capsys: Captured, more: tuple[str, ...], message: str
) -> None:
    code, out, err = ask(capsys, "index", "--bundle", old_bundle, "--out", tmp_path / "i", *more)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {message}")
    assert not (tmp_path / "i").exists()


def test_index_without_the_extra_gives_the_line_to_install_it(
    old_bundle: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    asked = ("index", "--bundle", old_bundle, "--out", tmp_path / "i", "--kind", "faiss")
    code, _, err = ask(capsys, *asked)
    assert code == 1
    assert "pip install 'crossfade[ann]'" in err
    assert len(err.strip().splitlines()) == 1
