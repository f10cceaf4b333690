"""What the package promises to those who import it: names, types, and a wheel that has both."""

import inspect
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import crossfade
from crossfade.hybrid import HybridModel

ROOT = Path(__file__).parents[1]

PUBLIC = [
    "CrossfadeError",
    "Dataset",
    "Experiment",
    "Filters",
    "HybridConfig",
    "HybridModel",
    "RankingConfig",
    "Recommendation",
    "Recommendations",
    "Target",
    "WorldConfig",
    "__version__",
    "evaluate",
    "load_dataset",
    "make_world",
    "save_dataset",
]

VERBS = [
    "bundle",
    "explain",
    "fit",
    "index",
    "load",
    "mode",
    "predict",
    "query",
    "recommend",
    "recommend_batch",
    "save",
    "similar",
    "unknown",
    "update",
]


# -- names -------------------------------------------------------------------------------


def test_the_public_names_are_these() -> None:
    # Whoever adds one has to say so here: each is a promise, and a second way to do a thing is none.
    assert crossfade.__all__ == dir(crossfade) == PUBLIC
    assert sorted(name for name in vars(HybridModel) if not name.startswith("_")) == VERBS


@pytest.mark.parametrize("name", [name for name in PUBLIC if name != "__version__"])
def test_a_public_name_is_what_it_is_at_home(name: str) -> None:
    found = getattr(crossfade, name)
    assert found.__name__ == name
    assert inspect.getdoc(found)
    assert getattr(sys.modules[found.__module__], name) is found


def test_another_name_is_no_name() -> None:
    assert not hasattr(crossfade, "DataFrame")
    with pytest.raises(ImportError, match="cannot import name 'Hybrid' from 'crossfade'"):
        exec("from crossfade import Hybrid")


# -- the wheel ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_the_package_and_its_types(wheel: Path) -> None:
    assert wheel.name.startswith(f"crossfade-{crossfade.__version__}-")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "crossfade/py.typed" in names
    source = ROOT / "src"
    ours = {
        path.relative_to(source).as_posix()
        for path in (source / "crossfade").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert ours <= names
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"crossfade"}


PROGRAM = """
import crossfade as cf
import polars as pl

plays = pl.DataFrame({"user_id": ["ann", "ben"], "item_id": ["s1", "s2"]})
log: cf.Dataset = cf.Dataset.build(plays, target=cf.Target(min_value=4))
config = cf.HybridConfig(bases={"popularity": {}}).changed(blend={"fusion": "static"})
model = cf.HybridModel.fit(log, config)
lines = model.recommend(user="ann", filters=cf.Filters(block=["s1"]), ranking=cf.RankingConfig(diversity=0.3))
best: str = lines[0].item_id
scores: pl.DataFrame = model.predict(plays)
mean: float = cf.evaluate(log, config, scores={"theirs": plays}).evaluation.mean("theirs", "ndcg@10")
"""

WRONG = """
cf.HybridModel.load(3)
reveal_type(lines)
cf.Datasets
"""


@pytest.mark.slow
def test_a_program_that_uses_the_wheel_type_checks_strictly(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    place = next((tmp_path / "venv").glob("**/site-packages"))
    zipfile.ZipFile(wheel).extractall(place)
    # Everything else comes from here; the wheel alone is what stands first.
    (place / "rest.pth").write_text(sysconfig.get_paths()["purelib"])
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "wrong.py").write_text(PROGRAM + WRONG)
    interpreter = tmp_path / "venv" / "bin" / "python"
    check = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(interpreter)]
    done = subprocess.run(
        [*check, "program.py", "wrong.py"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = [line.partition(": ")[::2] for line in done.stdout.splitlines()[:-1]]
    assert [place.partition(":")[0] for place, _ in found] == ["wrong.py"] * 3, (
        done.stdout + done.stderr
    )
    wrong = "\n".join(text for _, text in found)
    assert 'Argument 1 to "load" of "HybridModel" has incompatible type "int"' in wrong
    assert 'Revealed type is "crossfade.meta.recommendation.Recommendations"' in wrong
    assert 'Module has no attribute "Datasets"' in wrong
