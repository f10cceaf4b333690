import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.fusion.base import Signals
from crossfade.fusion.static import StaticBlend, list_ndcg, tune_static
from crossfade.types import Bools, Doubles, Floats

NAN = math.nan


def signals(score: list[Any], mask: list[list[bool]] | None = None) -> Signals:
    array = np.array(score, dtype=np.float32)
    real = np.ones(array.shape[:2], dtype=np.bool_) if mask is None else np.array(mask)
    return Signals(array, real)


def blend(*weights: float) -> StaticBlend:
    return StaticBlend(np.array(weights, dtype=np.float32))


# -- blending --------------------------------------------------------------------------


def test_a_score_is_the_weighted_mean() -> None:
    fused = blend(0.25, 0.75).forward(signals([[[4.0, 0.0], [0.0, 4.0]]]))
    assert fused.score.tolist() == [[1.0, 3.0]]
    assert fused.weights.tolist() == [[[0.25, 0.75], [0.25, 0.75]]]


def test_an_absent_base_gets_no_weight_and_the_others_share_it() -> None:
    # PITFALLS in short: absent is not 0.0. With 0.0 the score would be 1.5, not 2.
    fused = blend(0.5, 0.375, 0.125).forward(signals([[[NAN, 2.0, 2.0]]]))
    assert fused.weights.tolist() == [[[0.0, 0.75, 0.25]]]
    assert fused.score.tolist() == [[2.0]]


def test_an_item_that_one_base_knows_keeps_its_score() -> None:
    fused = blend(0.5, 0.5).forward(signals([[[3.0, NAN], [NAN, -1.0], [1.0, 1.0]]]))
    assert fused.score.tolist() == [[3.0, -1.0, 1.0]]


def test_an_item_that_no_weighted_base_knows_is_nan() -> None:
    fused = blend(0.0, 0.5, 0.5).forward(signals([[[NAN, NAN, NAN], [5.0, NAN, NAN]]]))
    assert np.isnan(fused.score).all()
    assert np.isnan(fused.weights).all()


def test_blending_whole_catalogues_gives_the_same_scores() -> None:
    rng = np.random.default_rng(0)
    score = rng.normal(size=(3, 5, 4)).astype(np.float32)
    score[rng.random(score.shape) < 0.4] = NAN
    model = blend(0.5, 0.0, 0.25, 0.25)
    expected = model.forward(Signals(score, np.ones((3, 5), dtype=np.bool_))).score
    np.testing.assert_array_equal(model.blend(np.moveaxis(score, -1, 0)), expected)


def test_padding_is_never_scored() -> None:
    fused = blend(1.0).forward(signals([[[1.0], [2.0]]], mask=[[True, False]]))
    np.testing.assert_array_equal(fused.score, [[1.0, NAN]])


def test_one_base_may_carry_all_the_weight() -> None:
    # A product of attention and confidence could never give more than 0.73 to one of two.
    fused = blend(1.0, 0.0).forward(signals([[[2.0, 100.0]]]))
    assert fused.weights.tolist() == [[[1.0, 0.0]]]
    assert fused.score.tolist() == [[2.0]]


@pytest.mark.parametrize("n_requests", [0, 1, 7])
@pytest.mark.parametrize("n_bases", [1, 2, 5])
def test_shapes_hold_for_one_request_and_for_seven(n_requests: int, n_bases: int) -> None:
    rng = np.random.default_rng(0)
    score = rng.random((n_requests, 3, n_bases)).astype(np.float32)
    score[rng.random(score.shape) < 0.3] = NAN
    model = blend(*[1 / n_bases] * n_bases)
    together = model.forward(Signals(score, np.ones((n_requests, 3), dtype=np.bool_)))
    assert together.score.shape == (n_requests, 3)
    assert together.weights.shape == (n_requests, 3, n_bases)
    assert together.score.dtype == together.weights.dtype == np.float32
    for place in range(n_requests):
        alone = model.forward(signals([score[place].tolist()]))
        np.testing.assert_array_equal(alone.score[0], together.score[place])


