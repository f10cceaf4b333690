"""A window that lets go of what is no longer so: closed forms, false alarms and delays."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.monitoring.concept import Change, ConceptDrift, chance_reach
from crossfade.types import Doubles


def one_by_one(losses: Doubles, delta: float) -> list[tuple[int, Change]]:
    """Places after which a change was found, and what was found."""
    drift = ConceptDrift(delta)
    found = ((at, drift.add(losses[at : at + 1], np.array([at]))) for at in range(len(losses)))
    return [(at, change) for at, change in found if change is not None]


def coins(seed: int, *parts: tuple[int, float]) -> Doubles:
    """Losses of 0 and 1: so many with such a mean, part after part."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.random(n) < mean for n, mean in parts]).astype(np.float64)


def test_the_reach_of_chance_is_its_formula() -> None:
    # m = 1 / (1/100 + 1/300) = 75, ln(2 / 0.1) = ln 20.
    expected = math.sqrt(2 * 0.25 * math.log(20) / 75) + 2 * math.log(20) / (3 * 75)
    assert chance_reach(np.array([100.0]), np.array([300.0]), 0.25, 0.1) == pytest.approx(
        [expected]
    )


@pytest.mark.parametrize(("n_ones", "found"), [(11, False), (12, True)])
def test_a_cut_is_made_where_the_means_are_further_apart_than_chance_allows(
    n_ones: int, found: bool
) -> None:
    # One border between two batches of 20 with means 0 and p: m = 10, ln(2 / 0.09) = 3.1, σ² = p/2 (1 - p/2).
    # p = 0.55: ε = √(0.2 · 3.1 · 0.199) + 2 · 3.1 / 30 = 0.351 + 0.207 = 0.558; p = 0.6: 0.361 + 0.207 = 0.568.
    p = n_ones / 20
    reach = chance_reach(np.array([20.0]), np.array([20.0]), p / 2 * (1 - p / 2), 0.09)[0]
    assert (p > reach) == found
    drift = ConceptDrift(0.09)
    assert drift.add(np.zeros(20), np.zeros(20, dtype=np.int64)) is None
    change = drift.add(np.repeat([1.0, 0.0], [n_ones, 20 - n_ones]), np.full(20, 7))
    assert change == (Change(7, 0.0, p, 20, 20) if found else None)
    assert drift.n == (20 if found else 40)
    assert drift.mean == pytest.approx(p if found else p / 2)


@pytest.mark.parametrize("size", [1, 15])
def test_where_nothing_changes_hardly_anything_is_found(size: int) -> None:
    # The promise is one per check; it is kept with so much to spare that it holds for all of the 60
    # checks of a stream together. The losses are as skewed as those of lists: most lie near 1.
    delta, streams = 0.3, 60
    alarms = 0
    for seed in range(streams):
        rng, drift = np.random.default_rng(seed), ConceptDrift(delta)
        losses = rng.beta(0.5, 0.2, (60, size))
        alarms += any(drift.add(one, np.full(size, at)) for at, one in enumerate(losses))
    assert alarms <= delta * streams


RIVER = {
    # (seed, before, after): the place after which `river.drift.ADWIN(delta=0.002, clock=1)` of river 0.26.1
    # says so, fed `coins(seed, (1000, before), (2000, after))` one by one.
    (0, 0.2, 0.5): 1049,
    (1, 0.2, 0.5): 1071,
    (2, 0.2, 0.5): 1087,
    (3, 0.6, 0.4): 1135,
    (4, 0.6, 0.4): 1206,
    (5, 0.6, 0.4): 1218,
}


@pytest.mark.parametrize(("case", "theirs"), RIVER.items(), ids=str)
def test_a_jump_is_found_about_when_another_implementation_finds_it(
    case: tuple[int, float, float], theirs: int
) -> None:
    seed, before, after = case
    found = one_by_one(coins(seed, (1000, before), (theirs + 100 - 1000, after)), 0.002)
    at, change = found[0]
    # Later than river by the logarithm of the number of borders; and it says when, within a bucket.
    assert theirs - 10 <= at <= theirs + 70
    assert abs(change.at_us - 1000) <= 80
    assert (change.after > change.before) == (after > before)


def test_a_larger_jump_is_found_earlier() -> None:
    delays = [one_by_one(coins(1, (400, 0.2), (400, mean)), 0.01)[0][0] for mean in (0.5, 0.7, 0.9)]
    assert delays == sorted(delays, reverse=True)
    assert 400 < delays[2] < delays[0] < 600


def test_a_gradual_change_is_found_and_the_window_ends_up_in_the_new_world() -> None:
    rng = np.random.default_rng(0)
    means = np.concatenate([np.full(500, 0.3), np.linspace(0.3, 0.7, 600), np.full(900, 0.7)])
    drift = ConceptDrift(0.01)
    found = []
    for at in range(0, len(means), 20):
        part = (rng.random(20) < means[at : at + 20]).astype(np.float64)
        found.append(drift.add(part, np.arange(at, at + 20)))
    changes = [one for one in found if one is not None]
    assert all(one.at_us > 500 and one.after > one.before for one in changes)
    assert drift.mean == pytest.approx(0.7, abs=0.05)


def test_an_unknown_loss_is_no_loss() -> None:
    # Were NaN taken for 0, half of the losses of the second part would be 0 instead of 1.
    drift, plain = ConceptDrift(0.01), ConceptDrift(0.01)
    for at in range(30):
        losses = np.array([1.0, np.nan, 0.0, np.nan] if at % 2 else [1.0, 0.0])
        time_us = np.full(len(losses), at)
        assert drift.add(losses, time_us) is None
        plain.add(np.array([1.0, 0.0]), time_us[:2])
    assert drift.add(np.array([np.nan]), np.array([31])) is None
    assert (drift.n, drift.mean) == (plain.n, plain.mean) == (60, 0.5)
    assert math.isnan(ConceptDrift(0.01).mean)


@given(st.lists(st.lists(st.sampled_from([0.0, 0.25, 1.0, math.nan]), max_size=8), max_size=40))
def test_nothing_is_lost_but_what_is_let_go_of(batches: list[list[float]]) -> None:
    drift, kept = ConceptDrift(0.5), np.zeros(0)
    for at, batch in enumerate(batches):
        losses = np.array(batch, dtype=np.float64)
        change = drift.add(losses, np.full(len(losses), at))
        kept = np.append(kept, losses[~np.isnan(losses)])
        if change is not None:
            kept = kept[-drift.n :]
            assert change.n_after == drift.n
        assert drift.n == len(kept)
        assert drift.n == 0 or drift.mean == pytest.approx(kept.mean())


def test_memory_grows_with_the_logarithm() -> None:
    drift = ConceptDrift(0.01)
    for at in range(2_000):
        drift.add(np.array([0.5]), np.array([at]))
    assert drift.n == 2_000
    assert len(drift._level) <= 5 * math.log2(2_000)


def test_what_cannot_be_judged_is_refused() -> None:
    drift = ConceptDrift(0.01)
    with pytest.raises(ValueError, match=r"in \[0, 1\], got 0.5 to 1.5"):
        drift.add(np.array([0.5, 1.5]), np.array([1, 2]))
    drift.add(np.array([0.5]), np.array([5]))
    for times in ([4, 6], [7, 6]):
        with pytest.raises(ValueError, match="in the order of time"):
            drift.add(np.array([0.5, 0.5]), np.array(times))
    with pytest.raises(ValueError, match="between 0 and 1, got 1"):
        ConceptDrift(1)
