import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fusion.problem import NAN, plain, problem, with_signals

from crossfade.errors import DataError
from crossfade.fusion.adaptive import Adaptive, AdaptiveConfig, gate_loss
from crossfade.fusion.base import LabelledSignals
from crossfade.fusion.learned_weights import (
    LearnedWeights,
    LearnedWeightsConfig,
    Lists,
    descend,
    gated,
)
from crossfade.fusion.matrix import quality
from crossfade.fusion.static import StaticBlend
from crossfade.types import Doubles


def softmax(values: Any) -> Any:
    return np.exp(values) / np.exp(values).sum()


# -- blending --------------------------------------------------------------------------


@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3))
def test_a_gate_for_everybody_is_the_static_blend(logits: list[float]) -> None:
    signals = problem(3).signals
    found = gated(signals, np.tile(logits, (len(signals.mask), 1)))
    expected = StaticBlend(softmax(np.array(logits)).astype(np.float32)).forward(signals)
    np.testing.assert_allclose(found.score, expected.score, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.weights, expected.weights, rtol=1e-4, atol=1e-6)


def test_logits_far_apart_leave_no_candidate_without_a_weight() -> None:
    # exp(-2000) is 0, and the only base that is there has it.
    given_signals = plain([[[NAN, 4.0], [1.0, 2.0]]]).signals
    fused = gated(given_signals, np.array([[0.0, -2000.0]]))
    assert fused.weights.tolist() == [[[0, 1], [1, 0]]]
    assert fused.score.tolist() == [[4, 1]]


# -- the loss --------------------------------------------------------------------------


def test_the_loss_by_hand() -> None:
    # One list, two bases, equal weights: blended 1, 2 and, as base 1 is missing there, 3.
    # The second candidate is wanted.
    lists = Lists.of(
        plain([[[1.0, 1.0], [4.0, 0.0], [3.0, NAN]]], [[False, True, False]]), "zscore", "x"
    )
    value, _, _ = lists.loss(np.zeros((1, 2)), 0.0)
    e = math.e
    assert value == pytest.approx(-math.log(e**2 / (e + e**2 + e**3)))


def test_several_wanted_items_share_the_target_and_lists_count_the_same() -> None:
    short = [[1.0], [0.0], [NAN]]
    long = [[0.5], [0.0], [2.0]]
    both = plain([short, long], [[True, False, False], [True, True, False]])
    value, _, _ = Lists.of(both, "zscore", "x").loss(np.zeros((2, 1)), math.log(2.0))
    first = -math.log(softmax([2.0, 0.0])[0])
    p = softmax([1.0, 0.0, 4.0])
    second = -(math.log(p[0]) + math.log(p[1])) / 2
    assert value == pytest.approx((first + second) / 2)


def test_lists_that_no_base_can_order_are_left_out() -> None:
    silent = plain([[[NAN], [1.0]], [[2.0], [1.0]]], [[True, False], [True, False]])
    lists = Lists.of(silent, "zscore", "x")
    assert lists.place.tolist() == [1]
    assert lists.score.tolist() == [[2.0], [1.0]]
    with pytest.raises(DataError, match="no base can score a wanted candidate"):
        Lists.of(silent.take(np.array([0])), "zscore", "x")


def finite_differences(loss: Any, at: Doubles, step: float = 1e-6) -> Doubles:
    units = step * np.eye(len(at))
    return np.array([(loss(at + unit) - loss(at - unit)) / (2 * step) for unit in units])


@settings(max_examples=20)
@given(st.integers(0, 1000), st.floats(0, 2))
def test_the_gradient_equals_finite_differences(seed: int, l2: float) -> None:
    rng = np.random.default_rng(seed)
    lists = Lists.of(problem(seed, n=5, n_items=7), "zscore", "x")
    features = rng.normal(size=(len(lists.start), 2))
    at = rng.normal(size=3 + 1 + 6)
    _, gradient = gate_loss(at, lists, features, l2)
    expected = finite_differences(lambda x: gate_loss(x, lists, features, l2)[0], at)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7)


def test_lists_in_pieces_give_the_same_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = Lists.of(problem(0), "zscore", "x")
    logits = np.random.default_rng(0).normal(size=(len(lists.start), 3))
    whole = lists.loss(logits, 0.3)
    monkeypatch.setattr("crossfade.fusion.learned_weights.ROWS_AT_ONCE", 60)
    for piece, all_at_once in zip(lists.loss(logits, 0.3), whole, strict=True):
        np.testing.assert_allclose(np.asarray(piece), np.asarray(all_at_once), rtol=1e-12)


