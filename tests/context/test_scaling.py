import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crossfade.context.scaling import CLIP, ContextScaler
from crossfade.types import Floats

NAN = float("nan")


def column(*values: float) -> Floats:
    return np.array(values, dtype=np.float32)[:, None]


def test_the_median_becomes_0_and_a_normal_column_gets_deviation_1() -> None:
    values = np.random.default_rng(0).normal(5, 3, size=(100_000, 1)).astype(np.float32)
    scaled, _ = ContextScaler.fit(values).transform(values)
    assert np.median(scaled) == pytest.approx(0, abs=1e-6)
    assert scaled.std() == pytest.approx(1, abs=0.02)


def test_centre_and_spread_by_hand() -> None:
    scaler = ContextScaler.fit(column(0, 1, 2, 3, 100))
    assert scaler.centre.tolist() == [2.0]
    assert scaler.spread.tolist() == [pytest.approx(2 / 1.349)]  # quartiles 1 and 3


def test_where_the_quartiles_coincide_the_deviation_is_the_spread() -> None:
    flags = column(0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
    scaler = ContextScaler.fit(flags)
    assert scaler.spread[0] == pytest.approx(0.3)  # sqrt(0.1 × 0.9)
    assert scaler.transform(flags)[0][-1, 0] == pytest.approx(1 / 0.3)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e30, -1e-30])
def test_a_constant_moves_nothing_whatever_it_is_later(value: float) -> None:
    # Nothing was learned about other values, so they must not reach untrained weights.
    scaled, known = ContextScaler.fit(column(*[value] * 7)).transform(column(value, 5.0, NAN))
    assert scaled.tolist() == [[0.0]] * 3
    assert known.tolist() == [[True], [True], [False]]


@pytest.mark.parametrize("strange", [NAN, np.inf, -np.inf])
def test_a_constant_that_turns_infinite_is_unknown(strange: float) -> None:
    scaled, known = ContextScaler.fit(column(5, 5, 5)).transform(column(strange))
    assert (scaled.tolist(), known.tolist()) == ([[0.0]], [[False]])


def test_rounding_of_a_constant_is_no_spread() -> None:
    constant = np.float32(1000.1)
    values = np.array([constant, np.nextafter(constant, np.float32(2000)), constant], np.float32)
    scaled, _ = ContextScaler.fit(values[:, None]).transform(values[:, None])
    assert scaled.tolist() == [[0.0]] * 3


def test_a_column_of_small_numbers_is_not_taken_for_a_constant() -> None:
    small = column(1e-12, 2e-12, 3e-12)
    scaled, _ = ContextScaler.fit(small).transform(small)
    assert scaled[2, 0] == pytest.approx(1.349)


@pytest.mark.parametrize("strange", [NAN, np.inf, -np.inf])
def test_missing_is_0_and_unknown(strange: float) -> None:
    scaled, known = ContextScaler.fit(column(1, strange, 3)).transform(column(strange, 2))
    assert scaled.tolist() == [[0.0], [0.0]]  # 2 is the median
    assert known.tolist() == [[False], [True]]


def test_what_lies_far_out_is_cut() -> None:
    scaler = ContextScaler.fit(column(1, 2, 3))
    assert scaler.transform(column(-3e38, 3e38))[0].tolist() == [[-CLIP], [CLIP]]


@pytest.mark.parametrize("rows", [np.zeros((0, 1), dtype=np.float32), column(NAN, NAN)])
def test_a_column_that_training_never_had_stays_unknown(rows: Floats) -> None:
    scaled, known = ContextScaler.fit(rows).transform(column(0.5, NAN))
    assert scaled.tolist() == [[0.0], [0.0]]
    assert known.tolist() == [[False], [False]]


def test_columns_do_not_touch_one_another() -> None:
    values = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    together, _ = ContextScaler.fit(values).transform(values)
    for place in range(3):
        alone = values[:, [place]]
        np.testing.assert_array_equal(
            ContextScaler.fit(alone).transform(alone)[0], together[:, [place]]
        )


ANY = st.floats(width=32, allow_nan=True, allow_infinity=True)


@given(arrays(np.float32, (5, 2), elements=ANY), arrays(np.float32, (3, 2), elements=ANY))
def test_whatever_comes_in_is_finite_and_within_bounds(fitted: Floats, seen: Floats) -> None:
    scaled, known = ContextScaler.fit(fitted).transform(seen)
    assert scaled.dtype == np.float32
    assert (np.abs(scaled) <= CLIP).all()
    assert (scaled[~known] == 0).all()
    had = np.isfinite(fitted).any(axis=0)
    np.testing.assert_array_equal(known, np.isfinite(seen) & had)


def test_arrays_carry_everything() -> None:
    values = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    values[:, 1], values[:, 2] = 5.0, NAN  # a constant and an unknown column survive too
    scaler = ContextScaler.fit(values)
    again = ContextScaler.from_arrays(scaler.to_arrays())
    seen = np.ones((2, 3), dtype=np.float32)
    for found, expected in zip(again.transform(seen), scaler.transform(seen), strict=True):
        np.testing.assert_array_equal(found, expected)
