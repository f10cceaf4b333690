"""What bases brought, family by family, against what a pencil or another route gives."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fusion.gate import gates
from tests.fusion.gate.gates import noisy, planted
from tests.fusion.problem import NAN, fit, plain, problem
from tests.fusion.test_contributions import five

from crossfade.fusion.base import Fused, Signals
from crossfade.fusion.combsum import CombSum, CombSumConfig
from crossfade.fusion.lambdamart import LambdaMART, LambdaMARTConfig
from crossfade.fusion.rrf import RRF
from crossfade.fusion.static import StaticBlend
from crossfade.fusion.static_tuned import Static
from crossfade.types import Doubles, Floats


def one(signals: Signals, place: int = 0) -> Signals:
    return signals.take(np.array([place]))


def everywhere(model: Any, signals: Signals, fused: Fused | None = None) -> Any:
    return model.contributions(signals, np.arange(signals.mask.shape[1]), fused)


# -- weighted means --------------------------------------------------------------------


def static(weights: list[float], signals: Signals) -> Static:
    model = Static()
    model.columns, model.scaling = signals.columns, "zscore"
    model.blend = StaticBlend(np.array(weights, dtype=np.float32))
    return model


def test_a_static_blend_by_hand() -> None:
    # Weights 1/4 and 3/4; the last candidate only base 0 can score, so its weight there is 1.
    signals = plain([[[2.0, 4.0], [0.0, -4.0], [1.0, NAN]]]).signals
    found = everywhere(static([0.25, 0.75], signals), signals)
    np.testing.assert_allclose(found.base, [[0.5, 3.0], [0.0, -3.0], [1.0, 0.0]])
    np.testing.assert_allclose(found.residual, 0, atol=1e-12)
    # On average base 0 brings 1/2 to what it can score, and base 1 brings 0.
    np.testing.assert_allclose(found.centred, [[0.0, 3.0], [-0.5, -3.0], [0.5, 0.0]])
    np.testing.assert_allclose(found.centred_residual, 0.5)


def test_what_is_explained_are_the_weights_that_acted() -> None:
    signals = plain([[[2.0, 4.0], [0.0, -4.0]]]).signals
    other = static([1.0, 0.0], signals).forward(signals)
    found = everywhere(static([0.25, 0.75], signals), signals, other)
    np.testing.assert_allclose(found.base, [[2, 0], [0, 0]])


@pytest.mark.parametrize("scaling", ["zscore", "reciprocal_rank"])
@pytest.mark.parametrize("name", ["static", "learned_weights", "adaptive", "confidence_weighted"])
def test_what_bases_brought_is_on_the_scale_that_was_chosen(name: str, scaling: str) -> None:
    model, signals = fit(name, problem(0), problem(1)), one(problem(2).signals, 1)
    model.scaling = scaling
    fused, found = model.forward(signals), everywhere(model, signals)
    np.testing.assert_allclose(found.base.sum(axis=-1), fused.score[0], atol=1e-6)


def test_reciprocal_rank_fusion_by_hand() -> None:
    lists = plain([[[3.0, 1.0], [2.0, NAN], [1.0, 2.0]]], [[True, False, False]])
    found = everywhere(RRF().fit(lists, lists), lists.signals)
    expected = [[1 / 61, 1 / 62], [1 / 62, 0], [1 / 63, 1 / 61]]
    np.testing.assert_allclose(found.base, expected, rtol=1e-6)


@pytest.mark.parametrize(("rule", "times"), [("sum", [1, 1, 1]), ("mnz", [2, 1, 2])])
def test_comb_sum_by_hand(rule: Any, times: list[int]) -> None:
    lists = plain([[[3.0, 1.0], [2.0, NAN], [1.0, 5.0]]], [[True, False, False]])
    found = everywhere(CombSum(CombSumConfig(rule=rule)).fit(lists, lists), lists.signals)
    lowest_to_best = np.array([[1, 0], [0.5, 0], [0, 1]])
    np.testing.assert_allclose(found.base, lowest_to_best * np.array(times)[:, None])


def test_an_adapted_gate_is_explained_by_its_own_weights() -> None:
    model, lists = fit("maml", problem(0), problem(1)), problem(2)
    adapted = model.adapt(lists.signals, lists.relevant)
    adapted.weights["head_bias"][:] = [3.0, 0.0, -3.0]
    signals = one(lists.signals, 1)
    fused = model.forward_adapted(signals, adapted)
    assert np.abs(fused.score - model.forward(signals).score).max() > 0.1
    found = everywhere(model, signals, fused)
    np.testing.assert_allclose(found.base.sum(axis=-1), fused.score[0], rtol=1e-5)


# -- gates -----------------------------------------------------------------------------


def says(network: Any, batch: Any) -> Any:
    """What each base says, before it is weighed; the hypernetwork keeps its parts positive."""
    of_score, of_rank = network.of_score, network.of_rank
    if type(network).__name__ == "Hypernetwork":
        of_score, of_rank = (torch.nn.functional.softplus(part) for part in (of_score, of_rank))
    return of_score * batch.score + of_rank * batch.rank


@pytest.mark.parametrize("name", ["meta", "attention", "hypernetwork", "personalised"])
def test_a_gate_brings_sharpness_times_weight_times_what_the_base_says(name: str) -> None:
    model = gates.fit(name, gates.UNTRAINED)
    noisy(model._network)
    signals = one(planted(2).signals)
    fused, found = model.forward(signals), everywhere(model, signals)
    network, batch = model._network, model._read(signals)
    with torch.no_grad():
        said = says(network, batch)[0].numpy()
        sharpness = float(torch.nn.functional.softplus(network.sharpness))
        factor = np.full(len(said), sharpness)
        if name == "hypernetwork":  # its scales need not sum to 1
            scale = network.generate(network.context(batch)).chunk(4, dim=-1)[0]
            share = network.static_weights(batch.there)
            start = torch.log_softmax(network.start, dim=0).expand(share.shape)
            share = torch.softmax(start.masked_fill(~batch.there, -torch.inf), dim=-1).nan_to_num()
            acting = share * torch.nn.functional.softplus(scale + np.log(np.expm1(1.0)))
            factor = factor * acting.sum(dim=-1)[0].numpy()
    scored = ~np.isnan(fused.score[0])
    expected = factor[:, None] * fused.weights[0] * said
    gates.close(found.base[scored], expected[scored])
    gates.close(found.residual[scored], np.array(fused.residual)[0, scored])
    assert np.abs(found.residual[scored]).max() > 0.01


# -- regressions -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ridge", "fwls"])
@settings(max_examples=30)
@given(place=st.integers(0, 11), base=st.integers(0, 2), request=st.integers(0, 23))
def test_a_regressions_contribution_is_the_fall_if_the_base_could_not_score_the_item(
    name: str, place: int, base: int, request: int
) -> None:
    model = LINEAR[name]
    signals = one(problem(2).signals, request)
    score, ranks = signals.score.copy(), np.array(signals.reciprocal_rank)
    score[0, place, base], ranks[0, place, base] = NAN, NAN
    without = model.forward(replace(signals, score=score, reciprocal_rank=ranks)).score[0, place]
    if np.isnan(without):  # it was the only one
        return
    fall = model.forward(signals).score[0, place] - without
    found = everywhere(model, signals)
    assert found.base[place, base] == pytest.approx(fall, abs=1e-6)


LINEAR: dict[str, Any] = {name: fit(name, problem(0), problem(1)) for name in ("ridge", "fwls")}


def test_the_residual_of_ridge_is_the_same_everywhere() -> None:
    intercept, *others = LINEAR["ridge"].coefficients
    found = everywhere(LINEAR["ridge"], one(problem(2).signals, 1))
    scored = ~np.isnan(found.residual)
    np.testing.assert_allclose(found.residual[scored], intercept + sum(others[2::3]), atol=1e-6)


def test_the_residual_of_fwls_is_what_context_says_alone() -> None:
    # Bases that say 0 of everything leave intercept and context.
    signals = one(problem(2).signals, 1)
    silent = replace(signals, score=np.where(signals.available, np.float32(0), np.float32(NAN)))
    alone, found = LINEAR["fwls"].forward(silent).score[0], everywhere(LINEAR["fwls"], signals)
    np.testing.assert_allclose(found.residual, alone, atol=1e-6)
    assert np.nanstd(alone) > 1e-3


# -- trees -----------------------------------------------------------------------------


def stumps(**changed: Any) -> LambdaMART:
    """Trees with one split: each speaks of one column, and Shapley values can be counted out."""
    settings: dict[str, Any] = {"leaves": (2,), "min_data": (2,), "max_trees": 60, "patience": 60}
    config = LambdaMARTConfig(**{**settings, "lambda_l2": 0.1, "learning_rate": 0.3, **changed})
    return LambdaMART(config).fit(problem(0, n=60), problem(1, n=40))


def by_column(model: LambdaMART, signals: Signals) -> Any:
    """Of each stump: what the candidate's leaf says above the mean of the training lists, ``(L, F)``."""
    from crossfade.fusion.lambdamart import features

    rows = signals.available[0].any(axis=-1)
    (X,) = features(signals)
    leaf = model._booster.predict(X, pred_leaf=True)
    out = np.zeros((len(rows), X.shape[1]))
    for place, tree in enumerate(model._booster.dump_model()["tree_info"]):
        root = tree["tree_structure"]
        if "split_feature" not in root:
            continue
        leaves = {c["leaf_index"]: c for c in (root["left_child"], root["right_child"])}
        count = {key: child["leaf_count"] for key, child in leaves.items()}
        mean = sum(count[k] * leaves[k]["leaf_value"] for k in leaves) / sum(count.values())
        values = np.array([leaves[k]["leaf_value"] for k in leaf.reshape(len(X), -1)[:, place]])
        out[rows, root["split_feature"]] += values - mean
    return out


