"""Intervals against closed forms, and against what happens when somebody looks all the time."""

import numpy as np
import pytest
from scipy import stats

from crossfade.experiments.intervals import (
    Moments,
    always_valid,
    mean_interval,
    sequence_radius,
    units_needed,
    welch,
    without_what_was_before,
)
from crossfade.rng import generator
from crossfade.types import Doubles


def of(*values: float) -> Moments:
    return Moments.of(np.array(values, dtype=np.float64))


def test_moments_by_hand() -> None:
    assert (of(1, 2, 6).n, of(1, 2, 6).mean, of(1, 2, 6).variance) == (3, 3, 7)
    assert np.isnan(of(1).variance)
    assert np.isnan(of().mean)


def test_the_interval_for_one_look_is_that_of_scipy() -> None:
    rng = generator(0, "test")
    a, b = rng.normal(3, 1, 12), rng.normal(4, 5, 30)
    told = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.9)
    found = welch(Moments.of(a), Moments.of(b), 0.1)
    assert (found.low, found.high) == pytest.approx((told.low, told.high))
    alone = stats.ttest_1samp(a, 0).confidence_interval(0.9)
    mine = mean_interval(Moments.of(a), 0.1)
    assert (mine.low, mine.high) == pytest.approx((alone.low, alone.high))


def test_of_too_little_nothing_is_said() -> None:
    for few in (of(), of(1)):
        for found in (
            welch(few, of(1, 2, 3), 0.05),
            always_valid(few, of(1, 2, 3), 0.05, 100),
            mean_interval(few, 0.05),
        ):
            assert np.isnan([found.low, found.high]).all()
        assert units_needed(few, of(1, 2, 3), 0.1, 0.05) is None


@pytest.mark.parametrize("planned", [100, 10_000])
def test_a_sequence_is_narrowest_where_it_was_planned(planned: int) -> None:
    n = np.array([planned])
    best = sequence_radius(n, 0.05, planned)
    for other in (planned * 0.8, planned * 1.25):
        assert sequence_radius(n, 0.05, other) > best
    # It costs about half as much again as one look does.
    assert 1.4 < best * np.sqrt(planned) / 1.96 < 1.6


def differences(n_runs: int, n: int, effect: float) -> tuple[Doubles, Doubles]:
    """Skewed outcomes of two arms unit by unit, shape ``(n_runs, n)`` each: events of a list."""
    rng = generator(7, "experiments.test")
    draw = [rng.poisson(rng.gamma(1.0, mean, (n_runs, n))) for mean in (1.0, 1.0 + effect)]
    return draw[0].astype(float), draw[1].astype(float)


def running(values: Doubles) -> tuple[Doubles, Doubles]:
    """Mean and variance after each unit."""
    n = np.arange(1, values.shape[1] + 1)
    mean = values.cumsum(axis=1) / n
    return mean, ((values**2).cumsum(axis=1) - n * mean**2) / np.maximum(n - 1, 1)


def test_who_looks_after_every_unit_is_misled_by_one_interval_and_not_by_the_other() -> None:
    n_runs, n, first = 600, 2000, 100
    a, b = differences(n_runs, n, effect=0.0)
    (mean_a, var_a), (mean_b, var_b) = running(a), running(b)
    units = np.arange(1, n + 1)
    error = np.sqrt((var_a + var_b) / units)
    apart = np.abs(mean_b - mean_a)
    radius = np.sqrt(2 * units) * error * sequence_radius(2 * units, 0.05, 2 * n)
    ever = (apart > radius)[:, first:].any(axis=1).mean()
    once = (apart > 1.96 * error)[:, first:].any(axis=1).mean()
    at_the_end = (apart > 1.96 * error)[:, -1].mean()
    assert ever < 0.05
    assert once > 0.3
    assert at_the_end < 0.08
    # The radius above is that of the function.
    found = always_valid(Moments.of(a[0]), Moments.of(b[0]), 0.05, 2 * n)
    assert found.high - found.low == pytest.approx(2 * radius[0, -1])


def test_as_many_units_as_are_said_to_be_needed_find_the_effect_in_four_of_five() -> None:
    effect = 0.25
    a, b = differences(20, 20_000, effect)
    needed = units_needed(Moments.of(a[0]), Moments.of(b[0]), effect, 0.05)
    assert needed is not None
    n = needed // 2
    runs = [side.reshape(-1)[: 400 * n].reshape(400, n) for side in (a, b)]
    found = [
        welch(Moments.of(one), Moments.of(other), 0.05).low > 0
        for one, other in zip(*runs, strict=True)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.06)


# -- what units did before -----------------------------------------------------------------


def test_what_the_past_foretells_is_taken_away_and_the_effect_stays() -> None:
    rng = generator(3, "test")
    n = 20_000
    arm = np.arange(n) % 2
    taste = rng.normal(size=n)
    past = taste + 0.5 * rng.normal(size=n)
    values = taste + 0.5 * rng.normal(size=n) + 0.2 * arm
    adjusted = without_what_was_before(values, past, arm)
    means = [adjusted[arm == place].mean() for place in (0, 1)]
    assert means[1] - means[0] == pytest.approx(0.2, abs=0.03)
    # Squared correlation of past and present: 1 / 1.25², which is the part that goes.
    assert adjusted[arm == 0].var() / values[arm == 0].var() == pytest.approx(0.36, abs=0.03)


def test_by_hand() -> None:
    values, arm = np.array([1.0, 3.0, 12.0, 10.0]), np.array([0, 0, 1, 1])
    before = np.array([0.0, 2.0, 4.0, np.nan])
    # Slope 1 within the first arm, none to be seen in the other; the past is 2 on average.
    assert without_what_was_before(values, before, arm).tolist() == [3, 3, 10, 10]


def test_without_a_past_nothing_changes() -> None:
    values, arm = np.array([1.0, 2.0]), np.array([0, 1])
    for before in ([np.nan, np.nan], [4.0, 4.0]):
        assert without_what_was_before(values, np.array(before), arm).tolist() == [1, 2]
    assert without_what_was_before(np.empty(0), np.empty(0), np.empty(0, int)).tolist() == []
