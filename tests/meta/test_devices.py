"""One device for all networks: whom it reaches, what it leaves alone, and how near the results are."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import BaseModel
from tests.fusion.gate.batches import planted
from tests.fusion.maml.people import two_tastes
from tests.fusion.problem import problem
from torch import nn

from crossfade.errors import ConfigError
from crossfade.fusion.auto import AutoConfig, AutoFusion
from crossfade.fusion.base import FusionModel, LabelledSignals
from crossfade.fusion.gate.config import GateConfig
from crossfade.fusion.matrix import quality
from crossfade.fusion.registry import FUSIONS, fusion_kind, make_fusion
from crossfade.hybrid import HybridConfig
from crossfade.meta.devices import bases_on_device, fusions_on_device
from crossfade.training import loop
from crossfade.training.config import TrainConfig
from crossfade.training.dropout import Dropout

MOST_NDCG = 0.005
MOST_SPREADS = 0.1
"""What the docs promise of a GPU: NDCG@10, and the mean distance of scores in standard deviations."""

NETWORKS = sorted(name for name in FUSIONS if "train" in fusion_kind(name).Config.model_fields)

QUICK: dict[str, Any] = {"hidden": 8, "n_layers": 2, "user_dim": 4, "item_dim": 4}
LEARNS: dict[str, dict[str, Any]] = {
    name: {**QUICK, "train": {"epochs": 8, "lr": 0.01, "patience": 0, "device": "cpu"}}
    for name in NETWORKS
} | {"maml": {"hidden": 8, "n_episodes": 200, "meta_batch": 8, "train": {"epochs": 3}}}


def test_a_device_reaches_the_networks_among_the_bases_alone() -> None:
    network: dict[str, Any] = {"model": "two_tower", "train": {"lr": 0.1}}
    bases: dict[str, dict[str, Any]] = {"pop": {"model": "popularity"}, "ease": {}, "net": network}
    moved = {"model": "two_tower", "train": {"lr": 0.1, "device": "cpu"}}
    assert bases_on_device(bases, "cpu") == {**bases, "net": moved}
    assert network["train"] == {"lr": 0.1}  # what was given is left alone


def lists(name: str, seed: int, n: int = 160) -> LabelledSignals:
    """Lists that a model of that name learns something from."""
    if name == "auto":  # whose candidates are a gate, which reads context, and maml
        return problem(seed, n, 20, n_bases=2, padded=0)
    return two_tastes(n, seed) if name == "maml" else planted(seed, n)


# -- whom it reaches -------------------------------------------------------------------


def devices(
    settings: BaseModel, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every setting called device, however deep, and what it says."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from devices(value, (*path, name))
        elif name == "device":
            yield path, value


@pytest.mark.parametrize("name", FUSIONS)
def test_every_fusion_model_of_the_registry_is_moved_and_nothing_else_of_it(name: str) -> None:
    """Fails for a new model that names its device in a way that nobody moves."""
    moved = fusions_on_device({}, "cuda")
    before, after = make_fusion(name).config, make_fusion(name, moved.get(name)).config
    assert [device for _, device in devices(after)] == ["cuda"] * len(list(devices(before)))
    if name in NETWORKS:
        assert [path for path, _ in devices(after)] == [("train",)]
        train = before.train.changed(device="cuda")
        assert after == before.changed(train=train)
    elif name != "auto":
        assert name not in moved


def test_of_the_candidates_of_auto_the_networks_are_moved_and_defaults_stay() -> None:
    auto = AutoFusion(AutoConfig(**fusions_on_device({}, "cuda")["auto"]))
    default = AutoFusion()
    assert auto.config.candidates == default.config.candidates
    for name in default.config.candidates:
        here, there = (made._made(name).config.model_dump() for made in (default, auto))
        if "train" in here:
            assert there["train"].pop("device") == "cuda"
            here["train"].pop("device")
        assert there == here
    assert auto._made("meta").config.hidden == 64  # auto's own default, not the gate's


def test_what_was_set_stays_set() -> None:
    given: dict[str, dict[str, Any]] = {
        "meta": {"hidden": 7, "train": {"epochs": 3, "lr": 0.5}},
        "fwls": {"penalty": 2.0},
        "auto": {
            "candidates": ["ridge", "maml", "meta"],
            "depth": 5,
            "settings": {
                "maml": {"hidden": 9, "train": {"epochs": 2}},
                "ridge": {"penalty": 3.0},
                "rrf": {"offset": 10},
            },
        },
    }
    moved = fusions_on_device(given, "cpu")
    meta = GateConfig(**moved["meta"])
    assert meta == GateConfig(hidden=7, train=TrainConfig(epochs=3, lr=0.5, device="cpu"))
    assert moved["fwls"] == given["fwls"]
    assert moved["auto"]["depth"] == 5
    assert moved["auto"]["candidates"] == ["ridge", "maml", "meta"]
    nested = moved["auto"]["settings"]
    assert nested["ridge"] == {"penalty": 3.0}
    assert nested["rrf"] == {"offset": 10}  # no candidate, so nobody asks whether it is right
    assert nested["maml"]["hidden"] == 9
    assert nested["maml"]["train"] == TrainConfig(epochs=2, device="cpu").model_dump()
    assert nested["meta"]["train"]["lr"] == GateConfig().train.lr
    assert "train" not in given["auto"]["settings"]["ridge"]
    assert "device" not in given["meta"]["train"]


def test_wrong_settings_of_a_network_are_named() -> None:
    with pytest.raises(ConfigError, match=r"fusion\.meta: hiden is not a setting"):
        fusions_on_device({"meta": {"hiden": 7}}, "cpu")


def test_a_system_moves_its_bases_and_its_blends() -> None:
    config = HybridConfig(bases={"two_tower": {}, "ease": {}}).on_device("cpu")
    assert config.bases == {"two_tower": {"train": {"device": "cpu"}}, "ease": {}}
    settings = config.blend.fusion_settings
    assert sorted(settings) == sorted([*NETWORKS, "auto"])
    assert {settings[name]["train"]["device"] for name in NETWORKS} == {"cpu"}
    assert config.blend.changed(fusion_settings={}) == HybridConfig().blend


@pytest.mark.parametrize("name", [*NETWORKS, "auto"])
def test_the_device_that_is_asked_for_is_the_one_of_the_settings(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def resolve(device: str) -> torch.device:
        asked.append(device)
        return torch.device("cpu")

    monkeypatch.setattr(loop, "resolve_device", resolve)
    quick = {one: {**LEARNS[one], "train": {"epochs": 1}} for one in NETWORKS}
    quick["maml"]["n_episodes"] = 16
    auto = {"candidates": ["meta", "maml"], "n_folds": 2, "resamples": 100, "settings": quick}
    moved = fusions_on_device({**quick, "auto": auto}, "cuda")
    make_fusion(name, moved[name]).fit(lists(name, 0, 40), lists(name, 1, 40))
    assert asked
    assert set(asked) == {"cuda"}


# -- how near the results are ----------------------------------------------------------


def learned(name: str, device: str = "cpu") -> FusionModel[Any]:
    settings = {**LEARNS[name], "train": {**LEARNS[name]["train"], "device": device}}
    return make_fusion(name, settings).fit(lists(name, 0), lists(name, 1))


def near(one: FusionModel[Any], other: FusionModel[Any]) -> None:
    """Within what the docs promise, on lists that neither has seen; and something was learned."""
    test = lists(one.name, 2)
    scores = [model.forward(test.signals).score for model in (one, other)]
    first, second = (quality(score, test) for score in scores)
    assert abs(first - second) <= MOST_NDCG
    far = np.nanmean(np.abs(scores[0] - scores[1]))
    assert far <= MOST_SPREADS * np.nanstd(scores[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_rounding_as_on_another_device_stays_within_the_tolerance(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that sums in another order moves gradients in the last digits, at every step."""
    plain, step = learned(name), torch.optim.AdamW.step
    draws = torch.Generator().manual_seed(7)

    def jittered(self: torch.optim.AdamW, *args: Any) -> Any:
        for weight in (weight for group in self.param_groups for weight in group["params"]):
            if weight.grad is not None:
                weight.grad *= 1 + 1e-6 * torch.randn(weight.grad.shape, generator=draws)
        return step(self, *args)

    monkeypatch.setattr(torch.optim.AdamW, "step", jittered)
    other = learned(name)
    assert any(
        array.tobytes() != other.state()[key].tobytes() for key, array in plain.state().items()
    )
    near(plain, other)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", NETWORKS)
def test_a_gpu_ends_within_the_tolerance_of_the_cpu(name: str) -> None:
    on_cpu, on_gpu = learned(name), learned(name, "cuda")
    near(on_cpu, on_gpu)
    # It answers and is saved from the CPU, whatever trained it.
    state = on_gpu.state()
    again = make_fusion(name).restore(on_gpu.config.model_dump(), state)
    signals = lists(name, 2).signals
    assert again.forward(signals).score.tobytes() == on_gpu.forward(signals).score.tobytes()


GATES = [name for name in NETWORKS if issubclass(fusion_kind(name).Config, GateConfig)]


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize(("reading", "session"), [("plain", "mlp"), ("extractors", "attention")])
def test_no_gate_draws_from_a_gpu(name: str, reading: str, session: str) -> None:
    settings = {**QUICK, "reading": reading, "session": session, "train": {"epochs": 1}}
    fitted: Any = make_fusion(name, settings).fit(planted(0, n=40), planted(1, n=40))
    drops = [module for module in fitted._network.modules() if isinstance(module, nn.Dropout)]
    assert drops
    assert {type(module) for module in drops} == {Dropout}
