import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from crossfade.arrays import pack_csr, top_k, unpack_csr
from crossfade.types import Csr, Floats

# Few distinct values, so that ties are the rule; NaN and both infinities among them.
TIED = st.sampled_from([0.0, -0.0, 1.0, 1.5, -2.0, math.inf, -math.inf, math.nan])
MATRICES = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=TIED)


@given(MATRICES, st.integers(1, 12))
def test_top_k_matches_sorting(scores: Floats, k: int) -> None:
    expected = np.full((len(scores), k), -1)
    for row, values in enumerate(scores):
        known = [column for column, value in enumerate(values) if not math.isnan(value)]
        best = sorted(known, key=lambda column: (-values[column], column))[:k]
        expected[row, : len(best)] = best
    np.testing.assert_array_equal(top_k(scores, k), expected)


def test_equal_scores_are_ordered_by_column() -> None:
    assert top_k(np.array([[1, 2, 1, 2, 1]], dtype=np.float32), 3).tolist() == [[1, 3, 0]]


def test_a_row_without_scores_gives_an_empty_list() -> None:
    assert top_k(np.full((2, 3), np.nan, dtype=np.float32), 2).tolist() == [[-1, -1], [-1, -1]]


def test_no_rows_and_no_columns_are_fine() -> None:
    assert top_k(np.zeros((0, 4), dtype=np.float32), 2).shape == (0, 2)
    assert top_k(np.zeros((2, 0), dtype=np.float32), 1).tolist() == [[-1], [-1]]


def test_the_scores_are_left_alone() -> None:
    scores = np.array([[3, np.nan, 1]], dtype=np.float32)
    before = scores.copy()
    top_k(scores[:, ::-1], 2)
    np.testing.assert_array_equal(scores, before)


@pytest.mark.parametrize("k", [0, -1])
def test_a_list_has_one_place_at_least(k: int) -> None:
    with pytest.raises(ValueError, match=f"k must be 1 or more, got {k}"):
        top_k(np.ones((1, 3), dtype=np.float32), k)


@given(
    arrays(
        np.float32,
        array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.sampled_from([0, 0, 1, 2]),
    )
)
def test_packing_a_matrix_loses_nothing(dense: Floats) -> None:  # fmt: skip
    packed = pack_csr("m", Csr(dense))
    assert all(key.startswith("m.") for key in packed)
    unpacked = unpack_csr("m", packed)
    assert unpacked.shape == dense.shape
    np.testing.assert_array_equal(unpacked.toarray(), dense)