@given(st.data())
def test_weights_sum_to_one_over_the_bases_that_can_score(data: st.DataObject) -> None:
    n_bases = data.draw(st.integers(1, 4))
    raw = data.draw(st.lists(st.integers(0, 5), min_size=n_bases, max_size=n_bases).filter(any))
    row = data.draw(
        st.lists(st.sampled_from([NAN, -1.0, 0.0, 2.0]), min_size=n_bases, max_size=n_bases)
    )
    weights = (np.array(raw) / sum(raw)).astype(np.float32)
    fused = StaticBlend(weights).forward(signals([[row]]))
    there = np.array([not math.isnan(score) for score in row]) & (weights > 0)
    if not there.any():
        assert np.isnan(fused.score[0, 0])
        return
    assert fused.weights[0, 0].sum() == pytest.approx(1, rel=1e-5)
    assert (fused.weights[0, 0][~there] == 0).all()
    # A convex combination never leaves the range of its parts.
    known = np.array(row)[there]
    assert known.min() - 1e-5 <= fused.score[0, 0] <= known.max() + 1e-5


@pytest.mark.parametrize(
    "weights", [[0.5, 0.6], [-0.5, 1.5], [NAN, 1.0], [NAN, NAN], [], [0.0, 0.0]]
)
def test_weights_that_are_no_shares_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights must be 0 or more and sum to 1"):
        blend(*weights)


@pytest.mark.parametrize("n_bases", [1, 3])
def test_signals_of_another_number_of_bases_are_refused(n_bases: int) -> None:
    with pytest.raises(ValueError, match=f"2 weights cannot blend {n_bases} bases"):
        blend(0.5, 0.5).forward(signals([[[1.0] * n_bases]]))


def test_wrong_shapes_are_refused_where_signals_are_built() -> None:
    with pytest.raises(ValueError, match=r"must be \(B, L, S\) and \(B, L\)"):
        Signals(np.zeros((2, 3), dtype=np.float32), np.ones((2, 3), dtype=np.bool_))
    with pytest.raises(ValueError, match=r"must be \(B, L, S\) and \(B, L\)"):
        Signals(np.zeros((2, 3, 1), dtype=np.float32), np.ones((2, 4), dtype=np.bool_))


def test_the_state_is_the_weights() -> None:
    model = blend(0.25, 0.75)
    assert StaticBlend(model.state()["weights"]).weights.tolist() == [0.25, 0.75]  # type: ignore[arg-type]


# -- measuring -------------------------------------------------------------------------


def test_ndcg_by_hand() -> None:
    score = np.array([[3, 2, 1], [3, 2, 1], [NAN, 2, 1], [1, 2, 3]], dtype=np.float32)
    relevant = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1], [0, 0, 0]], dtype=np.bool_)
    n_relevant = np.array([1.0, 1.0, 4.0, 2.0])
    second = 1 / math.log2(3)
    expected = [
        1.0,  # the one wanted item on top
        second,  # one rank late
        second / (1 + second),  # the unscored item ranks nowhere; two ranks would be ideal
        0.0,  # nothing found
    ]
    np.testing.assert_allclose(list_ndcg(score, relevant, n_relevant, k=2), expected)


REQUEST = st.lists(
    st.tuples(st.sampled_from([NAN, 0.0, 1.0, 2.0]), st.booleans()), min_size=1, max_size=6
)