# -- learning --------------------------------------------------------------------------


def test_the_way_down_stops_where_validation_was_best() -> None:
    # Train wants 10, validation 1: the values seen on the way that are nearest to 1.
    seen = []

    def loss(x: Doubles) -> tuple[float, Doubles]:
        return float(((x - 10) ** 4).sum()), 4 * (x - 10) ** 3

    def judge(x: Doubles) -> float:
        seen.append(float(x[0]))
        return float(abs(x[0] - 1))

    config = LearnedWeightsConfig(patience=3)
    found = descend(loss, judge, np.zeros(1), config)
    assert abs(found[0] - 1) == min(abs(value - 1) for value in seen)
    assert len(seen) <= 2 + 3  # the start, at most one better, then patience
    assert seen[-1] != found[0]


def mixture(seed: int, n: int = 200) -> LabelledSignals:
    """What is wanted is drawn by softmax of 3/4 of base 0 and 1/4 of base 1; base 2 is noise."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=(n, 10, 3)).astype(np.float32)
    utility = 6 * (0.75 * score[:, :, 0] + 0.25 * score[:, :, 1]) + rng.gumbel(size=(n, 10))
    return plain(score, utility == utility.max(axis=1, keepdims=True))


def test_the_true_weights_are_found() -> None:
    # z scores: the ranks of plain() are another scale, on which nothing was drawn.
    train, validation = (with_signals(mixture(s, 1500), reciprocal_rank=None) for s in (0, 1))
    model = LearnedWeights().fit(train, validation)
    assert model.logits is not None
    np.testing.assert_allclose(softmax(model.logits), [0.75, 0.25, 0.0], atol=0.03)
    assert math.exp(model.log_sharpness) == pytest.approx(6, rel=0.1)


# -- weights by user -------------------------------------------------------------------


def two_kinds(seed: int, *, told: bool, n: int = 120) -> LabelledSignals:
    """Base 0 is right about one half of the people, base 1 about the other; one column may say which."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=(n, 10, 2)).astype(np.float32)
    kind = np.arange(n) % 2
    own = score[np.arange(n), :, kind]
    says = np.where(told, 2.0 * kind - 1, rng.choice([-1.0, 1.0], n))
    says[::7] = NAN
    return plain(
        score,
        own == own.max(axis=1, keepdims=True),
        user=np.column_stack([says, rng.normal(size=n)]),
        user_names=["kind", "noise"],
    )


def test_people_get_the_base_that_is_right_about_them() -> None:
    model = Adaptive().fit(two_kinds(0, told=True), two_kinds(1, told=True))
    test = two_kinds(2, told=True)
    weights = model.forward(test.signals).weights[:, 0]  # (B, S); nothing is missing
    assert test.signals.user is not None
    kind = test.signals.user[:, 0]
    assert (weights[kind == -1, 0] > 0.8).all()
    assert (weights[kind == 1, 1] > 0.8).all()


def test_who_says_nothing_gets_the_weights_of_the_average_user() -> None:
    model = Adaptive().fit(two_kinds(0, told=True), two_kinds(1, told=True))
    test = two_kinds(2, told=True)
    assert test.signals.user is not None
    silent = with_signals(test, user=np.full_like(test.signals.user, NAN)).signals
    assert model.logits is not None
    weights = model.forward(silent).weights
    np.testing.assert_allclose(weights, np.broadcast_to(softmax(model.logits), weights.shape), 1e-5)


def test_where_users_do_not_differ_the_global_weights_stay() -> None:
    # Every effect would be chance: forbidden by the penalty, the model is `learned_weights`.
    train, validation = two_kinds(0, told=False), two_kinds(1, told=False)
    held = Adaptive(AdaptiveConfig(l2=(1e6,))).fit(train, validation)
    plainly = LearnedWeights().fit(train, validation)
    test = two_kinds(2, told=False).signals
    np.testing.assert_allclose(held.forward(test).weights, plainly.forward(test).weights, atol=1e-4)


def test_a_gate_is_never_below_the_global_weights_on_validation() -> None:
    for seed in range(3):
        train, validation = problem(seed), problem(seed + 10)
        found = [
            quality(kind().fit(train, validation).forward(validation.signals).score, validation)
            for kind in (Adaptive, LearnedWeights)
        ]
        assert found[0] >= found[1]
