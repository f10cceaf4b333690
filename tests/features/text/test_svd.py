"""Directions that span sparse rows best."""

import numpy as np
import pytest

from crossfade.features.text import svd
from crossfade.features.text.svd import directions
from crossfade.types import Csr, Floats


def sparse(n_rows: int, n_columns: int, seed: int = 0) -> Csr:
    rng = np.random.default_rng(seed)
    matrix = rng.random((n_rows, n_columns)) * (rng.random((n_rows, n_columns)) < 0.05)
    # Columns of falling importance, as n-grams are.
    return Csr((matrix / np.sqrt(1 + np.arange(n_columns))).astype(np.float32))


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def kept(matrix: Csr, found: Floats) -> float:
    """Share of the squared length that the best possible directions of that number keep."""
    best = np.linalg.svd(matrix.toarray(), compute_uv=False)[: found.shape[1]]
    return float(np.square(matrix @ found).sum() / np.square(best).sum())


def test_the_strongest_direction_by_hand() -> None:
    # Rows (3, 0), (0, 1): the first axis keeps 9 of 10.
    found = directions(Csr(np.array([[3, 0], [0, 1]], dtype=np.float32)), 2, 0, rng())
    np.testing.assert_allclose(found, np.eye(2), atol=1e-6)


@pytest.mark.parametrize(("n_rows", "n_columns"), [(40, 90), (90, 40)])
def test_small_matrices_are_exact(n_rows: int, n_columns: int) -> None:
    matrix = sparse(n_rows, n_columns)
    assert kept(matrix, directions(matrix, 10, 0, rng())) == pytest.approx(1, abs=1e-5)


@pytest.fixture
def nothing_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svd, "_SMALL", 0)


@pytest.mark.usefixtures("nothing_is_small")
def test_large_matrices_are_nearly_exact() -> None:
    matrix = sparse(300, 200)
    found = directions(matrix, 20, 3, rng())
    assert found.shape == (200, 20)
    assert 0.99 < kept(matrix, found) < 1 - 1e-6  # so it is the random one
    np.testing.assert_allclose(found.T @ found, np.eye(20), atol=1e-4)


@pytest.mark.usefixtures("nothing_is_small")
def test_more_passes_keep_more() -> None:
    matrix = sparse(300, 200)
    few, many = (kept(matrix, directions(matrix, 20, n_passes, rng())) for n_passes in (0, 3))
    assert many > few + 0.01


def test_directions_that_do_not_exist_are_left_out() -> None:
    row = np.zeros((3, 5), dtype=np.float32)
    row[:, 2] = 1
    assert directions(Csr(row), 4, 0, rng()).tolist() == [[0], [0], [1], [0], [0]]


@pytest.mark.parametrize("shape", [(0, 4), (4, 0)])
def test_nothing_has_no_direction(shape: tuple[int, int]) -> None:
    empty = Csr(np.zeros(shape, dtype=np.float32))
    assert directions(empty, 3, 0, rng()).shape == (shape[1], 0)
