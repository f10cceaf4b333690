"""The whole system with a learned blend: fit, save, load, go on; and nothing from the future."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset
from crossfade.data.splits import ProtocolConfig, make_plan
from crossfade.data.world import WorldConfig, make_world
from crossfade.errors import BundleError, DataError
from crossfade.fusion import auto
from crossfade.fusion.base import LabelledSignals
from crossfade.fusion.matrix import quality
from crossfade.fusion.registry import make_fusion
from crossfade.fusion.verdict import Verdict, judge
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.meta.blending import BlendConfig
from crossfade.meta.chain import Material, gather
from crossfade.store import load_bundle, save_bundle

GATE = {"hidden": 8, "n_layers": 1, "user_dim": 4, "item_dim": 4, "train": {"epochs": 2}}
# Labels out of alphabetical order, so that a bundle that sorts them is noticed.
BASES: dict[str, dict[str, Any]] = {
    "well_known": {"model": "popularity"},
    "item_knn": {},
    "by_genre": {"model": "genre_popularity"},
}
BLEND: dict[str, Any] = {
    "fusion": "meta",
    "fusion_settings": {"meta": GATE},
    "n_candidates": 10,
    "n_earlier_blocks": 1,
    "min_requests": 5,
}
CONFIG = HybridConfig(bases=BASES, blend=BLEND)


@pytest.fixture(scope="module")
def logs() -> tuple[Dataset, Dataset]:
    """A log, and the same log some weeks later."""
    now = make_world(WorldConfig(n_listeners=40, n_tracks=80, n_plays=3_000), seed=3).dataset
    first = pl.arange(0, now.n_events, eager=True) < now.n_events * 4 // 5
    return now.where(first), now


@pytest.fixture(scope="module")
def model(logs: tuple[Dataset, Dataset], tmp_path_factory: pytest.TempPathFactory) -> HybridModel:
    model = HybridModel.fit(logs[0], CONFIG, seed=1)
    model.save(tmp_path_factory.mktemp("old") / "bundle")
    return model


@pytest.fixture(scope="module")
def updated(model: HybridModel, logs: tuple[Dataset, Dataset]) -> HybridModel:
    return HybridModel.update(model, logs[1], seed=2)


def lists(model: HybridModel) -> list[Any]:
    """Lists of everybody, of strangers, and of people who name a taste."""
    genre = str(model.dataset.items["genres"].explode().drop_nulls()[0])
    item = model.dataset.item_ids.id(3)
    return [
        *(model.recommend(user=user, k=5) for user in model.dataset.user_ids.ids),
        model.recommend(k=5),
        model.recommend(items=[item], k=5),
        model.recommend(genres=[genre], k=5),
    ]


# -- serving ---------------------------------------------------------------------------


def test_the_learned_blend_serves_and_says_who_spoke(model: HybridModel) -> None:
    assert model.learned is not None
    assert model.blend.name == "meta"
    for user in model.dataset.user_ids.ids.head(10):
        lines = model.recommend(user=user, k=5)
        assert [line.rank for line in lines] == [1, 2, 3, 4, 5]
        scores = [line.score for line in lines]
        assert scores == sorted(scores, reverse=True)
        for line in lines:
            assert sum(line.weights.values()) == pytest.approx(1, abs=1e-5)


def test_who_names_a_genre_gets_the_static_blend(model: HybridModel) -> None:
    genre = str(model.dataset.items["genres"].explode().drop_nulls()[0])
    user = model.dataset.user_ids.id(0)
    static = HybridModel(
        model.dataset,
        model.config,
        model.bases,
        model.blend.choice,
        exclude_seen=model.blend.exclude_seen,
        seed=1,
    )
    stated = model.recommend(user=user, genres=[genre])
    assert stated == static.recommend(user=user, genres=[genre])
    assert all(line.probability is None for line in stated)
    assert model.recommend(user=user) != static.recommend(user=user)


def test_a_given_choice_learns_nothing(logs: tuple[Dataset, Dataset], model: HybridModel) -> None:
    static = HybridModel.fit(logs[0], CONFIG, choice=model.blend.choice)
    assert static.learned is None
    assert static.blend.name == "static"
    both = HybridModel.fit(
        logs[0], CONFIG, seed=1, choice=model.blend.choice, learned=model.learned
    )
    assert lists(both) == lists(model)


# -- keeping ---------------------------------------------------------------------------


def test_a_loaded_system_gives_identical_lists(model: HybridModel, tmp_path: Path) -> None:
    model.save(tmp_path / "one")
    loaded = HybridModel.load(tmp_path / "one")
    assert loaded.blend.name == "meta"
    assert list(loaded.bases) == list(BASES)
    assert lists(loaded) == lists(model)
    loaded.save(tmp_path / "two")
    same_bundle(tmp_path / "one", tmp_path / "two")


def same_bundle(one: Path, other: Path) -> None:
    """Everything but the version, which is new each time."""
    first, second = load_bundle(one), load_bundle(other)
    for key, value in first.header.items():
        assert key == "version" or second.header[key] == value
    assert {"fusion", "track"} <= first.arrays.keys() == second.arrays.keys()
    for group, arrays in first.arrays.items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, second.arrays[group][name])


def test_equal_seeds_give_equal_systems(
    model: HybridModel, logs: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    HybridModel.fit(logs[0], CONFIG, seed=1).save(tmp_path / "again")
    model.save(tmp_path / "first")
    same_bundle(tmp_path / "first", tmp_path / "again")


@pytest.mark.parametrize("group", ["fusion", "track"])
def test_a_bundle_without_a_part_of_its_blend_is_damaged(
    model: HybridModel, tmp_path: Path, group: str
) -> None:
    model.save(tmp_path)
    bundle = load_bundle(tmp_path)
    del bundle.arrays[group]
    save_bundle(bundle, tmp_path)
    with pytest.raises(BundleError, match="damaged"):
        HybridModel.load(tmp_path)


# -- too little to learn from ----------------------------------------------------------


def test_with_too_few_requests_the_static_blend_serves_and_says_why(
    logs: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    few = CONFIG.changed(blend={**BLEND, "min_requests": 1000})
    model = HybridModel.fit(logs[0], few)
    assert model.learned is None
    assert model.blend.name == "static"
    assert any("too few requests" in flag for flag in model.blend.choice.flags)
    model.save(tmp_path)
    loaded = HybridModel.load(tmp_path)
    assert loaded.learned is None
    assert loaded.blend.choice == model.blend.choice
    assert lists(loaded) == lists(model)


# -- going on --------------------------------------------------------------------------


def test_an_update_keeps_the_model_and_moves_the_record_to_todays_rows(
    model: HybridModel, updated: HybridModel, logs: tuple[Dataset, Dataset]
) -> None:
    old, new = model.learned, updated.learned
    assert old is not None
    assert new is not None
    assert new.model is old.model
    assert new.calibrator is old.calibrator
    before, now = (log.user_ids for log in logs)
    for row in range(len(now)):
        was = int(before.rows(now.ids[row : row + 1])[0])
        expected = (old.track.gain[was], old.track.n[was]) if was >= 0 else (0, 0)
        np.testing.assert_array_equal(new.track.gain[row], expected[0])
        assert new.track.n[row] == expected[1]
    assert old.track.n.sum() > 0


def test_an_updated_system_serves_the_learned_blend_and_is_kept(
    updated: HybridModel, tmp_path: Path
) -> None:
    assert updated.blend.name == "meta"
    updated.save(tmp_path)
    assert lists(HybridModel.load(tmp_path)) == lists(updated)


def test_rows_that_move_take_their_records_along(
    model: HybridModel, logs: tuple[Dataset, Dataset]
) -> None:
    """Somebody whose id sorts before all others pushes everybody one row on."""
    events = (
        logs[1]
        .events.with_columns(
            user_id=pl.Series(logs[1].user_ids.decode(logs[1].events["user_row"].to_numpy())),
            item_id=pl.Series(logs[1].item_ids.decode(logs[1].events["item_row"].to_numpy())),
        )
        .drop("user_row", "item_row", "session_row", "strength")
    )
    newcomer = events.tail(1).with_columns(user_id=pl.lit("!first"))
    items = logs[1].items.with_columns(item_id=logs[1].item_ids.ids)
    pairs = logs[1].friends
    assert pairs is not None
    friends = pairs.select(
        user_id=pl.Series(logs[1].user_ids.decode(pairs["user_row"].to_numpy())),
        friend_id=pl.Series(logs[1].user_ids.decode(pairs["friend_row"].to_numpy())),
    )
    grown = Dataset.build(
        pl.concat([events, newcomer]),
        items,
        friends=friends,
        name=logs[1].name,
        target=logs[1].target,
    )
    assert grown.user_ids.row("!first") == 0
    moved = HybridModel.update(model, grown, seed=2)
    assert moved.learned is not None
    assert model.learned is not None
    assert moved.learned.track.n[0] == 0
    for user in grown.user_ids.ids[1:]:
        now, then = grown.user_ids.row(user), model.dataset.user_ids.row(user)
        assert moved.learned.track.n[now] == model.learned.track.n[then]


def test_a_catalogue_with_other_columns_needs_a_full_fit(
    model: HybridModel, logs: tuple[Dataset, Dataset]
) -> None:
    audio = [name for name in logs[1].items.columns if name in {"energy", "valence", "tempo"}]
    assert audio
    features = {"energy", "valence", "danceability", "acousticness", "instrumentalness"}
    features |= {"liveness", "speechiness", "tempo"}
    kept = [name for name in logs[1].items.columns if name not in features]
    bare = replace(logs[1], items=logs[1].items.select(kept))
    with pytest.raises(
        DataError, match=r"meta learned to blend with other columns .*gone: .*energy"
    ):
        HybridModel.update(model, bare)


# -- the future ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def material(logs: tuple[Dataset, Dataset]) -> Material:
    plan = make_plan(logs[1], ProtocolConfig(), seed=0)
    return gather(plan, BASES, BlendConfig(n_candidates=10, n_earlier_blocks=1), seed=0)


def told(part: LabelledSignals, *, answers: bool) -> LabelledSignals:
    """With a column more, which holds what will be wanted, or nothing."""
    signals = part.signals
    assert signals.item is not None
    column = part.relevant if answers else np.full(part.relevant.shape, np.nan)
    names = replace(signals.columns, item=(*signals.columns.item, "canary"))
    item = np.concatenate([signals.item, column[:, :, None].astype(np.float32)], axis=-1)
    return replace(part, signals=replace(signals, item=item, columns=names))


CANARIES: dict[str, dict[str, Any]] = {
    "meta": GATE,
    "lambdamart": {"leaves": [4], "min_data": [5], "max_trees": 8},
    "auto": {
        "n_folds": 2,
        "resamples": 100,
        "settings": {"meta": GATE, "lambdamart": {"leaves": [4], "min_data": [5], "max_trees": 8}},
    },
}


@pytest.mark.parametrize("name", CANARIES)
def test_a_column_that_knows_the_future_gives_no_lift_where_training_never_saw_it(
    material: Material, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lightgbm")

    def letting_serve(*given: Any, **more: Any) -> tuple[Verdict, ...]:
        return tuple(replace(verdict, serves=True) for verdict in judge(*given, **more))

    monkeypatch.setattr(auto, "judge", letting_serve)  # even where it would not be let to
    train, blind = told(material.train, answers=False), told(material.calibrate, answers=False)
    canary = told(material.calibrate, answers=True)
    honest = make_fusion(name, CANARIES[name]).fit(train, blind)
    tempted = make_fusion(name, CANARIES[name]).fit(train, canary)
    expected = honest.forward(blind.signals).score
    np.testing.assert_array_equal(tempted.forward(canary.signals).score, expected)
    # The canary can sing: told in training, it is heard.
    fooled = make_fusion("lambdamart", CANARIES["lambdamart"])
    fooled.fit(told(material.train, answers=True), canary)
    assert quality(fooled.forward(canary.signals).score, canary) > quality(expected, canary) + 0.05