def test_trees_bring_what_their_splits_on_the_columns_of_a_base_say() -> None:
    model, signals = stumps(), one(problem(2).signals, 1)
    columns, there = by_column(model, signals), signals.available[0]
    # 3 scores, 3 ranks, 2 item columns, then of the asking user 2, a record with each base, 1.
    own = columns[:, :3] + columns[:, 3:6]
    record = columns[:, 10:13]
    used = np.abs(columns).max(axis=0) > 0
    assert used[:6].any()
    assert used[6:8].any(), "some trees ask about the item"
    found = everywhere(model, signals)
    scored = there.any(axis=-1)
    expected = np.where(there, own + record, 0)
    np.testing.assert_allclose(found.base[scored], expected[scored], atol=1e-6)
    np.testing.assert_allclose(found.centred[scored], np.where(there, own, 0)[scored], atol=1e-6)


def test_a_record_of_a_base_is_the_bases_and_lifts_no_candidate_above_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Trees that speak of one column alone, the record of base 0 with whoever asks.
    signals = one(problem(2).signals, 1)
    model = stumps()
    shown = np.flatnonzero(signals.available[0, :, 0])

    def shapley(X: Floats) -> Doubles:
        told = np.zeros((len(X), X.shape[1] + 1))
        told[:, 10] = 0.75
        return told

    fused = model.forward(signals)
    monkeypatch.setattr(model, "_shapley", shapley)
    found = model.contributions(signals, shown, fused)
    assert (found.base[:, 0] == 0.75).all()
    assert (found.base[:, 1:] == 0).all()
    assert (found.centred == 0).all()


