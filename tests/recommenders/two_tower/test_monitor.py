import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.recommenders.two_tower.monitor import (
    Distribution,
    alignment,
    embedding_health,
    neighbour_overlap,
    uniformity,
)
from crossfade.types import Floats


def floats(*rows: list[float]) -> Floats:
    return np.array(rows, dtype=np.float32)


def rand(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def rotation(dim: int, seed: int = 9) -> Floats:
    turned, _ = np.linalg.qr(rand(dim, dim, seed=seed))
    return turned.astype(np.float32)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


# -- distributions ---------------------------------------------------------------------


def test_a_distribution_by_hand() -> None:
    values = np.array([0, 1, 2, np.nan, 3, 4], dtype=np.float32)
    found = Distribution.of(values)
    assert (found.n, found.mean) == (5, 2.0)
    assert found.quantiles == pytest.approx((0.2, 1, 2, 3, 3.8))


def test_nothing_has_no_mean() -> None:
    assert Distribution.of(np.array([np.nan], dtype=np.float32)) == Distribution(0, None, ())


# -- alignment and uniformity ----------------------------------------------------------


def test_alignment_by_hand() -> None:
    # The same direction: 0. A right angle: 2. Opposite: 4. Lengths do not matter.
    left = floats([3, 0], [1, 0], [1, 0])
    right = floats([1, 0], [0, 7], [-2, 0])
    assert alignment(left, right) == pytest.approx(2.0)


def test_uniformity_by_hand() -> None:
    # Distances² of three corners of a square: 2, 2 and 4.
    corners = floats([1, 0], [0, 5], [-1, 0])
    expected = math.log((2 * math.exp(-4) + math.exp(-8)) / 3)
    assert uniformity(corners) == pytest.approx(expected, rel=1e-5)


def test_uniformity_is_0_where_all_is_one_and_lower_where_it_is_spread() -> None:
    assert uniformity(np.ones((5, 3), dtype=np.float32)) == pytest.approx(0, abs=1e-5)
    narrow, wide = uniformity(rand(200, 8) + 5), uniformity(rand(200, 8))
    assert narrow is not None
    assert wide is not None
    assert wide < narrow < 0


@given(st.integers(0, 100))
def test_a_rotation_changes_neither(seed: int) -> None:
    left, right, turn = rand(20, 4, seed=seed), rand(20, 4, seed=seed + 1), rotation(4, seed)
    assert alignment(left @ turn, right @ turn) == pytest.approx(alignment(left, right), rel=1e-4)
    assert uniformity(left @ turn) == pytest.approx(uniformity(left), rel=1e-4)


def test_vectors_without_direction_do_not_count() -> None:
    left, right = floats([0, 0], [1, 0]), floats([1, 0], [0, 1])
    assert alignment(left, right) == pytest.approx(2.0)
    assert alignment(left[:1], right[:1]) is None
    assert uniformity(floats([0, 0], [1, 0], [0, 1])) == pytest.approx(-4, rel=1e-5)
    assert uniformity(floats([0, 0], [1, 0])) is None


# -- neighbours ------------------------------------------------------------------------


def test_a_rotated_copy_has_the_same_neighbours_though_every_vector_moved() -> None:
    now = rand(60, 16)
    before = now @ rotation(16)
    assert np.linalg.norm(now - before, axis=1).min() > 1
    assert neighbour_overlap(now, before, 5, rng()) == 1.0


def test_another_width_and_other_lengths_change_nothing() -> None:
    now = rand(40, 6)
    longer = np.pad(now, ((0, 0), (0, 3))) * np.arange(1, 41, dtype=np.float32)[:, None]
    assert neighbour_overlap(now, longer, 5, rng()) == 1.0


def test_overlap_by_hand() -> None:
    # On a circle, at degrees; nearest neighbour of each before and now:
    def at(*degrees: float) -> Floats:
        turns = np.radians(np.array(degrees))
        return np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32)

    before = at(0, 10, 50, 70)  # 0:1, 1:0, 2:3, 3:2
    now = at(0, 10, 18, 70)  # 0:1, 1:2, 2:1, 3:2
    assert neighbour_overlap(now, before, 1, rng()) == pytest.approx(2 / 4)
    # Of two neighbours each. Before: 12, 02, 31, 21; now: 12, 20, 10, 21. Items 0, 1 and 3
    # keep both; item 2 keeps one of three.
    assert neighbour_overlap(now, before, 2, rng()) == pytest.approx((3 + 1 / 3) / 4)


