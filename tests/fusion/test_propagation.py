"""How far guesses move a score: against closed forms, alone and among others."""

import math
from typing import Any

import numpy as np
import pytest

from crossfade.fusion.auto import AutoConfig, AutoFusion
from crossfade.fusion.base import Columns, Fused, FusionModel, Signals
from crossfade.fusion.propagation import (
    REQUESTS_AT_ONCE,
    Guesses,
    guess_spread,
    standard_draws,
    together,
)
from crossfade.fusion.verdict import SLICES, Verdict
from crossfade.types import Arrays, Doubles, Floats

AUDIO = ("energy", "valence", "tempo")
COLUMNS = Columns(("b",), ("log_positives",), ("log_age_days", *AUDIO))
NAN = math.nan
WIDE = 1e6


class Linear(FusionModel[Any]):
    """A score that is a known linear function of the audio columns, plus the base's score."""

    name = "linear"
    Config = AutoConfig  # any; nothing is set

    def __init__(self, *weights: float, turn: Any = lambda x: x) -> None:
        super().__init__(None)
        self.weights, self.turn = np.array(weights), turn
        self.columns = COLUMNS
        self.asked: list[Floats] = []

    def forward(self, signals: Signals) -> Fused:
        assert signals.item is not None
        self.asked.append(signals.item)
        audio = np.nan_to_num(signals.item[..., 1:]).astype(np.float64)
        score = self.turn(audio @ self.weights) + signals.score[..., 0]
        return Fused(score.astype(np.float32), np.ones_like(signals.score))

    def _fit(self, *_: Any) -> None:
        raise NotImplementedError

    def _state(self) -> Arrays:
        raise NotImplementedError

    def _restore(self, state: Arrays) -> None:
        raise NotImplementedError


def signals(n: int = 5, length: int = 40, seed: int = 0) -> Signals:
    rng = np.random.default_rng(seed)
    shape = (n, length)
    return Signals(
        rng.normal(size=(*shape, 1)).astype(np.float32),
        np.ones(shape, dtype=np.bool_),
        user=np.full((n, 1), np.log1p(3.0), np.float32),
        item=rng.uniform(size=(*shape, 4)).astype(np.float32),
        columns=COLUMNS,
    )


def guesses(sigma: Any, low: float = -WIDE, high: float = WIDE) -> Guesses:
    ends = (np.full(3, end, np.float32) for end in (low, high))
    return Guesses(AUDIO, np.array(sigma, dtype=np.float32), *ends)


def some_guessed(lists: Signals, seed: int = 1) -> Floats:
    """Sigmas of three features; every second candidate was measured."""
    rng = np.random.default_rng(seed)
    sigma = rng.uniform(0.05, 0.5, size=(*lists.mask.shape, 3))
    sigma[:, ::2] = 0
    return sigma.astype(np.float32)


def spread(model: Any, lists: Signals, sigma: Any, n: int = 16, **more: Any) -> Floats:
    found = guess_spread(model, lists, guesses(sigma, **more), n, seed=0)
    assert found is not None
    return found


def of_list(model: Any, lists: Signals) -> Doubles:
    """Deviation of each list's scores, ``(B, 1)``."""
    return np.asarray(np.std(model.forward(lists).score.astype(np.float64), axis=1, keepdims=True))


def test_a_linear_score_moves_by_the_root_of_its_weighted_squares() -> None:
    lists, model = signals(), Linear(0.5, -2.0, 1.0)
    sigma = some_guessed(lists)
    expected = np.sqrt((np.square(sigma) * [0.25, 4.0, 1.0]).sum(axis=-1)) / of_list(model, lists)
    for n in (4, 16, 100):
        np.testing.assert_allclose(spread(model, lists, sigma, n), expected, rtol=1e-4, atol=1e-6)


def test_one_candidate_by_pencil() -> None:
    # Scores 1, 3: a list of mean 2 and deviation 1. Weight 2, sigma 0.3: 0.6.
    lists = signals(1, 2)
    item = np.zeros((1, 2, 4), np.float32)
    lists = Signals(
        np.array([[[1.0], [3.0]]], np.float32),
        lists.mask,
        user=lists.user,
        item=item,
        columns=COLUMNS,
    )
    found = spread(Linear(2.0, 0, 0), lists, [[[0.3, 0, 0], [0, 0, 0]]])
    np.testing.assert_allclose(found, [[0.6, 0.0]], rtol=1e-5)