# -- combinations ----------------------------------------------------------------------


def test_auto_brings_what_members_bring_on_the_scale_of_the_blend() -> None:
    model, signals = five(3), one(problem(2).signals, 1)
    fused, found = model.forward(signals), everywhere(five(3), signals)
    said = {name: member.forward(signals).score[0] for name, member in model.members.items()}
    own = {name: everywhere(member, signals) for name, member in model.members.items()}
    silent = np.isnan(said["hard_selection"]) & ~np.isnan(fused.score[0])
    assert silent.any(), "a member that cannot score a candidate has no say in it"
    for place in np.flatnonzero(~np.isnan(fused.score[0])):
        heard = {n: share for n, share in model.shares.items() if not np.isnan(said[n][place])}
        base, centred, residual = np.zeros(3), np.zeros(3), 0.0
        for name, share in heard.items():
            factor = share / sum(heard.values()) / np.nanstd(said[name].astype(np.float64))
            base += factor * own[name].base[place]
            centred += factor * own[name].centred[place]
            mean = np.nanmean(said[name].astype(np.float64))
            residual += factor * (own[name].residual[place] - mean)
        np.testing.assert_allclose(found.base[place], base, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(found.centred[place], centred, rtol=1e-6, atol=1e-9)
        assert found.residual[place] == pytest.approx(residual, abs=1e-5)


def test_where_the_static_blend_serves_auto_explains_that() -> None:
    model, signals = five(3), one(problem(2).signals, 1)
    model.verdicts = tuple(replace(verdict, serves=False) for verdict in model.verdicts)
    found, plainly = everywhere(model, signals), everywhere(model.members["static"], signals)
    for key, part in vars(plainly).items():
        np.testing.assert_array_equal(getattr(found, key), part)


def test_a_member_that_says_the_same_of_all_brings_nothing() -> None:
    model, signals = five(3), one(problem(2).signals, 1)
    constant = fit("ridge", problem(0), problem(1))
    constant.coefficients[1:] = 0
    model.shares, model.members["ridge"] = {"static": 0.5, "ridge": 0.5}, constant
    alone = everywhere(model.members["static"], signals).base
    deviation = np.nanstd(model.members["static"].forward(signals).score)
    found = everywhere(model, signals)
    np.testing.assert_allclose(found.base, 0.5 * alone / deviation, rtol=1e-5)
