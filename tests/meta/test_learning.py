"""Learning a blend on a plan: what it learns from, when it learns nothing, and how it is kept."""

import sys
from dataclasses import replace
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from crossfade.config import Settings
from crossfade.data import Dataset
from crossfade.data.splits import Plan, ProtocolConfig, make_plan
from crossfade.data.world import WorldConfig, make_world
from crossfade.errors import ConfigError, DataError
from crossfade.fusion.base import Columns, Fused, FusionModel, LabelledSignals, Signals
from crossfade.fusion.registry import FUSIONS, make_fusion
from crossfade.meta import learning
from crossfade.meta.blending import BlendConfig, tune_blend
from crossfade.meta.chain import Material, gather
from crossfade.meta.learning import LearnedBlend, installed, learn
from crossfade.meta.track import TrackRecord

BASES: dict[str, dict[str, Any]] = {"popularity": {}, "item_knn": {}}
CONFIG = BlendConfig(n_candidates=5, n_earlier_blocks=1, min_requests=10)


class Spy(FusionModel[Settings]):
    """Remembers what it was given and scores by the first base."""

    name = "spy"
    Config = Settings
    given: ClassVar[list[tuple[LabelledSignals, LabelledSignals]]]

    def _fit(
        self, train: LabelledSignals, validation: LabelledSignals, rng: np.random.Generator
    ) -> None:
        self.given.append((train, validation))

    def forward(self, signals: Signals) -> Fused:
        return Fused(signals.score[:, :, 0], np.full_like(signals.score, np.nan))

    def _state(self) -> dict[str, Any]:
        return {}

    def _restore(self, state: dict[str, Any]) -> None: ...


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("crossfade.fusion.spies")
    module.Spy = Spy
    monkeypatch.setattr(Spy, "given", [], raising=False)
    monkeypatch.setitem(FUSIONS, "spy", "spies:Spy")
    monkeypatch.setitem(sys.modules, "crossfade.fusion.spies", module)


@pytest.fixture(scope="module")
def world() -> Dataset:
    config = WorldConfig(n_listeners=40, n_tracks=80, n_plays=2_500)
    return make_world(config, seed=3).dataset


@pytest.fixture(scope="module")
def plan(world: Dataset) -> Plan:
    return make_plan(world, ProtocolConfig(), seed=0)


@pytest.fixture(scope="module")
def material(plan: Plan) -> Material:
    return gather(plan, BASES, CONFIG, seed=0)


@pytest.fixture
def gathered(material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "gather", lambda *_: material)


# -- what is learned from --------------------------------------------------------------


@pytest.mark.usefixtures("gathered")
def test_models_learn_from_the_blocks_before_and_are_checked_on_calibrate(
    plan: Plan, material: Material
) -> None:
    found = learn(plan, BASES, CONFIG, ["spy"], seed=0)
    ((train, validation),) = Spy.given
    assert train is material.train
    assert validation is material.calibrate
    assert found.track is material.track
    blend = found.blend("spy")
    assert blend is not None
    assert (blend.name, blend.track) == ("spy", material.track)
    assert found.blend("majic") is None


@pytest.mark.usefixtures("gathered")
def test_the_static_choice_is_that_of_tuning_the_fuse_block_alone(plan: Plan) -> None:
    assert learn(plan, BASES, CONFIG, [], seed=0).choice == tune_blend(plan, BASES, CONFIG, seed=0)


# -- nothing to learn ------------------------------------------------------------------


@pytest.mark.usefixtures("gathered")
def test_with_too_few_requests_no_model_is_fitted_and_a_flag_says_so(
    plan: Plan, material: Material
) -> None:
    shortest = min(int(material.is_fuse.sum()), len(material.calibrate))
    found = learn(plan, BASES, CONFIG.changed(min_requests=shortest + 1), ["spy"], seed=0)
    assert found.models == {}
    assert found.blend("spy") is None
    assert not Spy.given
    assert any("too few requests to tune a blend" in flag for flag in found.choice.flags)
    enough = learn(plan, BASES, CONFIG.changed(min_requests=shortest), ["spy"], seed=0)
    assert enough.blend("spy") is not None
    assert not any("too few" in flag for flag in enough.choice.flags)


