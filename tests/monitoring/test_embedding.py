"""Neighbours of two versions."""

import numpy as np
import pytest
from scipy.stats import ortho_group

from crossfade.monitoring.embedding import neighbour_overlap

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(60, 8)).astype(np.float32)
EVERY = np.arange(60)


def test_a_rotation_and_a_scale_change_no_neighbours() -> None:
    turned = (3 * VECTORS @ ortho_group.rvs(8, random_state=1)).astype(np.float32)
    assert neighbour_overlap(VECTORS, turned, EVERY).tolist() == [1] * 60
    assert np.abs(turned - VECTORS).mean() > 1


def test_vectors_of_nothing_in_common_agree_by_chance_alone() -> None:
    k, n = 10, 2_000
    a, b = (RNG.normal(size=(n, 16)).astype(np.float32) for _ in range(2))
    found = neighbour_overlap(a, b, np.arange(0, n, 4), k)
    assert found.mean() == pytest.approx(k / (2 * n), abs=0.002)


def test_overlap_by_hand() -> None:
    # Of item 0 the nearest two are 1 and 2, then 1 and 3: one of three.
    before = np.array([[1, 0], [1, 0.1], [1, 0.2], [0, 1]], np.float32)
    after = np.array([[1, 0], [1, 0.1], [0, 1], [1, 0.2]], np.float32)
    assert neighbour_overlap(before, after, np.array([0]), 2).tolist() == [1 / 3]


def test_an_item_without_a_direction_says_nothing() -> None:
    vectors = VECTORS.copy()
    vectors[3] = 0
    found = neighbour_overlap(vectors, VECTORS, np.array([3, 4]))
    assert np.isnan(found[0])
    assert found[1] > 0.7
