"""A request in a situation: heard where the blend learned with it, and refused elsewhere."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossfade.cli.app import run
from crossfade.data import Dataset
from crossfade.data.world import WorldConfig, make_world
from crossfade.errors import ConfigError
from crossfade.hybrid import HybridConfig, HybridModel

GATE = {"hidden": 8, "n_layers": 1, "user_dim": 4, "item_dim": 4}
BASES: dict[str, dict[str, Any]] = {"popularity": {}, "genre_item_knn": {}, "genre_popularity": {}}
USER = "listener-03"
DEVICES = ("car", "desktop", "phone", "speaker")


@pytest.fixture(scope="module")
def log() -> Dataset:
    return make_world(WorldConfig(n_listeners=60, n_tracks=150, n_plays=4_000), seed=5).dataset


def fitted(log: Dataset, fusion: str, **settings: Any) -> HybridModel:
    blend = {
        "fusion": fusion,
        "fusion_settings": {fusion: settings},
        "n_candidates": 20,
        "n_earlier_blocks": 1,
        "min_requests": 5,
    }
    return HybridModel.fit(log, HybridConfig(bases=BASES, blend=blend), seed=1)


@pytest.fixture(scope="module")
def model(log: Dataset) -> HybridModel:
    return fitted(log, "meta", **GATE, train={"epochs": 8, "lr": 0.02})


def test_the_situation_reaches_the_blend(model: HybridModel) -> None:
    learned = model.blend.learned
    assert learned is not None
    reader = learned.lists.reader
    at = [reader.user_columns.index(f"context_device={device}") for device in DEVICES]
    for place, device in enumerate(DEVICES):
        query = model.query(USER, context={"device": device})
        assert reader.user(query)[0, at].tolist() == np.eye(4)[place].tolist()
    rest = np.setdiff1d(np.arange(len(reader.user_columns)), at)
    np.testing.assert_array_equal(
        reader.user(query)[0, rest], reader.user(model.query(USER))[0, rest]
    )


def test_lists_and_reasons_follow_it(model: HybridModel) -> None:
    said = {
        device: model.recommend(user=USER, k=8, context={"device": device}, explain=True)
        for device in DEVICES
    }
    assert len({tuple(line.score for line in lines) for lines in said.values()}) == len(DEVICES)
    free = model.config.ranking.changed(max_per_creator=0)
    for device in DEVICES:
        context = {"device": device}
        (line, *_) = model.recommend(user=USER, k=1, context=context, explain=True, ranking=free)
        assert model.explain(USER, line.item_id, context=context) == line
    # Strangers may say where they are as well; nothing of it stays with the system.
    car, phone = (model.recommend(items=["track-001"], context={"device": d}) for d in DEVICES[::2])
    assert [line.score for line in car] != [line.score for line in phone]
    assert model.recommend(user=USER, k=8, context={}) == model.recommend(user=USER, k=8)


def test_what_the_blend_did_not_learn_with_is_refused(model: HybridModel, log: Dataset) -> None:
    with pytest.raises(ConfigError, match='knows no "weather"; it learned with device'):
        model.recommend(user=USER, context={"weather": "rain"})
    with pytest.raises(
        ConfigError, match="device is one of car, desktop, phone, speaker, got 'tv'"
    ):
        model.explain(USER, "track-001", context={"device": "tv"})
    plain = replace(log, events=log.events.drop("context_device"))
    unlearned = HybridModel(
        log, model.config, model.bases, model.blend.choice, exclude_seen=True, seed=1
    )
    for other in (fitted(plain, "fwls"), unlearned):
        with pytest.raises(ConfigError, match="it learned without any situation"):
            other.recommend(user=USER, context={"device": "phone"})


def test_the_command_takes_it(
    model: HybridModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model.save(tmp_path / "bundle")

    def ask(*context: str) -> tuple[int, str, str]:
        flags = [part for said in context for part in ("--context", said)]
        code = run(["recommend", "--bundle", str(tmp_path / "bundle"), "--user", USER, *flags])
        return code, *capsys.readouterr()

    expected = model.recommend(user=USER, context={"device": "car"})
    code, out, err = ask("device = car")
    assert (code, err) == (0, "")
    assert [text.split()[-2] for text in out.splitlines()] == [f"{x.score:.3f}" for x in expected]
    assert out != ask()[1]
    code, out, err = ask("device=tv", "wether=rain")
    assert (code, out) == (1, "")
    assert 'knows no "wether"' in err
    assert "got 'tv'" in err
    for wrong in ("device", "=car", "device="):
        code, _, err = ask(wrong)
        assert code == 2
        assert "--context" in err


def test_the_answer_does_not_repeat_the_situation(
    model: HybridModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model.save(tmp_path / "bundle")
    said = ["--user", USER, "--context", "device=speaker", "--json"]
    assert run(["recommend", "--bundle", str(tmp_path / "bundle"), *said]) == 0
    assert "speaker" not in capsys.readouterr().out
