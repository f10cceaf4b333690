"""Drift of one feature: closed forms, and nothing found where nothing moved."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, energy_distance, ks_1samp

from crossfade.monitoring.drift import Sample, energy, stability

VALUES = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=30)


def alone(values: object) -> Sample:
    """Everybody has one value."""
    array = np.asarray(values, dtype=np.float64)
    return Sample(array, np.arange(len(array)))


def test_the_index_is_its_formula() -> None:
    # Edges at 1 of (0, 1 | 2, 3): 2 and 2 people before, 1 and 3 now; half a one is added to each.
    found = stability(alone([0, 1, 2, 3]), alone([0, 2, 2, 9]), n_bins=2)
    p, q = np.array([2.5, 2.5]) / 5, np.array([1.5, 3.5]) / 5
    assert found.plain == pytest.approx(((q - p) * np.log(q / p)).sum())
    # Between people a share of 1 / 2 has variance 1 / 4, one of 1 / 4 has 3 / 16, in both bins.
    expected = (1 / 4 / 4 + 3 / 16 / 4) * (1 / ((p + q) / 2)).sum()
    assert found.debiased == pytest.approx(found.plain - expected)
    assert found.n_cells == 2


def test_missing_values_are_a_bin_of_their_own() -> None:
    known, gone = [1.0] * 40, [np.nan] * 40
    moved = stability(alone(known + gone), alone(known + 3 * gone))
    assert moved.n_cells == 2
    assert moved.plain > stability(alone(known + gone), alone(known + gone)).plain == 0


def test_a_feature_of_one_value_does_not_move() -> None:
    found = stability(alone([1.0] * 5), alone([1.0] * 9))
    assert (found.plain, found.debiased, found.chance) == (0, 0, 0)


def test_without_change_the_index_is_as_large_as_it_says() -> None:
    rng = np.random.default_rng(0)
    found = [
        stability(alone(rng.normal(size=400)), alone(rng.normal(size=150)), level=0.9)
        for _ in range(400)
    ]
    debiased = np.array([one.debiased for one in found])
    spread = debiased.std() / np.sqrt(len(debiased))
    assert abs(debiased.mean()) < 4 * spread
    assert (debiased > found[0].chance).mean() == pytest.approx(0.1, abs=0.05)


def test_many_values_of_few_people_are_not_taken_for_many_people() -> None:
    rng = np.random.default_rng(2)

    def sample(n_people: int) -> Sample:
        own = rng.normal(size=n_people)[:, None] + 0.5 * rng.normal(size=(n_people, 20))
        return Sample(own.ravel(), np.repeat(np.arange(n_people), 20))

    found = [stability(sample(300), sample(100), level=0.95) for _ in range(200)]
    debiased = np.array([one.debiased for one in found])
    plain = np.array([one.plain for one in found])
    assert abs(debiased.mean()) < 0.15 * plain.mean()
    beyond = np.mean([one.debiased > one.chance for one in found])
    assert beyond < 0.12


def test_who_has_many_values_counts_once() -> None:
    many = Sample(np.array([0.0] * 100 + [1.0]), np.array([0] * 100 + [1]))
    assert stability(alone([0, 1]), many, n_bins=2).plain == pytest.approx(0)
    assert energy(alone([0, 1]), many) == pytest.approx(0)
    assert many.n_people == 2


@given(VALUES, VALUES)
def test_the_energy_coefficient_is_that_of_scipy(first: list[float], second: list[float]) -> None:
    x, y = np.array(first), np.array(second)
    apart = 2 * np.abs(x[:, None] - y[None, :]).mean()
    expected = energy_distance(x, y) ** 2 / apart if apart else 0.0
    assert energy(alone(x), alone(y)) == pytest.approx(expected, abs=1e-12)
    assert energy(alone(3 * x + 1), alone(3 * y + 1)) == pytest.approx(expected, abs=1e-9)


def test_two_points_are_as_far_as_can_be() -> None:
    assert energy(alone([0, 0]), alone([7])) == 1
    assert np.isnan(energy(alone([np.nan]), alone([7])))
    assert np.isnan(stability(alone([]), alone([7])).plain)


def test_people_of_two_samples_stay_apart() -> None:
    joined = Sample.joined([alone([1.0, 2.0]), alone([3.0])])
    assert joined.n_people == 3
    assert joined.values.tolist() == [1, 2, 3]
    assert Sample.joined([]).n_people == 0


def test_the_limit_of_chance_follows_chi_squared() -> None:
    # A check of the whole distribution, not of its mean alone.
    rng, n, m = np.random.default_rng(1), 2_000, 1_000
    plain = [
        stability(alone(rng.random(n)), alone(rng.random(m)), n_bins=5).plain / (1 / n + 1 / m)
        for _ in range(300)
    ]
    assert ks_1samp(plain, chi2(4).cdf).pvalue > 0.001
