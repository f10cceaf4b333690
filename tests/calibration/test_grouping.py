"""Kinds get a calibrator of their own where requests not seen say that they should."""

import numpy as np
import pytest
from scipy.special import expit

from crossfade.calibration.grouping import GROUPINGS, TOGETHER, choose_grouping
from crossfade.calibration.metrics import log_loss
from crossfade.calibration.mondrian import MondrianCalibrator, groups
from crossfade.calibration.platt import PlattScaling
from crossfade.errors import DataError
from crossfade.types import Bools, Doubles, Ints


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def lists(gap: float, *, by: str, n: int = 200) -> tuple[Doubles, Bools, Ints, Ints]:
    """40 candidates a request; log-odds are score − 2, and lower by ``gap`` for one half of a kind."""
    request = np.repeat(np.arange(n), 40)
    history = np.where(request % 2, 100, 3)
    age = np.where(np.arange(n * 40) % 2, 400.0, 3.0)
    lower = (history > 50) if by == "history" else (age > 30)
    score = rng(1).normal(size=n * 40)
    label = rng(2).random(n * 40) < expit(score - 2 - gap * lower)
    return score, label, request, groups(history, age)


@pytest.mark.parametrize("by", ["history", "item age"])
def test_what_sets_candidates_apart_is_found(by: str) -> None:
    found = choose_grouping(*lists(2.0, by=by), rng(), make=PlattScaling)
    assert found.name == by
    assert found.log_loss[by] < found.log_loss[TOGETHER]
    assert set(found.log_loss) == set(GROUPINGS)


def test_kinds_that_differ_in_nothing_are_calibrated_together() -> None:
    score, label, request, group = lists(0.0, by="history")
    found = choose_grouping(score, label, request, group, rng(), make=PlattScaling)
    assert (found.name, found.calibrator) == (TOGETHER, None)


def test_a_gain_by_chance_is_no_gain() -> None:
    # One request in forty wants everything: its kind looks better out of fold, within the noise.
    score, label, request, group = lists(0.0, by="history", n=40)
    label = label | (request == 7)
    found = choose_grouping(score, label, request, group, rng(), make=PlattScaling)
    assert found.name == TOGETHER


def test_each_request_is_judged_by_a_fit_on_the_others() -> None:
    # Two requests, two folds, one kind.
    score, label, request, _ = lists(0.0, by="history", n=2)
    found = choose_grouping(score, label, request, np.zeros(80, np.int64), rng(), make=PlattScaling)
    first = request == 0
    losses = [
        log_loss(PlattScaling().fit(score[a], label[a]).predict(score[~a]), label[~a])
        for a in (first, ~first)
    ]
    assert found.log_loss[TOGETHER] == pytest.approx(np.mean(losses))
    # With one kind only nothing else was tried.
    assert list(found.log_loss) == [TOGETHER]


def test_groupings_of_the_ids_of_kinds_by_hand() -> None:
    ids = groups(np.array([0, 3, 20, 99]), np.array([np.nan, 1.0, 1.0, 99.0]))
    assert GROUPINGS["history"](ids).tolist() == [0, 1, 2, 3]
    assert GROUPINGS["item age"](ids).tolist() == [0, 1, 1, 2]
    assert GROUPINGS["history and item age"](ids).tolist() == ids.tolist()
    assert GROUPINGS[TOGETHER](ids).tolist() == [0, 0, 0, 0]


def test_the_chosen_calibrator_learned_from_all() -> None:
    score, label, request, group = lists(2.0, by="history")
    found = choose_grouping(score, label, request, group, rng(), make=PlattScaling)
    kind = GROUPINGS["history"](group)
    assert found.calibrator is not None
    again = MondrianCalibrator(PlattScaling).fit(score, label, kind)
    np.testing.assert_array_equal(found.calibrator.predict(score, kind), again.predict(score, kind))


def test_wrong_use_is_refused() -> None:
    score, label, request, group = lists(0.0, by="history", n=4)
    with pytest.raises(ValueError, match="one shape"):
        choose_grouping(score, label, request, group[1:], rng(), make=PlattScaling)
    with pytest.raises(DataError, match="1 of 4 requests has a wanted"):
        choose_grouping(score, request == 1, request, group, rng(), make=PlattScaling)
