"""Every registered fusion model keeps every promise of the protocol."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.fusion.problem import CLASSIC, NETWORKS, NOTHING_LEARNED, SMALL, fit, problem, promises

from crossfade.errors import ConfigError, NotFittedError
from crossfade.fusion.base import Fused, FusionModel
from crossfade.fusion.registry import FUSIONS, fusion_kind, make_fusion

every_model = pytest.mark.parametrize("name", FUSIONS)


@pytest.fixture(scope="module")
def models() -> dict[str, FusionModel[Any]]:
    return {name: fit(name, problem(0), problem(1)) for name in FUSIONS}


def same(one: Fused, other: Fused) -> None:
    for field in ("score", "weights", "confidence", "uncertainty", "residual"):
        np.testing.assert_equal(getattr(one, field), getattr(other, field))


def same_state(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert array.dtype == other[name].dtype
        np.testing.assert_array_equal(array, other[name])


# -- promises --------------------------------------------------------------------------


@every_model
def test_scores_and_weights_are_what_the_protocol_says(models: dict[str, Any], name: str) -> None:
    signals = problem(2).signals
    fused = models[name].forward(signals)
    promises(fused, signals)
    scored = np.isfinite(fused.score).mean()
    assert scored > 0.5
    weightless = np.isnan(fused.weights).all()
    assert weightless == (name in {"ridge", "fwls", "lambdamart"})
    if not weightless:
        assert (np.isnan(fused.score) == np.isnan(fused.weights).all(axis=-1)).all()


@every_model
def test_a_restored_model_says_the_same_to_the_bit(models: dict[str, Any], name: str) -> None:
    model = models[name]
    again = fusion_kind(name).restore(model.config.model_dump(), model.state())
    same_state(again.state(), model.state())
    same(again.forward(problem(2).signals), model.forward(problem(2).signals))


@every_model
def test_a_batch_of_one_equals_a_batch_of_many(models: dict[str, Any], name: str) -> None:
    signals = problem(2).signals
    together = models[name].forward(signals)
    for place in (0, 5, 23):
        alone = models[name].forward(signals.take(np.array([place])))
        tolerance = 1e-5 if name in NETWORKS else 0.0
        for one, many in ((alone.score, together.score), (alone.weights, together.weights)):
            np.testing.assert_allclose(one[0], many[place], rtol=tolerance, atol=tolerance)


KEEP_APART = {"static", "ridge", "fwls", "lambdamart", "meta", "personalised", "auto"}


@every_model
def test_requests_that_are_kept_apart_are_the_same_to_the_last_bit_whoever_asks_too(
    models: dict[str, Any], name: str
) -> None:
    model = models[name]
    assert model.keeps_apart or name not in KEEP_APART
    if not model.keeps_apart:
        return
    # Some lists are half as long: a list alone has no padding, and sums must not notice it.
    signals = problem(2, n_items=75, padded=38).signals
    together = model.forward(signals)
    for place in range(len(signals.mask)):
        n = int(signals.mask[place].sum())
        alone = model.forward(signals.take(np.array([place])).lists(np.arange(n)[None, :]))
        for part in ("score", "weights", "confidence", "uncertainty", "residual", "brought"):
            one, many = getattr(alone, part), getattr(together, part)
            if one is not None:
                np.testing.assert_array_equal(one[0], many[place, :n], part)


@every_model
def test_the_order_of_candidates_does_not_matter(models: dict[str, Any], name: str) -> None:
    signals = problem(2).signals
    order = np.random.default_rng(0).permutation(signals.mask.shape[1])
    assert signals.reciprocal_rank is not None
    assert signals.item is not None
    mixed = replace(
        signals,
        score=signals.score[:, order],
        mask=signals.mask[:, order],
        reciprocal_rank=signals.reciprocal_rank[:, order],
        item=signals.item[:, order],
    )
    straight, crooked = models[name].forward(signals), models[name].forward(mixed)
    np.testing.assert_array_equal(crooked.score, straight.score[:, order])
    np.testing.assert_array_equal(crooked.weights, straight.weights[:, order])


@every_model
def test_what_stands_in_the_padding_does_not_matter(models: dict[str, Any], name: str) -> None:
    signals = problem(2).signals
    rubbish = signals.score.copy()
    rubbish[~signals.mask] = 1e6
    same(models[name].forward(replace(signals, score=rubbish)), models[name].forward(signals))


@every_model
def test_scoring_changes_nothing(models: dict[str, Any], name: str) -> None:
    signals, model = problem(2).signals, models[name]
    before = {key: value.copy() for key, value in model.state().items()}
    given = {key: np.array(value) for key, value in vars(signals).items() if key != "columns"}
    first = model.forward(signals)
    same(model.forward(signals), first)
    same_state(model.state(), before)
    for key, value in given.items():
        np.testing.assert_array_equal(getattr(signals, key), value)


@every_model
def test_equal_seeds_give_equal_models_and_a_second_fit_forgets(
    models: dict[str, Any], name: str
) -> None:
    again = make_fusion(name, SMALL.get(name))
    again.fit(problem(7, n=30), problem(8)).fit(problem(0), problem(1))
    same_state(again.state(), models[name].state())


@every_model
def test_no_requests_are_no_scores(models: dict[str, Any], name: str) -> None:
    nobody = problem(2).signals.take(np.array([], dtype=np.int64))
    promises(models[name].forward(nobody), nobody)


@every_model
def test_signals_of_other_bases_are_refused(models: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match="was fitted on"):
        models[name].forward(problem(2, n_bases=2).signals)


@pytest.mark.parametrize("name", [name for name in CLASSIC if name not in NOTHING_LEARNED])
def test_an_unfitted_model_says_so(name: str) -> None:
    with pytest.raises(NotFittedError, match=name):
        make_fusion(name).forward(problem().signals)


# -- the register ----------------------------------------------------------------------


@every_model
def test_names_are_those_of_the_classes(name: str) -> None:
    kind = fusion_kind(name)
    assert kind.name == name
    assert issubclass(kind, FusionModel)


def test_an_unknown_name_is_answered_with_the_choices() -> None:
    with pytest.raises(ConfigError, match=r'no fusion model "majic"; choose from .*rrf.*static'):
        make_fusion("majic")


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ConfigError, match=r"fusion\.combsum: .*squared is not a setting"):
        make_fusion("combsum", {"squared": True})


def test_the_oracle_is_not_served() -> None:
    with pytest.raises(ConfigError, match="evaluation only"):
        make_fusion("oracle")


def test_importing_the_register_loads_no_learner() -> None:
    code = "import sys, crossfade.fusion.registry; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {module.partition(".")[0] for module in done.stdout.split()}
    assert loaded.isdisjoint({"torch", "lightgbm", "sklearn"})
