"""How unsure a score is, and whether that goes with being wrong."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from crossfade.calibration.uncertainty import (
    disagreement,
    sorts_errors,
)
from crossfade.types import Floats

NAN = math.nan


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def floats(*values: object) -> Floats:
    return np.array(values, dtype=np.float32)


# -- disagreement ----------------------------------------------------------------------


def test_disagreement_by_hand() -> None:
    # Mean 0.25 × 0 + 0.75 × 4 = 3; variance 0.25 × 9 + 0.75 × 1 = 3.
    found = disagreement(floats([[0.25, 0.75]]), floats([[0.0, 4.0]]))
    np.testing.assert_allclose(found, [[np.sqrt(3)]], rtol=1e-6)


def test_bases_that_agree_disagree_by_nothing_at_all() -> None:
    assert disagreement(floats([[0.3, 0.3, 0.4]]), floats([[1e4, 1e4, 1e4]])).tolist() == [[0.0]]


@pytest.mark.parametrize(
    ("weights", "score"),
    [
        ([1.0, 0.0], [2.0, 5.0]),  # one base carries all the weight
        ([NAN, NAN], [NAN, NAN]),  # none could score
        ([1.0, 0.0], [2.0, NAN]),
        ([0.5, 0.5], [2.0, NAN]),  # weights that do not know of the gap
    ],
)
def test_one_opinion_cannot_disagree(weights: list[float], score: list[float]) -> None:
    assert np.isnan(disagreement(floats([weights]), floats([score]))).all()


def test_an_absent_base_is_not_a_zero() -> None:
    with_gap = disagreement(floats([[0.5, 0.5, 0.0]]), floats([[2.0, 4.0, NAN]]))
    np.testing.assert_allclose(with_gap, [[1.0]])


# -- sorting errors --------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=30))
def test_spearman_is_scipys(rows: list[tuple[int, int]]) -> None:
    unsure, wrong = np.array(rows, dtype=np.float64).T
    found = sorts_errors(unsure, wrong, np.arange(len(rows)), rng(), resamples=2).spearman
    if np.ptp(unsure) == 0 or np.ptp(wrong) == 0:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(spearmanr(unsure, wrong).statistic, abs=1e-9)


def test_the_ratio_by_hand() -> None:
    # Ten rows: the surest two err by 1 and 0, the least sure two by 3 and 5.
    wrong = np.array([0.0, 1, 2, 2, 2, 2, 2, 2, 3, 5])
    found = sorts_errors(np.arange(10.0), wrong, np.arange(10), rng())
    assert found.ratio == pytest.approx(0.5 / 4)
    assert found.n == 10


def test_ties_at_the_edge_of_a_fifth_share_their_errors() -> None:
    # Nobody is surer than anybody: both fifths are the mean, in whatever order rows come.
    wrong = np.array([9.0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
    assert sorts_errors(np.zeros(10), wrong, np.arange(10), rng()).ratio == 1


def test_uncertainty_that_sorts_has_an_interval_above_0_and_noise_around_0() -> None:
    sigma = rng(1).uniform(0.1, 2, 3_000)
    wrong = np.abs(rng(2).normal(0, sigma))
    unit = np.arange(3_000) // 10
    good = sorts_errors(sigma, wrong, unit, rng())
    assert good.ratio < 0.4
    assert 0.3 < good.low < good.spearman < good.high
    noise = sorts_errors(rng(5).random(3_000), wrong, unit, rng())
    assert noise.low < 0 < noise.high
    assert noise.ratio == pytest.approx(1, abs=0.2)


def test_the_interval_is_about_units() -> None:
    # The same rows a hundred times over are no more evidence where they are of the same units.
    sigma = rng(1).uniform(0.1, 2, 60)
    wrong = np.abs(rng(2).normal(0, sigma))
    unsure, erring = np.repeat(sigma, 100), np.repeat(wrong, 100)
    by_unit = sorts_errors(unsure, erring, np.repeat(np.arange(60), 100), rng())
    by_row = sorts_errors(unsure, erring, np.arange(6_000), rng())
    assert by_unit.high - by_unit.low > 5 * (by_row.high - by_row.low)
    once = sorts_errors(sigma, wrong, np.arange(60), rng())
    assert by_unit.high == pytest.approx(once.high, abs=1e-9)


def test_where_nothing_can_be_said_it_is_nan() -> None:
    empty = sorts_errors(np.full(3, NAN), np.zeros(3), np.arange(3), rng())
    assert empty.n == 0
    assert math.isnan(empty.ratio)
    one = sorts_errors(np.arange(3.0), np.arange(3.0), np.zeros(3), rng())
    assert one.spearman == pytest.approx(1)
    assert math.isnan(one.low)
    right = sorts_errors(np.arange(10.0), np.zeros(10), np.arange(10), rng())
    assert math.isnan(right.ratio)
    assert math.isnan(right.spearman)
    with pytest.raises(ValueError, match="one shape"):
        sorts_errors(np.zeros(3), np.zeros(3), np.zeros(2), rng())
