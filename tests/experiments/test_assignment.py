"""Who is in which arm."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

from crossfade.errors import ConfigError
from crossfade.experiments import Arm, Experiment
from crossfade.experiments.assignment import place, shares

UNITS = [f"user {i}" for i in range(20_000)]
weights = st.lists(st.floats(0.01, 100), min_size=2, max_size=6)


def test_assignment_never_changes_from_one_release_to_the_next() -> None:
    # Who is where in a running experiment must survive an upgrade: these are for ever.
    found = [place("shelf", f"u{i}", 0.8, [1, 1, 2]) for i in range(16)]
    assert found == [0, 2, None, 2, None, 2, 2, 1, None, 2, 0, 2, 0, 2, 2, 0]


@given(st.text(max_size=20), st.floats(0, 1), st.floats(0, 1), weights)
def test_more_traffic_moves_nobody(unit: str, a: float, b: float, parts: list[float]) -> None:
    less, more = (place("shelf", unit, traffic, parts) for traffic in sorted((a, b)))
    assert less in {None, more}
    assert place("shelf", unit, 1.0, parts) in range(len(parts))
    assert place("shelf", unit, 0.0, parts) is None


def test_units_are_spread_by_traffic_and_weights() -> None:
    parts = [1.0, 2.0, 5.0]
    found = Counter(place("shelf", unit, 0.4, parts) for unit in UNITS)
    expected = np.array([0.6, *(0.4 * np.array(shares(parts)))]) * len(UNITS)
    assert chisquare([found[arm] for arm in (None, 0, 1, 2)], expected).pvalue > 0.001


def test_experiments_are_independent_of_one_another() -> None:
    for one, other in (("shelf", "colour"), ("a", "b"), ("x1", "x11")):
        table = np.zeros((3, 3))
        for unit in UNITS:
            first, second = (place(name, unit, 0.6, [1, 1]) for name in (one, other))
            table[2 if first is None else first, 2 if second is None else second] += 1
        assert chi2_contingency(table).pvalue > 0.001


@given(weights)
def test_shares_are_whole_buckets_and_sum_to_one(parts: list[float]) -> None:
    found = shares(parts)
    assert sum(found) == pytest.approx(1)
    assert found == pytest.approx(np.array(parts) / sum(parts), abs=1e-4)


# -- settings ------------------------------------------------------------------------------

GOOD = {
    "name": "shelf",
    "arms": [{"name": "as-is"}, {"name": "mixed", "ranking": {"diversity": 0.3}}],
    "minimal_effect": 0.1,
    "planned": 1000,
}


def test_every_fault_is_named_at_once() -> None:
    arms = [{"name": "a", "weight": 0}, {"name": "b", "weight": -1}, {"name": "b", "weight": float("nan")},
            {"name": "c", "ranking": {"diversity": 2, "colour": 1}}]  # fmt: skip
    with pytest.raises(ConfigError) as error:
        Experiment(**{**GOOD, "arms": arms, "metric": "clicks", "name": "a b", "planned": 0})
    for fault in ("arms.0.weight", "arms.1.weight", "arms.2.weight", "arms.3.ranking.diversity",
                  "arms.3.ranking.colour", "metric", "name", "planned"):  # fmt: skip
        assert f"\n  {fault} " in str(error.value)


@pytest.mark.parametrize(
    ("arms", "fault"),
    [
        ([{"name": "a"}], "there must be 2 to 10, got 1"),
        ([{"name": f"a{i}"} for i in range(11)], "there must be 2 to 10, got 11"),
        ([{"name": "a"}, {"name": "a"}], '2 arms are called "a"; give each a name of its own'),
        ([{"name": "a"}, {"name": "b", "weight": 1e-5}], 'arm "b" would get less than one of 10,000'),
        ([{"name": "a"}, {"name": "b", "weight": float("inf")}], "weight should be a finite number"),
    ],
)  # fmt: skip
def test_arms_that_cannot_be_are_refused(arms: list[dict[str, object]], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        Experiment(**{**GOOD, "arms": arms})


def test_an_arm_changes_what_it_names_and_nothing_else_also_after_it_was_kept() -> None:
    # 0 is the default of explore, but not what every system is set to.
    arm = Arm(name="a", ranking={"explore": 0.0, "diversity": 0.3})
    kept = Experiment(**{**GOOD, "arms": [{"name": "b"}, arm.model_dump()]})
    for one in (kept, Experiment.model_validate_json(kept.model_dump_json())):
        assert one.arms[1].changes == {"explore": 0.0, "diversity": 0.3}
        assert one.arms[0].changes == {}
        assert one == kept
