"""Heads as mathematics: losses, steps, trust, and when a head counts."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.errors import DataError
from crossfade.fusion.base import Signals
from crossfade.fusion.tilting import OneScale, one_scale, tilt_of
from crossfade.online import Head, HeadConfig
from crossfade.online.adapting import Moment, learned, objective, won

BASES = ("a", "b", "c")
EMPTY = Head.empty("v", BASES, 0)
CONFIG = HeadConfig()


def moment(seed: int, *, wanted: bool = True, place: int = 4, n: int = 12) -> Moment:
    rng = np.random.default_rng(seed)
    return Moment(rng.normal(size=(n, len(BASES))), rng.normal(size=n), place, wanted)


def after(moments: Sequence[Moment], config: HeadConfig = CONFIG) -> Head:
    head = EMPTY
    for one in moments:
        head = learned(head, one, config)
    return head


@pytest.mark.parametrize("wanted", [True, False])
@given(seed=st.integers(0, 1_000), size=st.floats(0, 3))
@settings(max_examples=25, deadline=None)
def test_slopes_match_finite_differences(seed: int, size: float, *, wanted: bool) -> None:
    one, h = moment(seed, wanted=wanted), 1e-5
    tilt = size * np.random.default_rng(seed + 1).normal(size=3)
    gradient, bend = one.slopes(tilt)
    for base, step in enumerate(h * np.eye(3)):
        slope = (one.loss(tilt + step) - one.loss(tilt - step)) / (2 * h)
        assert gradient[base] == pytest.approx(slope, abs=1e-6)
        turn = (one.slopes(tilt + step)[0] - one.slopes(tilt - step)[0]) / (2 * h)
        np.testing.assert_allclose(bend[base], turn, atol=1e-6)
    assert np.linalg.eigvalsh(bend).min() > -1e-12  # convex


def test_losses_by_hand() -> None:
    """Of three candidates that all say 0 the wanted one has a third; an unwanted one lies level."""
    flat = Moment(np.zeros((3, 3)), np.zeros(3), 1, wanted=True)
    assert flat.loss(np.zeros(3)) == pytest.approx(np.log(3))
    assert replace(flat, wanted=False).loss(np.zeros(3)) == pytest.approx(np.log(2))
    # Item 1 stands second behind item 0: lifting it to the first place gains 1 - 1 / log2(3).
    two = Moment(np.array([[0.0, 0, 0], [1, 0, 0]]), np.array([0.5, 0]), 1, wanted=True)
    tilt = np.array([1.0, 0, 0])
    assert two.gain(tilt) == pytest.approx(1 - 1 / np.log2(3))
    assert replace(two, wanted=False).gain(tilt) == pytest.approx(1 / np.log2(3) - 1)
    assert two.gain(np.zeros(3)) == 0


def test_many_steps_reach_the_minimum_and_one_more_reaction_starts_from_there() -> None:
    """At the minimum the slope of everything is 0: found by steps, not told to them."""
    config = HeadConfig(steps=10, trust_radius=1e6)
    head = after([moment(seed) for seed in range(3)], config)
    last = moment(3, wanted=False)
    found = learned(head, last, config).tilt
    slope = last.slopes(found)[0] + head.curvature @ found - head.pull + config.ridge * found
    np.testing.assert_allclose(slope, 0, atol=1e-8)


def test_a_parabola_is_learned_in_one_step_as_ridge_regression_has_it() -> None:
    """Reactions that bend as at 0 give (Σ bend + ridge)⁻¹ Σ (bend·0 - gradient)."""
    config = HeadConfig(steps=1, trust_radius=1e6)
    one = moment(0)
    gradient, bend = one.slopes(np.zeros(3))
    expected = np.linalg.solve(bend + config.ridge * np.eye(3), -gradient)
    found = learned(EMPTY, one, config)
    np.testing.assert_allclose(found.tilt, expected)
    # What is kept has the slope and the bend of the true loss where the tilt ended.
    gradient, bend = one.slopes(found.tilt)
    np.testing.assert_allclose(found.curvature @ found.tilt - found.pull, gradient)
    np.testing.assert_allclose(found.curvature, bend)


@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 100), radius=st.floats(0.01, 3))
@settings(max_examples=50, deadline=None)
def test_steps_never_raise_what_they_make_small_and_stay_within_the_radius(
    seed: int, scale: float, radius: float
) -> None:
    free = HeadConfig(trust_radius=1e9)
    head = after([moment(seed + n) for n in range(3)], free)
    last = moment(seed + 3, wanted=seed % 2 == 0)
    last = replace(last, said=scale * last.said)
    ridge = free.ridge
    assert objective(head, last, learned(head, last, free).tilt, ridge) <= objective(
        head, last, head.tilt, ridge
    )
    bound = learned(head, last, HeadConfig(trust_radius=radius))
    assert np.linalg.norm(bound.tilt) <= radius * (1 + 1e-12)


def test_more_ridge_pulls_nearer_to_the_blend() -> None:
    sizes = [
        float(np.linalg.norm(after([moment(0)], HeadConfig(ridge=ridge, steps=10)).tilt))
        for ridge in (0.1, 1, 10, 1e6)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 1e-5


def test_learning_changes_nothing_that_was_given() -> None:
    head, one = after([moment(0)]), moment(1)
    before = head.to_json(), one.said.copy(), one.score.copy()
    learned(head, one, CONFIG)
    assert head.to_json() == before[0]
    np.testing.assert_array_equal(one.said, before[1])
    np.testing.assert_array_equal(one.score, before[2])


def test_a_reaction_is_judged_before_it_is_learned_from() -> None:
    """The first gain is that of no head at all: 0, however well the item could be learned."""
    first, second = moment(0), moment(1)
    one = learned(EMPTY, first, CONFIG)
    assert one.gains == (0.0,)
    assert learned(one, second, CONFIG).gains == (0.0, second.gain(one.tilt))


def test_gains_must_be_more_than_chance_and_ties_lose() -> None:
    assert not won([0.0] * 10, CONFIG)
    assert not won([0.0, 0.0, 0.5], CONFIG)  # one gain is its own standard deviation
    assert won([0.0, 0.4, 0.5], CONFIG)
    assert not won([0.4, 0.5], CONFIG)  # too few
    assert not won([0.0, 0.4, 0.5, -0.8], CONFIG)
    assert not won([-0.4] * 10, HeadConfig(evidence=0))
    assert not won([0.0] * 10, HeadConfig(evidence=0))


def simulated(rng: np.random.Generator, n: int, follows: float) -> Head:
    """Of somebody who takes what base c likes best, times ``follows``, plus chance."""
    head = EMPTY
    for _ in range(n):
        said, score = rng.normal(size=(30, 3)), rng.normal(size=30) / 2
        place = int(np.argmax(follows * said[:, 2] + rng.gumbel(size=30)))
        head = learned(head, Moment(said, score, place, wanted=True), CONFIG)
    return head


def test_who_follows_one_base_gets_a_head_and_who_reacts_by_chance_seldom_does() -> None:
    rng = np.random.default_rng(0)
    follows = [simulated(rng, 12, 2.0) for _ in range(40)]
    chance = [simulated(rng, 12, 0.0) for _ in range(200)]
    assert np.mean([head.wins for head in follows]) > 0.9
    assert all(np.argmax(head.tilt) == 2 for head in follows)
    assert np.mean([head.wins for head in chance]) < 0.25


def test_more_evidence_asked_for_lets_fewer_heads_of_chance_through() -> None:
    rng = np.random.default_rng(1)
    gains = [simulated(rng, 12, 0.0).gains for _ in range(200)]
    shares = [
        np.mean([won(one, HeadConfig(evidence=evidence)) for one in gains])
        for evidence in (0, 1, 2)
    ]
    assert shares[0] > shares[1] > shares[2]
    assert shares[2] < 0.05


def test_a_head_comes_back_from_text_and_what_is_none_is_refused() -> None:
    head = after([moment(seed) for seed in range(4)])
    again = Head.from_json(head.to_json())
    assert again.to_json() == head.to_json()
    assert isinstance(again.tilt, np.ndarray)
    np.testing.assert_array_equal(again.tilt, head.tilt)
    longer = replace(head, bases=("a", "b"))
    for text in ("", "{}", "[]", "null", longer.to_json()):
        with pytest.raises(DataError, match="head"):
            Head.from_json(text)


# -- scale ---------------------------------------------------------------------------------


def signals(score: np.ndarray) -> Signals:
    return Signals(score[None].astype(np.float32), np.ones((1, len(score)), dtype=np.bool_))


def test_one_scale_knows_neither_units_nor_what_is_missing() -> None:
    rng = np.random.default_rng(0)
    said = rng.normal(size=(8, 3))
    said[2, 1] = np.nan
    score = rng.normal(size=(1, 8)).astype(np.float32)
    score[0, 5] = np.nan
    plain = one_scale(signals(said), score)
    moved = one_scale(signals(said * [1, 8, 2] + [0, 4, 1]), 4 * score + 2)
    np.testing.assert_allclose(moved.said, plain.said, atol=1e-5)
    np.testing.assert_allclose(moved.score, plain.score, atol=1e-5)
    assert moved.spread == pytest.approx(4 * plain.spread)
    assert np.isnan(plain.score).tolist() == [False] * 5 + [True] + [False] * 2
    assert plain.said[2, 1] == 0
    assert (plain.said[5] == 0).all()  # without a blended score it is no candidate
    there = np.delete(np.arange(8), [2, 5])
    assert plain.said[there, 1].mean() == pytest.approx(0, abs=1e-6)
    assert plain.said[there, 1].std() == pytest.approx(1)
    added = tilt_of(plain, np.array([0.0, 2.0, 0.0]))
    np.testing.assert_allclose(added[:, 1], 2 * plain.spread * plain.said[:, 1])
    assert (added[:, [0, 2]] == 0).all()


def test_a_base_or_a_blend_that_says_the_same_of_all_moves_nothing() -> None:
    said = np.column_stack([np.full(5, 0.1), np.arange(5.0)])
    scale = one_scale(signals(said), np.arange(5, dtype=np.float32)[None])
    assert (scale.said[:, 0] == 0).all()
    flat = one_scale(signals(said), np.full((1, 5), 0.1, dtype=np.float32))
    assert flat.spread == 0
    assert (tilt_of(flat, np.ones(2)) == 0).all()
    assert Moment.of(flat, 0, wanted=True, sharpness=1.0) is None


def test_a_moment_leaves_out_who_has_no_score() -> None:
    nan = np.nan
    scale = OneScale(np.array([nan, 1.0, nan, -1.0]), np.arange(8.0).reshape(4, 2), 1.0)
    found = Moment.of(scale, 3, wanted=True, sharpness=0.5)
    assert found is not None
    assert (found.place, found.score.tolist(), found.said.tolist()) == (
        1,
        [0.5, -0.5],
        [[2, 3], [6, 7]],
    )
    assert Moment.of(scale, 0, wanted=True, sharpness=0.5) is None