def test_unrelated_vectors_share_neighbours_by_chance_only() -> None:
    # Two random 10 of 199: about half a common one in 19.5.
    overlap = neighbour_overlap(rand(200, 16), rand(200, 16, seed=1), 10, rng())
    assert overlap == pytest.approx(0.5 / 19.5, abs=0.02)


def test_few_items_are_all_neighbours_and_one_has_none() -> None:
    assert neighbour_overlap(rand(3, 4), rand(3, 4, seed=1), 10, rng()) == 1.0
    assert neighbour_overlap(rand(1, 4), rand(1, 4), 10, rng()) is None


def test_a_sample_of_items_is_close_to_all_of_them() -> None:
    now = rand(600, 8)
    before = now + 0.3 * rand(600, 8, seed=1)
    every = neighbour_overlap(now, before, 10, rng())
    part = neighbour_overlap(now, before, 10, rng(), n_sampled=300)
    assert every is not None
    assert 0.2 < every < 0.9
    assert part == pytest.approx(every, abs=0.05)
    assert part != every


# -- all together ----------------------------------------------------------------------

USER = floats([2, 0], [0, 3])
ITEM = floats([1, 0], [0, 1], [0.6, 0.8], [-4, 0])
WANTED = (np.array([0, 1, 1], dtype=np.int32), np.array([0, 1, 2], dtype=np.int32))


def test_health_by_hand() -> None:
    health = embedding_health(USER, ITEM, WANTED, rng())
    assert health.positive.n == 3
    assert health.positive.mean == pytest.approx((1 + 1 + 0.8) / 3)
    assert health.alignment == pytest.approx((0 + 0 + 0.4) / 3, abs=1e-6)
    assert health.user_uniformity == pytest.approx(-4, rel=1e-5)
    assert health.user_norm.mean == pytest.approx(2.5)
    assert health.item_norm.quantiles[2] == pytest.approx(1.0)
    assert health.neighbour_overlap is None


def test_random_pairs_are_never_wanted_ones() -> None:
    # The one request wants the items ahead of it; the only other one lies behind it.
    item = floats([1, 0], [1, 0], [1, 0], [-1, 0])
    wanted = (np.zeros(3, dtype=np.int32), np.arange(3, dtype=np.int32))
    seen = 0
    for seed in range(20):
        health = embedding_health(USER[:1], item, wanted, np.random.default_rng(seed))
        seen += health.random.n
        assert health.random.mean in {None, -1.0}
    assert seen > 5


def test_items_the_previous_version_lacked_are_left_out() -> None:
    item = rand(50, 8)
    previous = item @ rotation(8)
    previous[40:] = np.nan
    health = embedding_health(item[:2], item, WANTED, rng(), previous, k=5)
    assert health.neighbour_overlap == 1.0


def test_nothing_wanted_and_nothing_known_before_is_none() -> None:
    none = np.empty(0, dtype=np.int32)
    health = embedding_health(USER, ITEM, (none, none), rng(), np.full_like(ITEM, np.nan))
    assert health.positive == health.random == Distribution(0, None, ())
    assert health.alignment is None
    assert health.neighbour_overlap is None


def test_the_same_generator_gives_the_same_figures_and_they_are_json() -> None:
    user, item = rand(300, 8), rand(400, 8, seed=1)
    wanted = (
        np.repeat(np.arange(300, dtype=np.int32), 2),
        np.random.default_rng(2).integers(400, size=600).astype(np.int32),
    )
    one, two = (
        embedding_health(user, item, wanted, rng(), item + 1, n_sampled=100) for _ in range(2)
    )
    assert one == two
    assert one.positive.n == 100
    assert one.item_norm.n == 400
    told = json.loads(json.dumps(one.to_json(), allow_nan=False))
    assert told["positive"]["n"] == 100
    assert len(told["user_norm"]["quantiles"]) == 5