@given(REQUEST, st.integers(0, 3), st.integers(1, 8))
def test_ndcg_matches_a_plain_loop(
    request: list[tuple[float, bool]], n_elsewhere: int, k: int
) -> None:
    ranked = sorted(
        (place for place, (score, _) in enumerate(request) if not math.isnan(score)),
        key=lambda place: (-request[place][0], place),
    )
    gain = sum(1 / math.log2(rank + 2) for rank, p in enumerate(ranked[:k]) if request[p][1])
    n_relevant = sum(wanted for _, wanted in request) + n_elsewhere
    ideal = sum(1 / math.log2(rank + 2) for rank in range(min(n_relevant, k)))
    expected = gain / ideal if ideal else 0.0
    score = np.array([[score for score, _ in request]], dtype=np.float32)
    relevant = np.array([[wanted for _, wanted in request]])
    found = list_ndcg(score, relevant, np.array([float(n_relevant)]), k)
    assert found.shape == (1,)
    assert found[0] == pytest.approx(expected)


# -- tuning ----------------------------------------------------------------------------


def quality(model: StaticBlend, given: Signals, relevant: Bools, n_relevant: Doubles) -> float:
    return float(list_ndcg(model.forward(given).score, relevant, n_relevant, 10).mean())


def random_problem(seed: int, n_bases: int) -> tuple[Signals, Bools, Doubles]:
    """Six requests over eight items, some scores and some items missing."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=(6, 8, n_bases)).round(1).astype(np.float32)
    score[rng.random(score.shape) < 0.2] = NAN
    given_signals = Signals(score, rng.random((6, 8)) < 0.9)
    relevant = (rng.random((6, 8)) < 0.3) & given_signals.mask
    n_relevant = relevant.sum(axis=1) + rng.integers(0, 2, size=6).astype(np.float64)
    return given_signals, relevant, n_relevant


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_tuning_never_ends_below_the_best_base(seed: int, n_bases: int) -> None:
    problem = random_problem(seed, n_bases)
    tuned = tune_static(*problem)
    singles = [quality(StaticBlend(unit), *problem) for unit in np.eye(n_bases, dtype=np.float32)]
    assert quality(tuned, *problem) >= max(singles)
    assert tuned.weights.sum() == pytest.approx(1)


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_from_equal_weights_every_base_keeps_a_little(seed: int, n_bases: int) -> None:
    problem = random_problem(seed, n_bases)
    tuned = tune_static(*problem, start="equal")
    equal = StaticBlend(np.full(n_bases, 1 / n_bases, dtype=np.float32))
    assert quality(tuned, *problem) >= quality(equal, *problem)
    assert tuned.weights.min() > 0


def mixed_signals(*bases: Floats) -> tuple[Signals, Bools, Doubles]:
    """Two requests over three items, the first of which is wanted."""
    score = np.stack(bases, axis=-1).astype(np.float32)
    relevant = np.zeros(score.shape[:2], dtype=np.bool_)
    relevant[:, 0] = True
    return Signals(score, np.ones(score.shape[:2], dtype=np.bool_)), relevant, np.ones(len(score))


RIGHT_FIRST = np.array([[2.0, 0, 0], [0, 1, 0]])
RIGHT_SECOND = np.array([[0, 1, 0], [2.0, 0, 0]])
WRONG = np.array([[0, 5, 5], [0, 5, 5.0]])


def test_bases_that_know_different_people_are_blended() -> None:
    # Each is right about one request by 2 and wrong about the other by 1: together always right.
    given_signals, relevant, n_relevant = mixed_signals(RIGHT_FIRST, RIGHT_SECOND)
    tuned = tune_static(given_signals, relevant, n_relevant)
    assert quality(tuned, given_signals, relevant, n_relevant) == 1.0
    assert (tuned.weights > 0).all()


def test_a_useless_base_gets_exactly_no_weight() -> None:
    given_signals, relevant, n_relevant = mixed_signals(RIGHT_FIRST, WRONG, RIGHT_SECOND)
    tuned = tune_static(given_signals, relevant, n_relevant)
    assert tuned.weights[1] == 0.0
    assert tuned.weights[0] > 0
    assert tuned.weights[2] > 0


def test_a_base_that_is_always_right_serves_alone() -> None:
    right = np.array([[1.0, 0, 0], [1, 0, 0]])
    tuned = tune_static(*mixed_signals(WRONG, right))
    assert tuned.weights.tolist() == [0.0, 1.0]
