"""Risk against coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.calibration.risk import risk_coverage


def test_the_curve_by_hand() -> None:
    # Surest first: errors 0, 1, 1, 2.
    found = risk_coverage(np.array([0.3, 0.1, 0.4, 0.2]), np.array([1.0, 0.0, 2.0, 1.0]))
    np.testing.assert_allclose(found.coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(found.risk, [0, 1 / 2, 2 / 3, 1])
    assert found.area == pytest.approx((0 + 1 / 2 + 2 / 3 + 1) / 4)
    assert found.best_area == pytest.approx(found.area)


def test_an_uncertainty_that_says_nothing_gives_a_level_curve() -> None:
    found = risk_coverage(np.zeros(4), np.array([3.0, 0.0, 1.0, 0.0]))
    np.testing.assert_allclose(found.risk, 1)
    assert found.area == 1
    assert found.best_area == pytest.approx((0 + 0 + 1 / 3 + 1) / 4)


ROWS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=1, max_size=30)


@given(ROWS, st.integers(0, 1_000))
def test_order_of_rows_does_not_matter_and_nothing_beats_the_best(
    rows: list[tuple[int, int]], seed: int
) -> None:
    unsure, wrong = np.array(rows, dtype=np.float64).T
    found = risk_coverage(unsure, wrong)
    order = np.random.default_rng(seed).permutation(len(rows))
    np.testing.assert_allclose(risk_coverage(unsure[order], wrong[order]).risk, found.risk)
    assert found.risk[-1] == pytest.approx(wrong.mean())
    assert found.best_area <= found.area + 1e-12
    assert risk_coverage(wrong, wrong).area == pytest.approx(found.best_area)
    assert risk_coverage(-wrong, wrong).area >= found.area - 1e-12


def test_ties_are_the_mean_over_their_orders() -> None:
    # Rows 2 and 3 tie: risks of both orders, averaged.
    wrong = np.array([1.0, 0.0, 4.0, 1.0])
    orders = [np.cumsum(wrong[list(o)]) / np.arange(1, 5) for o in ((0, 1, 2, 3), (0, 2, 1, 3))]
    found = risk_coverage(np.array([1.0, 2.0, 2.0, 3.0]), wrong)
    np.testing.assert_allclose(found.risk, np.mean(orders, axis=0))


def test_what_is_missing_is_left_out() -> None:
    found = risk_coverage(np.array([np.nan, 1.0, 2.0]), np.array([5.0, 1.0, np.nan]))
    assert found.risk.tolist() == [1.0]
    empty = risk_coverage(np.zeros(0), np.zeros(0))
    assert np.isnan([empty.area, empty.best_area]).all()
    assert len(empty.risk) == 0


def test_shapes_must_match() -> None:
    with pytest.raises(ValueError, match="must match"):
        risk_coverage(np.zeros(3), np.zeros(2))
