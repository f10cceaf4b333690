"""Do no harm, by hand: who is served what is learned, and how sure that has to be."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from crossfade.fusion.base import Columns, Signals
from crossfade.fusion.verdict import SLICES, Trials, Verdict, judge, slice_of
from crossfade.types import Bools

NAN = np.nan


def trials(*parts: tuple[int, list[float]], later: bool | Bools = False) -> Trials:
    """Gains over the static blend by place of the slice; all of them different people."""
    place = np.concatenate([np.full(len(gain), place) for place, gain in parts])
    gain = np.concatenate([gain for _, gain in parts])
    n = len(gain)
    return Trials(0.5 + gain, np.full(n, 0.5), place, np.arange(n), np.broadcast_to(later, n))


def verdicts(given: Trials, **settings: Any) -> dict[str, Verdict]:
    rng = np.random.default_rng(0)
    found = judge(given, rng, **{"min_requests": 30, "certainty": 0.8, "resamples": 500} | settings)
    assert [verdict.name for verdict in found] == ["all", *SLICES]
    return {verdict.name: verdict for verdict in found}


def serving(given: Trials, **settings: Any) -> dict[str, bool]:
    return {name: verdict.serves for name, verdict in verdicts(given, **settings).items()}


@pytest.mark.parametrize(("in_the_slice", "serves"), [(-0.1, False), (0.0, True), (0.1, True)])
def test_a_small_slice_follows_the_whole_unless_it_did_worse(
    in_the_slice: float, serves: bool
) -> None:
    """In the demo 26 people would have been served what did worse for them."""
    found = serving(trials((0, [in_the_slice] * 10), (2, [0.4] * 50)))
    # Nothing is known of the warm ones, so they stay with the static blend.
    assert found == {"all": True, "cold": serves, "warm": False, "hot": True}


@pytest.mark.parametrize(
    ("everybody_else", "in_the_slice", "serves"),
    [
        (0.4, [-0.4] * 40, False),  # harm is shown
        (0.4, [-0.4] * 19 + [0.36] * 21, True),  # worse by a hair, which shows nothing
        (-0.4, [0.4] * 40, True),  # a gain is shown, where most people lose
        (-0.4, [-0.36] * 19 + [0.4] * 21, False),  # better, which may be chance
        (-0.4, [0.4] * 20, False),  # too few to show a gain
    ],
)
def test_a_slice_that_differs_from_the_whole_has_to_show_it(
    everybody_else: float, in_the_slice: list[float], serves: bool
) -> None:
    found = serving(trials((0, in_the_slice), (2, [everybody_else] * 100)))
    whole = everybody_else > 0
    assert found == {"all": whole, "cold": serves, "warm": False, "hot": whole}


@pytest.mark.parametrize(
    ("later_gain", "serves"),
    [
        ([-0.1] * 40, False),  # time has passed it by, though it still wins on the whole
        ([-0.4] * 19 + [0.36] * 21, True),  # worse by a hair
        ([0.1] * 40, True),
    ],
)
def test_what_does_harm_in_the_later_block_alone_does_not_serve(
    later_gain: list[float], serves: bool
) -> None:
    given = trials((2, [0.4] * 200), later=False) + trials((2, later_gain), later=True)
    hot = verdicts(given)["hot"]
    assert hot.serves == serves
    assert (hot.n, hot.n_later, hot.certainty) == (240, 40, 1)
    assert hot.learned > hot.static


def test_earlier_lists_prove_what_few_later_ones_cannot() -> None:
    few = trials((2, [0.1] * 20), later=True)
    assert not verdicts(few)["all"].serves
    assert verdicts(trials((2, [0.1] * 20)) + few)["all"].serves


def test_a_whole_that_is_too_small_serves_nobody() -> None:
    given = trials((2, [0.4] * 40))
    assert serving(given, min_requests=40)["all"]
    assert not any(serving(given, min_requests=41).values())


def test_of_nobody_nothing_is_known() -> None:
    found = verdicts(trials((0, [])))
    assert not any(verdict.serves for verdict in found.values())
    assert {verdict.n for verdict in found.values()} == {0}
    assert np.isnan([verdict.certainty for verdict in found.values()]).all()


# -- people ----------------------------------------------------------------------------


def certainty(gain: list[float], people: list[int]) -> float:
    given = replace(trials((1, gain)), person=np.array(people))
    return verdicts(given, min_requests=1, resamples=4000)["all"].certainty


def test_people_are_drawn_with_all_their_requests() -> None:
    # One person gains 3 times, two lose a little: by requests 3 of 5 gain; by people it is
    # whether the one is drawn in 3 draws of 3: 1 - (2/3)³.
    gain, people = [1.0, 1.0, 1.0, -0.1, -0.1], [7, 7, 7, 1, 2]
    assert certainty(gain, people) == pytest.approx(1 - (2 / 3) ** 3, abs=0.03)
    # Strangers are nobody twice: only two draws of the second lose. As one person they always win.
    assert certainty([1.0, -0.9], [-1, -1]) == pytest.approx(0.75, abs=0.03)
    assert certainty([1.0, -0.9], [7, 7]) == 1


def test_no_gain_is_not_better() -> None:
    assert certainty([0.0, 0.0, 0.0], [1, 2, 3]) == 0


# -- slices ----------------------------------------------------------------------------


def asked(*positives: float, rows: list[int] | None = None) -> Signals:
    n = len(positives)
    return Signals(
        np.zeros((n, 1, 1), np.float32),
        np.ones((n, 1), np.bool_),
        user=np.log1p(positives, dtype=np.float32)[:, None],
        user_row=None if rows is None else np.array(rows, dtype=np.int32),
        columns=Columns(("b",), ("log_positives",)),
    )


def test_slices_end_at_5_and_50_positive_events() -> None:
    assert slice_of(asked(0, 5, 6, 50, 51, 100_000)).tolist() == [0, 0, 1, 1, 2, 2]


def test_who_is_not_known_to_have_a_history_is_cold_and_without_context_in_the_middle() -> None:
    signals = asked(NAN, 20)
    assert slice_of(signals).tolist() == [0, 1]
    assert slice_of(replace(signals, user=None, columns=Columns(("b",)))).tolist() == [1, 1]


def test_trials_know_who_asks_and_of_strangers_that_they_are_strangers() -> None:
    gain, plain = np.array([0.1, 0.2]), np.zeros(2)
    known = Trials.of(gain, plain, asked(3, 100, rows=[7, -1]), later=True)
    strangers = Trials.of(gain, plain, asked(20, 20), later=False)
    both = known + strangers
    assert_array_equal(both.person, [7, -1, -1, -1])
    assert_array_equal(both.place, [0, 2, 1, 1])
    assert_array_equal(both.later, [True, True, False, False])
    assert_array_equal(both.take(both.later).learned, gain)
