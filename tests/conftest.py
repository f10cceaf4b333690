"""Data every test may use; see also `crossfade.testing` for data whose right answer is known."""

import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import settings

from crossfade.cli.app import run
from crossfade.data import Dataset, save_dataset
from crossfade.data.world import WorldConfig, make_world
from crossfade.testing import tiny_catalogue

# Tests run side by side: small networks lose more by waiting for a second core than they gain.
# Read when PyTorch is first imported, so it must be said before.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REAL_DATA = Path(__file__).parents[1].parent / "shared" / "data"

QUICK = """
[bases.popularity]
half_life_days = 30.0
[bases.item_knn]
[bases.ease]
[evaluation]
resamples = 100
flips = 100
"""


# Shared machines stall; a slow example is no fault of the code.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


@pytest.fixture(scope="session")
def timed() -> Dataset:
    """Three listeners, five songs, times, a catalogue, taggings."""
    return tiny_catalogue()


@pytest.fixture(scope="session")
def untimed() -> Dataset:
    """The same plays without times or catalogue."""
    events = pl.DataFrame(
        {
            "user_id": ["ann", "ann", "ann", "bob", "bob", "cid"],
            "item_id": ["a", "b", "a", "b", "c", "d"],
        }
    )
    return Dataset.build(events, name="untimed")


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """The folder of a public data set by name; skips where it is absent."""

    def folder(name: str) -> Path:
        path = REAL_DATA / name
        if not path.is_dir():
            pytest.skip(f"public data set {name} is not at ../shared/data")
        return path

    return folder


@pytest.fixture
def small_world(monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in world of whoever names no size is small here; ids are as long as in the large one."""
    small = WorldConfig(n_listeners=120, n_tracks=1_001, n_artists=125, n_plays=15_000)
    monkeypatch.setattr("crossfade.data.world.world.WorldConfig", lambda: small)


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "quick.toml"
    path.write_text(QUICK)
    return path


@pytest.fixture(scope="session")
def world_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("world") / "dataset"
    save_dataset(
        make_world(WorldConfig(n_listeners=80, n_tracks=300, n_plays=8_000), seed=3).dataset,
        directory,
    )
    return directory


@pytest.fixture(scope="session")
def bundle(world_directory: Path, quick: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("fit") / "bundle"
    assert (
        run(["fit", str(world_directory), "--bundle", str(directory), "--config", str(quick)]) == 0
    )
    return directory