@pytest.mark.parametrize("block", ["fuse", "calibrate"])
def test_a_block_in_which_no_candidate_is_wanted_is_flagged_and_nothing_is_fitted(
    plan: Plan, material: Material, block: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(part: LabelledSignals, rows: Any) -> LabelledSignals:
        return replace(part, relevant=part.relevant & ~np.asarray(rows)[:, None])

    mute = (
        replace(material, train=without(material.train, material.is_fuse))
        if block == "fuse"
        else replace(
            material, calibrate=without(material.calibrate, np.ones(len(material.calibrate), bool))
        )
    )
    monkeypatch.setattr(learning, "gather", lambda *_: mute)
    found = learn(plan, BASES, CONFIG, ["spy"], seed=0)
    assert found.models == {}
    assert not Spy.given
    flag = f"no request of the {block} block wants any of its candidates"
    assert [one.startswith(flag) for one in found.choice.flags].count(True) == 1


def test_a_wrong_model_is_named_before_any_base_is_fitted(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> Material:
        raise AssertionError("bases were fitted for nothing")

    monkeypatch.setattr(learning, "gather", never)
    with pytest.raises(ConfigError, match="majic"):
        learn(plan, BASES, CONFIG, ["majic"], seed=0)
    wrong = CONFIG.changed(fusion_settings={"meta": {"hiden": 3}})
    with pytest.raises(ConfigError, match="hiden is not a setting"):
        learn(plan, BASES, wrong, ["meta"], seed=0)


# -- keeping ---------------------------------------------------------------------------


@pytest.fixture
def blend(material: Material) -> LearnedBlend:
    model = make_fusion("fwls").fit(material.train, material.calibrate)
    return LearnedBlend("fwls", model, material.track)


def test_a_packed_blend_comes_back(blend: LearnedBlend, material: Material) -> None:
    header, groups = blend.packed()
    again = LearnedBlend.unpacked(header, groups)
    assert again is not None
    assert again.name == "fwls"
    assert again.calibrator is None
    np.testing.assert_array_equal(again.track.gain, blend.track.gain)
    test = material.calibrate.signals
    np.testing.assert_array_equal(again.model.forward(test).score, blend.model.forward(test).score)
    assert LearnedBlend.unpacked(None, groups) is None
    with pytest.raises(KeyError):
        LearnedBlend.unpacked(header, {"fusion": groups["fusion"]})


def test_a_record_moves_with_its_people(blend: LearnedBlend) -> None:
    # Today's users: the old ones turned round, and a new one in front.
    n = len(blend.track.n)
    rows = np.append([-1], np.arange(n)[::-1]).astype(np.int32)
    moved = blend.moved(rows)
    assert moved.model is blend.model
    assert moved.track.n.tolist() == [0, *blend.track.n[::-1].tolist()]
    np.testing.assert_array_equal(moved.track.gain[1:], blend.track.gain[::-1])
    assert (moved.track.gain[0] == 0).all()
    # Everybody's mean, which strangers get, is still everybody's.
    np.testing.assert_allclose(moved.track.mean, blend.track.mean)


def test_people_who_left_take_their_record_with_them() -> None:
    track = TrackRecord(np.array([[1.0], [2.0], [4.0]]), np.array([1, 2, 4]))
    moved = track.moved(np.array([2, -1], dtype=np.int32))
    assert moved.n.tolist() == [4, 0]
    assert moved.gain.tolist() == [[4.0], [0.0]]


def test_lists_with_other_columns_are_refused_by_name(blend: LearnedBlend) -> None:
    known = blend.model.columns
    blend.check(known)
    other = Columns(known.bases, known.user, (*known.item[1:], "loudness"))
    with pytest.raises(DataError, match=rf"new: loudness; gone: {known.item[0]}\); fit in full"):
        blend.check(other)
    # The same names in another order are other columns too.
    with pytest.raises(DataError, match="in another order"):
        blend.check(Columns(known.bases[::-1], known.user, known.item))


def test_models_whose_extra_is_missing_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["static", "lambdamart", "meta"]
    monkeypatch.setattr(learning, "find_spec", lambda _: object())
    assert installed(names) == names
    monkeypatch.setattr(learning, "find_spec", lambda _: None)
    assert installed(names) == ["static", "meta"]