def test_more_draws_of_a_bent_score_come_closer_by_their_square_root() -> None:
    # The square of a normal has a deviation of √2 σ² around 0.
    lists, model = signals(2, 300), Linear(1.0, 0, 0, turn=np.square)
    assert lists.item is not None
    lists.item[..., 1] = 0
    sigma = np.zeros((2, 300, 3), np.float32)
    sigma[..., 0] = 0.5
    truth = math.sqrt(2) * 0.25 / of_list(model, lists)

    def error(n: int) -> float:
        return float(np.sqrt(np.mean(np.square(spread(model, lists, sigma, n) / truth - 1))))

    few, many = error(16), error(400)
    assert few < 0.5
    assert 3 < few / many < 8  # 5 = √(400 / 16)


def test_a_guess_at_the_end_of_its_range_can_only_move_inwards() -> None:
    lists, model = signals(3, 200), Linear(1.0, 0, 0)
    assert lists.item is not None
    lists.item[..., 1] = 0
    sigma = np.zeros((3, 200, 3), np.float32)
    sigma[..., 0] = 0.2
    unit = of_list(model, lists)
    found = spread(model, lists, sigma, n=200, low=0.0, high=1.0) * unit
    # max(0, Z) has variance 1/2 − 1/(2π).
    assert found.mean() == pytest.approx(0.2 * math.sqrt(0.5 - 0.5 / math.pi), rel=0.02)


def test_no_draw_leaves_the_range_and_nothing_else_is_touched() -> None:
    lists, model = signals(), Linear(1.0, 1.0, 1.0)
    sigma = 3 * some_guessed(lists)
    sigma[..., 2] = 0
    assert lists.item is not None
    before = lists.item.copy()
    spread(model, lists, sigma, low=0.0, high=1.0)
    np.testing.assert_array_equal(lists.item, before)
    drawn = np.stack(model.asked)
    assert (drawn[..., 1:3].min(), drawn[..., 1:3].max()) == (0, 1)
    for column in (0, 3):
        assert (drawn[..., column] == before[..., column]).all()
    assert (drawn[:, :, ::2] == before[:, ::2]).all(), "measured candidates"


@pytest.mark.parametrize("model", [Linear(1.0, 1.0, 1.0), Linear(3.0, 0, 0, turn=np.exp)])
def test_a_measured_candidate_has_no_spread_whoever_else_is_listed(model: Linear) -> None:
    lists = signals()
    found = spread(model, lists, some_guessed(lists))
    assert (found[:, ::2] == 0).all()
    assert (found[:, 1::2] > 0).all()


def test_where_nothing_is_guessed_nothing_is_drawn() -> None:
    lists, model = signals(), Linear(1.0, 1.0, 1.0)
    found = spread(model, lists, np.zeros((5, 40, 3)))
    assert (found == 0).all()
    assert len(model.asked) == 1


def test_one_request_alone_is_told_the_same_as_in_a_batch_with_longer_lists() -> None:
    lists, model = signals(), Linear(3.0, -1.0, 0, turn=np.sin)
    sigma = some_guessed(lists)
    lists.mask[2, 30:] = False
    lists.score[2, 30:] = NAN
    whole = spread(model, lists, sigma)
    assert lists.user is not None
    assert lists.item is not None
    alone = Signals(
        lists.score[2:3, :30],
        lists.mask[2:3, :30],
        user=lists.user[2:3],
        item=lists.item[2:3, :30],
        columns=COLUMNS,
    )
    np.testing.assert_array_equal(spread(model, alone, sigma[2:3, :30])[0], whole[2, :30])
    assert np.isnan(whole[2, 30:]).all()


def test_the_same_seed_gives_the_same_answer_and_another_another() -> None:
    lists, model = signals(), Linear(3.0, 1.0, 1.0, turn=np.sin)
    told = guesses(some_guessed(lists))
    first, again, other = (guess_spread(model, lists, told, 16, seed) for seed in (0, 0, 1))
    assert first is not None
    assert other is not None
    np.testing.assert_array_equal(first, again)
    assert (first[:, 1::2] != other[:, 1::2]).mean() > 0.9


def test_requests_are_drawn_a_few_at_a_time() -> None:
    lists, model = signals(3 * REQUESTS_AT_ONCE + 1, 4), Linear(1.0, 1.0, 1.0)
    found = spread(model, lists, some_guessed(lists), n=5)
    assert max(len(item) for item in model.asked) == REQUESTS_AT_ONCE
    assert (found[:, 1::2] > 0).all(), "all are answered"


def test_what_cannot_be_told_is_nan() -> None:
    lists, model = signals(), Linear(1.0, 1.0, 1.0)
    sigma = some_guessed(lists)
    sigma[0, 0] = NAN  # a value, and nobody says how far off
    assert lists.item is not None
    lists.item[0, 2, 1:] = NAN
    sigma[0, 2] = NAN  # no value at all
    lists.score[0, 3] = NAN  # no score
    found = spread(model, lists, sigma)
    assert np.isnan(found[0, [0, 3]]).all()
    assert found[0, 2] == 0
    assert np.isnan(found).sum() == 2


