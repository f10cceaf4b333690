"""What a bundle keeps beside tables and fitted parts: the same to the last bit as computed again."""

import json
import mmap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset
from crossfade.data.world import WorldConfig, make_world
from crossfade.errors import BundleError
from crossfade.features.activity import activity_features
from crossfade.features.audio import AudioFeatures, Source
from crossfade.features.session import fit_reference
from crossfade.files import MANIFEST
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.meta import context
from crossfade.meta.context import ContextReader
from crossfade.meta.facts import measure
from crossfade.meta.track import TrackRecord
from crossfade.ranking import RankingCatalogue, catalogue
from crossfade.store import Bundle, load_bundle, save_bundle
from crossfade.types import Arrays

BASES: dict[str, dict[str, Any]] = {"popularity": {}, "item_knn": {}}
BLEND = {"fusion": "ridge", "n_candidates": 10, "n_earlier_blocks": 1, "min_requests": 5}
DERIVED = ("context", "ranking")


@pytest.fixture(scope="module")
def world() -> Dataset:
    """With all that context can tell: friends, situations, guessed audio, items that come and go."""
    data = make_world(WorldConfig(n_listeners=40, n_tracks=80, n_plays=3_000), seed=3).dataset
    audio = AudioFeatures.from_items(data.items)
    audio.sigma[::3], audio.source[::3] = 0.1, Source.PREDICTED
    dates = pl.Series([None, 1_600_000_000_000_000] * (data.n_items // 2)).cast(pl.Datetime("us"))
    items = audio.to_items(data.items).with_columns(available_from=dates)
    degrees = pl.Series([None, 20.5, float("nan")] * (data.n_events // 3))
    events = data.events.with_columns(
        context_degrees=degrees.extend_constant(1.0, data.n_events % 3)
    )
    return replace(data, items=items, events=events)


@pytest.fixture(scope="module")
def model(world: Dataset) -> HybridModel:
    return HybridModel.fit(world, HybridConfig(bases=BASES, blend=BLEND), seed=1)


@pytest.fixture
def saved(model: HybridModel, tmp_path: Path) -> Path:
    model.save(tmp_path / "bundle")
    return tmp_path / "bundle"


def same(found: Arrays, expected: Arrays) -> None:
    """Equal bytes, whatever NaN they hold."""
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        assert found[name].tobytes() == array.tobytes(), name


def is_mapped(array: Any) -> bool:
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, mmap.mmap)


def change(directory: Path, how: Callable[[Bundle], Bundle]) -> None:
    """Save a bundle anew after somebody meddled with it."""
    save_bundle(how(load_bundle(directory)), directory)


# -- what is kept ------------------------------------------------------------------------


def test_what_is_kept_is_what_the_loaded_data_set_gives_to_the_last_bit(
    model: HybridModel, saved: Path
) -> None:
    loaded, kept = HybridModel.load(saved), load_bundle(saved).arrays
    assert loaded.learned is not None
    assert loaded.learned.environment is not None
    expected = measure(loaded.dataset, loaded.learned.environment)
    parts = {name.partition(".")[0] for name in expected}
    assert {"fixed", "situations", "friends", "sigma", "reference", "items"} <= parts
    assert {"situations.moments", "situations.0.key", "situations.1.value"} <= expected.keys()
    same(kept["context"], expected)
    ranking = RankingCatalogue(loaded.dataset.items).facts
    assert "available_from" in ranking
    same(kept["ranking"], ranking)
    same(kept["ranking"], model.lists.catalogue.facts)


@pytest.mark.parametrize("times", [True, False])
def test_a_reader_of_what_was_kept_tells_the_same(
    world: Dataset, tmp_path: Path, *, times: bool
) -> None:
    log = world if times else replace(world, events=world.events.drop("timestamp"))
    rng = np.random.default_rng(0)
    gain, n = rng.random((log.n_users, 2)), rng.integers(0, 5, log.n_users)
    fresh = ContextReader(log, ("a", "b"), TrackRecord(gain, n))
    save_bundle(Bundle({}, {"context": fresh.facts}, {}), tmp_path)
    kept = load_bundle(tmp_path).arrays["context"]
    again = ContextReader(log, ("a", "b"), TrackRecord(gain, n), fresh.environment, kept)
    assert again.user_columns == fresh.user_columns
    assert again.item_columns == fresh.item_columns
    rows = rng.integers(-1, log.n_items, (log.n_users, 9)).astype(np.int32)
    moments = None
    if log.time_us is not None:
        moments = log.time_us[rng.integers(0, log.n_events, log.n_users)]
    queries = log.queries(range(log.n_users), moments)
    assert fresh.user(queries).tobytes() == again.user(queries).tobytes()
    assert fresh.item(queries, rows).tobytes() == again.item(queries, rows).tobytes()
    activity = activity_features(queries, fit_reference(log)).astype(np.float32)
    assert again.user(queries)[:, : activity.shape[1]].tobytes() == activity.tobytes()
    guesses = fresh.guesses(rows), again.guesses(rows)
    assert guesses[0] is not None
    assert guesses[1] is not None
    assert guesses[0].sigma.tobytes() == guesses[1].sigma.tobytes()


def test_a_bare_log_keeps_no_friends_and_no_guesses(world: Dataset) -> None:
    items, events = world.items.select("item_id"), world.events.drop("timestamp")
    bare = replace(world, items=items, events=events.drop("context_device"), friends=None)
    reader = ContextReader(bare, ("a",), TrackRecord.empty(bare.n_users, 1))
    assert not any(name.startswith(("friends", "sigma", "situations.m")) for name in reader.facts)
    again = ContextReader(
        bare, ("a",), TrackRecord.empty(bare.n_users, 1), reader.environment, reader.facts
    )
    assert again.item_columns == reader.item_columns


def test_a_load_computes_nothing_again_and_maps_what_is_kept(
    model: HybridModel, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*given: object) -> None:
        raise AssertionError(f"computed again: {given}")

    monkeypatch.setattr(context, "measure", never)
    monkeypatch.setattr(catalogue, "_read", never)
    loaded = HybridModel.load(saved)
    assert loaded.blend.learned is not None
    assert loaded.learned is not None
    reader, ranking = loaded.blend.learned.lists.reader, loaded.lists.catalogue
    used: list[Any] = [reader._fixed, reader._reference.popularity, reader._items.creator_row]
    used += [ranking.creator, ranking.genre, loaded.learned.track.gain]
    assert all(is_mapped(array) for array in used)
    user = model.dataset.user_ids.id(3)
    assert loaded.recommend(user=user) == model.recommend(user=user)


# -- strict loading ----------------------------------------------------------------------


@pytest.mark.parametrize("part", DERIVED)
def test_a_part_that_the_header_names_and_is_not_there_is_damage(saved: Path, part: str) -> None:
    def without(bundle: Bundle) -> Bundle:
        return replace(bundle, arrays={n: a for n, a in bundle.arrays.items() if n != part})

    change(saved, without)
    with pytest.raises(BundleError, match=rf"damaged \('{part}' is missing or wrong\); fit again"):
        HybridModel.load(saved)


@pytest.mark.parametrize("array", ["fixed", "items.creator_row", "reference.streaks"])
def test_an_array_of_the_context_that_is_not_there_is_damage(saved: Path, array: str) -> None:
    def without(bundle: Bundle) -> Bundle:
        kept = {n: a for n, a in bundle.arrays["context"].items() if n != array}
        return replace(bundle, arrays={**bundle.arrays, "context": kept})

    change(saved, without)
    with pytest.raises(BundleError, match="damaged"):
        HybridModel.load(saved)


@pytest.mark.parametrize(
    ("part", "array"), [("context", "items.creator_row"), ("ranking", "creator")]
)
def test_what_was_kept_of_another_catalogue_is_refused(saved: Path, part: str, array: str) -> None:
    def shorter(bundle: Bundle) -> Bundle:
        kept = {**bundle.arrays[part], array: bundle.arrays[part][array][:-1]}
        return replace(bundle, arrays={**bundle.arrays, part: kept})

    change(saved, shorter)
    with pytest.raises(BundleError, match="of 79 items, not of 80"):
        HybridModel.load(saved)


def test_a_part_that_nobody_knows_is_refused(saved: Path) -> None:
    some: Arrays = {"x": np.zeros(1)}
    change(saved, lambda bundle: replace(bundle, arrays={**bundle.arrays, "surprise": some}))
    with pytest.raises(BundleError, match=r"unknown part surprise; it was changed.*fit again"):
        HybridModel.load(saved)


def test_a_table_that_nobody_knows_is_refused(saved: Path) -> None:
    table = pl.DataFrame({"x": [1]})
    change(saved, lambda bundle: replace(bundle, frames={**bundle.frames, "surprise": table}))
    with pytest.raises(BundleError, match="unknown part surprise"):
        HybridModel.load(saved)


# -- bundles of before -------------------------------------------------------------------


def as_schema_1(directory: Path) -> None:
    """As bundles were before they kept what follows from their tables."""

    def older(bundle: Bundle) -> Bundle:
        header = {n: value for n, value in bundle.header.items() if n != "derived"}
        arrays = {n: part for n, part in bundle.arrays.items() if n not in DERIVED}
        return replace(bundle, header=header, arrays=arrays)

    change(directory, older)
    manifest = json.loads((directory / MANIFEST).read_text())
    (directory / MANIFEST).write_text(json.dumps({**manifest, "schema": 1}))


def test_a_bundle_of_before_is_computed_again_and_saved_as_todays(
    model: HybridModel, saved: Path
) -> None:
    as_schema_1(saved)
    loaded = HybridModel.load(saved)
    user = model.dataset.user_ids.id(3)
    assert loaded.recommend(user=user) == model.recommend(user=user)
    loaded.save(saved)
    kept = load_bundle(saved)
    assert (kept.header["schema"], kept.header["derived"]) == (2, ["context", "ranking"])
    same(kept.arrays["context"], model.bundle().arrays["context"])


def test_a_bundle_of_today_that_does_not_say_what_it_keeps_is_damage(saved: Path) -> None:
    def silent(bundle: Bundle) -> Bundle:
        return replace(bundle, header={n: v for n, v in bundle.header.items() if n != "derived"})

    change(saved, silent)
    with pytest.raises(BundleError, match="'derived' is missing"):
        HybridModel.load(saved)
