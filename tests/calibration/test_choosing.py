"""Log-loss out of fold decides, and folds are of whole requests."""

import time
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from crossfade.calibration.choosing import CANDIDATES, choose_calibrator, deal
from crossfade.calibration.identity import Identity
from crossfade.calibration.isotonic import IsotonicCalibration
from crossfade.calibration.metrics import log_loss
from crossfade.calibration.platt import PlattScaling
from crossfade.calibration.temperature import TemperatureScaling
from crossfade.errors import DataError
from crossfade.types import Bools, Doubles, Ints


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def lists(n_requests: int, length: int, seed: int = 1) -> tuple[Doubles, Bools, Ints]:
    """Scores whose log-odds are a line, and whose list each is of."""
    score = rng(seed).normal(size=n_requests * length)
    label = rng(seed + 100).random(len(score)) < expit(2 * score - 2)
    return score, label, np.repeat(np.arange(n_requests), length)


@given(
    st.lists(st.tuples(st.integers(-3, 6), st.booleans()), min_size=1, max_size=40),
    st.integers(2, 6),
    st.integers(0, 100),
)
def test_rows_of_one_request_share_a_fold_and_each_fold_has_something_wanted(
    rows: list[tuple[int, bool]], n_folds: int, seed: int
) -> None:
    request = np.array([owner for owner, _ in rows])
    wanted = np.array([yes for _, yes in rows])
    n_with = len(set(request[wanted].tolist()))
    if n_with < 2:
        with pytest.raises(DataError, match=f"{n_with} of "):
            deal(request, wanted, n_folds, rng(seed))
        return
    fold = deal(request, wanted, n_folds, rng(seed))
    for owner in set(request.tolist()):
        assert len(set(fold[request == owner].tolist())) == 1
    everywhere = set(range(min(n_folds, n_with)))
    assert set(fold[wanted].tolist()) == set(fold.tolist()) == everywhere


def test_what_is_best_out_of_fold_is_chosen_and_learns_from_all() -> None:
    score, label, request = lists(300, 20)
    chosen = choose_calibrator(score, label, request, rng(), [IsotonicCalibration, PlattScaling])
    # The truth is a line, so the staircase pays for its freedom.
    assert chosen.calibrator.name == "platt"
    assert chosen.log_loss["platt"] < chosen.log_loss["isotonic"] < chosen.base_rate_loss
    alone = PlattScaling().fit(score, label)
    np.testing.assert_array_equal(chosen.calibrator.predict(score), alone.predict(score))


def test_out_of_fold_loss_by_hand() -> None:
    # Two requests, two folds: each is judged by the fit on the other.
    score, label, request = lists(2, 50)
    first = request == 0
    losses = [
        log_loss(PlattScaling().fit(score[a], label[a]).predict(score[~a]), label[~a])
        for a in (first, ~first)
    ]
    chosen = choose_calibrator(score, label, request, rng(), [PlattScaling])
    assert chosen.log_loss["platt"] == pytest.approx(np.mean(losses))
    rate = label.mean()
    entropy = -rate * np.log(rate) - (1 - rate) * np.log(1 - rate)
    assert chosen.base_rate_loss == pytest.approx(entropy)


def test_folds_of_rows_would_have_been_fooled_where_folds_of_requests_are_not() -> None:
    # Each request has one score of its own, and wants all or nothing: a staircase with a step per
    # request is right about rows of requests it has seen, and knows nothing of others.
    n, length = 60, 30
    score = np.repeat(rng(0).normal(size=n), length)
    label = np.repeat(rng(1).random(n) < 0.5, length)
    request = np.repeat(np.arange(n), length)
    honest = choose_calibrator(score, label, request, rng(), [IsotonicCalibration, PlattScaling])
    fooled = choose_calibrator(
        score, label, np.arange(n * length), rng(), [IsotonicCalibration, PlattScaling]
    )
    assert fooled.calibrator.name == "isotonic"
    assert honest.calibrator.name == "platt"


def test_of_equals_the_first_wins() -> None:
    score, label, request = lists(20, 10)

    class Twin(PlattScaling):
        name = "twin"

    for order in ([PlattScaling, Twin], [Twin, PlattScaling]):
        chosen = choose_calibrator(score, label, request, rng(), order)
        assert chosen.calibrator.name == order[0].name


def test_equal_seeds_give_equal_choices() -> None:
    data = lists(40, 20)
    assert choose_calibrator(*data, rng(3)).log_loss == choose_calibrator(*data, rng(3)).log_loss
    assert choose_calibrator(*data, rng(3)).log_loss != choose_calibrator(*data, rng(4)).log_loss


def test_rows_without_score_or_weight_are_not_there() -> None:
    score, label, request = lists(40, 20)
    expected = choose_calibrator(score, label, request, rng())
    found = choose_calibrator(
        np.concatenate([score, [np.nan, 3.0]]),
        np.append(label, [True, False]),
        np.append(request, [900, 901]),
        rng(),
        weight=np.append(np.ones(len(score)), [1, 0]),
    )
    assert found.log_loss == expected.log_loss
    assert found.base_rate_loss == expected.base_rate_loss


def test_makers_may_carry_arguments() -> None:
    score, label, request = lists(40, 20)
    chosen = choose_calibrator(
        score, label, request, rng(), [partial(TemperatureScaling, logits=True)]
    )
    assert isinstance(chosen.calibrator, TemperatureScaling)
    assert chosen.calibrator.predict(np.array([0.0]))[0] == 0.5


def test_candidates_that_cannot_be_told_apart_are_refused() -> None:
    data = lists(4, 5)
    for candidates in ([], [PlattScaling, PlattScaling]):
        with pytest.raises(ValueError, match="1 candidate of each name"):
            choose_calibrator(*data, rng(), candidates)
    with pytest.raises(ValueError, match="2 folds"):
        choose_calibrator(*data, rng(), n_folds=1)


def test_data_that_cannot_be_used_is_refused_before_it_is_cut() -> None:
    score, label, request = lists(10, 20)
    with pytest.raises(DataError, match="1 of 200 scores are infinite"):
        choose_calibrator(np.where(np.arange(200) == 4, np.inf, score), label, request, rng())
    with pytest.raises(DataError, match="0 of 200 scored candidates are wanted"):
        choose_calibrator(score, np.zeros_like(label), request, rng())
    with pytest.raises(DataError, match=r"1 of 10 requests has a wanted"):
        choose_calibrator(score, label & (request == 3), request, rng())
    with pytest.raises(DataError, match=r"outside \[0, 1\]"):
        choose_calibrator(score, label, request, rng(), [Identity])
    with pytest.raises(ValueError, match="one shape"):
        choose_calibrator(score, label, request[1:], rng())


def test_thirty_thousand_candidates_take_seconds() -> None:
    data = lists(300, 100)
    start = time.monotonic()
    assert len(choose_calibrator(*data, rng()).log_loss) == len(CANDIDATES)
    assert time.monotonic() - start < 10  # below 1 s on one idle core
