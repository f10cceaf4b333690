"""When a rule is broken: limits from what is usual, intervals, and how long it must last."""

import pytest

from crossfade.monitoring.alerts import RULES, Rule, broken
from crossfade.monitoring.measure import Measure

LOW = Rule(name="gone", measure="share", below=True, slack=0.5)
HIGH = Rule(name="drift", measure="psi", above=True, slack=0.5, at_least=0.1)


def measure(value: float | None, name: str = "psi", **told: float) -> Measure:
    return Measure(name=name, of="x", value=value, **{"n": 100, **told})


@pytest.mark.parametrize(
    ("found", "limit"),
    [
        (measure(0.11), 0.1),  # nothing usual: the least limit
        (measure(0.09), None),
        (measure(0.11, usual_high=0.2), None),  # the usual and half of it again
        (measure(0.31, usual_high=0.2), 0.3),
        (measure(0.31, usual_high=0.2, chance=0.4), None),  # chance alone can do that
        (measure(0.31, usual_high=0.2, n=29), None),  # too few people to say
        (measure(None, usual_high=0.2), None),
        (measure(0.5, low=0.09, high=0.9), None),  # the interval reaches below the limit
        (measure(0.9, name="other"), None),
    ],
)
def test_too_much_is_beyond_the_usual_the_least_and_chance(
    found: Measure, limit: float | None
) -> None:
    alerts = broken([found], [HIGH])
    assert [alert.limit for alert in alerts] == ([] if limit is None else [pytest.approx(limit)])


@pytest.mark.parametrize(
    ("found", "is_broken"),
    [
        (measure(0.2, "share"), False),  # nothing says what too little is
        (measure(0.2, "share", usual_low=0.5), True),
        (measure(0.2, "share", usual_low=0.4, high=0.21, low=0.1), False),
        (measure(0.2, "share", usual_low=0.5, high=0.21, low=0.1), True),
    ],
)
def test_too_little_is_below_half_of_the_usual(found: Measure, *, is_broken: bool) -> None:
    assert bool(broken([found], [LOW])) == is_broken


def test_a_rule_waits_as_long_as_it_says() -> None:
    rule = HIGH.changed(for_reports=3)
    bad, good = [measure(1.0)], [measure(0.0)]
    assert broken(bad, [rule], [bad, bad, good])
    for earlier in ([], [bad], [bad, good, bad], [bad, []]):
        assert not broken(bad, [rule], earlier)
    assert not broken(good, [rule], [bad, bad])


def test_the_rules_that_are_shipped_have_names_of_their_own_and_a_direction() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.above != rule.below for rule in RULES)
