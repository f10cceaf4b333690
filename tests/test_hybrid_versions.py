"""From one version of a system to the next, and the index that belongs to a version."""

import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset, Target
from crossfade.data.world import WorldConfig, make_world
from crossfade.errors import BundleError, ConfigError, DataError
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.index import IndexConfig, load_index
from crossfade.meta.blending import BlendChoice
from crossfade.recommenders.popularity import Popularity
from crossfade.recommenders.registry import make_all
from crossfade.store import load_bundle

TOWERS: dict[str, Any] = {
    "output_dim": 8,
    "item": {"hidden": (16,), "dropout": (0.1,)},
    "examples": {"min_steps": 3},
    "train": {"epochs": 3},
}
CONFIG = HybridConfig(
    bases={"popularity": {}, "two_tower": TOWERS}, target=Target(), protocol={"name": "user"}
)
CHOICE = BlendChoice(
    "zscore", {"popularity": 0.25, "two_tower": 0.75}, True, "two_tower", 0.3, 0.2, "popularity"
)


@pytest.fixture(scope="module")
def logs() -> tuple[Dataset, Dataset]:
    """A log, and the same log some weeks later."""
    now = make_world(WorldConfig(n_listeners=40, n_tracks=80, n_plays=2_000), seed=3).dataset
    first = pl.arange(0, now.n_events, eager=True) < now.n_events * 3 // 4
    return now.where(first), now


@pytest.fixture(scope="module")
def old(logs: tuple[Dataset, Dataset], tmp_path_factory: pytest.TempPathFactory) -> HybridModel:
    model = HybridModel.fit(logs[0], CONFIG, seed=1, choice=CHOICE)
    model.save(tmp_path_factory.mktemp("old") / "bundle")
    return model


@pytest.fixture(scope="module")
def new(old: HybridModel, logs: tuple[Dataset, Dataset]) -> HybridModel:
    return HybridModel.update(old, logs[1], seed=2)


def test_an_update_keeps_settings_and_blend_and_speaks_of_the_whole_log(
    old: HybridModel, new: HybridModel, logs: tuple[Dataset, Dataset]
) -> None:
    assert new.config == old.config
    assert new.blend.choice == old.blend.choice
    assert new.blend.exclude_seen == old.blend.exclude_seen
    assert new.dataset.n_events == logs[1].n_events
    assert old.dataset.n_events == logs[0].n_events
    assert new.recommend(user=new.dataset.user_ids.id(0), k=5)


def test_bases_that_cannot_go_on_are_fitted_afresh(
    new: HybridModel, logs: tuple[Dataset, Dataset]
) -> None:
    queries = logs[1].queries([0, 1])
    expected = Popularity().fit(logs[1], seed=2).score_batch(queries)
    np.testing.assert_array_equal(new.bases["popularity"].score_batch(queries), expected)


def test_the_network_goes_on_from_what_it_knew(old: HybridModel, new: HybridModel) -> None:
    before, after = (model.bases["two_tower"].state() for model in (old, new))
    names = [name for name in before if name.startswith(("reader.schema.", "encoder."))]
    assert names
    for name in names:
        np.testing.assert_array_equal(after[name], before[name])
    # Vectors of two trainings from scratch differ by a rotation; those of an update do not.
    items = (state["item"].astype(np.float32) for state in (before, after))
    cosines = np.nansum(np.prod(list(items), axis=0), axis=1)
    assert np.median(cosines) > 0.8


def test_the_manifest_tells_the_mode_and_the_version_before(
    old: HybridModel, new: HybridModel, tmp_path: Path
) -> None:
    version = new.save(tmp_path / "new")
    assert version != old.version
    header = load_bundle(tmp_path / "new").header
    assert (header["mode"], header["previous"]) == ("weekly", old.version)
    loaded = HybridModel.load(tmp_path / "new")
    assert (loaded.mode, loaded.previous, loaded.version) == ("weekly", old.version, version)
    user = new.dataset.user_ids.id(3)
    assert loaded.recommend(user=user) == new.recommend(user=user)
    assert (old.mode, old.previous) == ("full", None)


def test_an_updated_version_can_be_updated_again(
    new: HybridModel, logs: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    version = new.save(tmp_path / "new")
    with pytest.raises(DataError, match=f"version {version} knows, so there is nothing to update"):
        HybridModel.update(new, logs[1])


def test_a_version_without_a_name_cannot_be_updated(logs: tuple[Dataset, Dataset]) -> None:
    choice = BlendChoice("zscore", {"popularity": 1.0}, True, "popularity", 0.0, 0.0)
    unsaved = HybridModel.fit(logs[0], HybridConfig(bases={"popularity": {}}), choice=choice)
    with pytest.raises(ConfigError, match="save it first"):
        HybridModel.update(unsaved, logs[1])
    with pytest.raises(ConfigError, match="save it, then build the index"):
        unsaved.index()


def test_another_data_set_is_refused(old: HybridModel, logs: tuple[Dataset, Dataset]) -> None:
    ids = {
        "user_id": [f"x{row}" for row in logs[1].events["user_row"]],
        "item_id": [f"y{row}" for row in logs[1].events["item_row"]],
    }
    other = Dataset.build(
        pl.DataFrame({**ids, "timestamp": logs[1].events["timestamp"]}), name="shop"
    )
    with pytest.raises(DataError, match=f'version {old.version}.*this "shop"; only 0 of its'):
        HybridModel.update(old, other)


def test_the_index_holds_the_vectors_of_its_version_and_of_no_other(
    old: HybridModel, new: HybridModel, tmp_path: Path
) -> None:
    version = new.save(tmp_path / "new")
    built = new.index(config=IndexConfig(kind="exact"))
    np.testing.assert_array_equal(built.vectors(), new.bases["two_tower"].state()["item"])
    assert built.report["queries"] == "given"
    built.save(tmp_path / "index")
    assert load_index(tmp_path / "index", expected_version=version).version == version
    with pytest.raises(BundleError, match=f"belongs to version {version}"):
        load_index(tmp_path / "index", expected_version=old.version)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("popularity", "popularity: no item vectors to export"),
        ("nothing", 'there is no base "nothing"; choose from popularity, two_tower'),
    ],
)
def test_a_base_without_vectors_has_no_index(old: HybridModel, base: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        old.index(base)


def test_the_page_on_new_versions_says_what_there_is(new: HybridModel, tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs/how-to/new-versions.md").read_text(encoding="utf-8")
    (settings,) = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    read = HybridConfig(**tomllib.loads(settings))
    assert make_all(read.bases)["two_tower"].config.checkpoint == "checkpoints"
    (block,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "snippet"}
    exec(compile(block, "new-versions.md", "exec"), names)
    new.save(tmp_path / "new")
    assert 0 < names["how_far_it_moved"](tmp_path / "new") <= 1