def test_a_list_of_equal_scores_has_no_unit() -> None:
    lists, model = signals(2), Linear(1.0, 0, 0)
    assert lists.item is not None
    lists.item[0, :, 1] = 0.5
    lists.score[0] = 1
    found = spread(model, lists, some_guessed(lists))
    assert np.isnan(found[0, 1::2]).all()
    assert (found[0, ::2] == 0).all()
    assert not np.isnan(found[1]).any()


def test_signals_without_the_columns_have_no_such_spread() -> None:
    lists, model = signals(), Linear(1.0, 1.0, 1.0)
    told = guesses(some_guessed(lists))
    plain = Signals(lists.score, lists.mask)
    other = Guesses(("liveness",), told.sigma[..., :1], told.low[:1], told.high[:1])
    assert guess_spread(model, plain, told, 16, 0) is None
    assert guess_spread(model, lists, other, 16, 0) is None


def auto(*verdicts: bool) -> AutoFusion:
    """Two linear models with shares 3/4 and 1/4, and a static one."""
    found = AutoFusion(AutoConfig(candidates=("ridge",)))
    found.columns = COLUMNS
    found.members = {"static": Linear(0, 0, 0), "a": Linear(1.0, 0, 2.0), "b": Linear(0, 5.0, 1.0)}
    found.shares = {"static": 0.0, "a": 0.75, "b": 0.25}
    found.verdicts = tuple(
        Verdict(name, 9, 0.5, 0.4, 0.9, 9, 0.1, serves)
        for name, serves in zip(("all", *SLICES), (True, *verdicts), strict=True)
    )
    return found


def test_models_of_auto_are_added_by_their_shares_before_the_deviation_is_taken() -> None:
    lists, model = signals(), auto(True, True, True)
    sigma = some_guessed(lists)
    a, b = (of_list(model.members[name], lists)[..., None] for name in "ab")
    weights = 0.75 * np.array([1.0, 0, 2.0]) / a + 0.25 * np.array([0, 5.0, 1.0]) / b
    expected = np.sqrt(np.square(sigma * weights).sum(axis=-1))
    found = spread(model, lists, sigma)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert (found[:, ::2] == 0).all()


def test_whom_auto_serves_the_static_blend_has_no_spread_from_guesses() -> None:
    lists, model = signals(), auto(False, True, True)  # cold people are static
    assert lists.user is not None
    lists.user[3] = np.log1p(20.0)
    found = spread(model, lists, some_guessed(lists))
    assert (found[[0, 1, 2, 4]] == 0).all()
    assert (found[3, 1::2] > 0).all()


def test_draws_have_exact_moments_and_no_place_knows_how_many_there_are() -> None:
    draws = standard_draws(50, 9, 8, seed=0)
    np.testing.assert_allclose(draws.mean(axis=1), 0, atol=1e-12)
    for place in draws:
        np.testing.assert_allclose(np.cov(place.T), np.eye(8), atol=1e-12)
    np.testing.assert_array_equal(standard_draws(7, 9, 8, seed=0), draws[:7])
    # Each is normal: of 50 × 9 × 8 values two thirds lie within one deviation.
    assert 0.64 < (np.abs(draws) < 1).mean() < 0.72
    assert len(np.unique(draws[:, 0, 0])) == 50, "places differ"


def test_too_few_draws_are_refused() -> None:
    lists = signals()
    with pytest.raises(ValueError, match="3 draws of 3 features; take more than 3"):
        spread(Linear(1.0, 1.0, 1.0), lists, some_guessed(lists), n=3)


@pytest.mark.parametrize("faulty", [-0.1, math.inf])
def test_sigmas_that_cannot_be_are_refused(faulty: float) -> None:
    with pytest.raises(ValueError, match="1 sigmas are infinite or below 0"):
        guesses([[[0.1, faulty, 0]]])


def test_shapes_must_agree() -> None:
    lists = signals()
    with pytest.raises(ValueError, match="for lists"):
        spread(Linear(1.0, 1.0, 1.0), lists, np.zeros((5, 39, 3)))
    with pytest.raises(ValueError, match="3 columns need sigma"):
        guesses(np.zeros((5, 40, 2)))


def test_independent_sources_add_in_squares_and_a_silent_one_is_not_sure() -> None:
    found = together([np.array([3.0, 0, NAN]), np.array([4.0, 2, 1])])
    np.testing.assert_array_equal(found, [5, 2, NAN])
