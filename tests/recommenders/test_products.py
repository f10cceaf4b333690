"""Products with all items: right, and the same numbers for a request whoever asks beside it."""

import numpy as np
import pytest

from crossfade.recommenders.products import TILE, TOGETHER, Tiled, Tiles, whole_products
from crossfade.types import Floats


def vectors(n: int, width: int, seed: int) -> Floats:
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


@pytest.mark.parametrize("n_items", [1, TILE, TILE + 1])
@pytest.mark.parametrize("width", [1, TOGETHER, 2 * TOGETHER + 3])
def test_they_are_the_products(n_items: int, width: int) -> None:
    left, right = vectors(TOGETHER + 3, width, 0), vectors(n_items, width, 1)
    found = whole_products(left, Tiles.of(right))
    np.testing.assert_allclose(found, left @ right.T, rtol=1e-5, atol=1e-5)


def test_a_row_is_the_same_to_the_last_bit_whatever_stands_beside_it() -> None:
    left, right = vectors(2 * TOGETHER + 3, 64, 2), Tiles.of(vectors(TILE + 100, 64, 3))
    together = whole_products(left, right)
    for row in range(len(left)):
        np.testing.assert_array_equal(whole_products(left[row : row + 1], right)[0], together[row])
    for start in range(1, TOGETHER):
        np.testing.assert_array_equal(whole_products(left[start:], right), together[start:])


def test_an_item_without_a_vector_has_products_of_0() -> None:
    right = vectors(5, 3, 4)
    right[2] = np.nan
    found = whole_products(vectors(2, 3, 5), Tiles.of(right))
    assert (found[:, 2] == 0).all()
    assert np.isfinite(found).all()


def test_tiles_are_kept_with_the_vectors_they_belong_to() -> None:
    tiled, one, other = Tiled(), vectors(5, 3, 6), vectors(5, 3, 7)
    assert tiled(one) is tiled(one)
    assert tiled(other) is not tiled(one)
