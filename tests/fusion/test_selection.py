"""One base per request: by the user's record, and by the answers."""

from dataclasses import replace

import numpy as np
import pytest
from tests.fusion.problem import NAN, plain, problem, with_signals

from crossfade.errors import DataError
from crossfade.fusion.base import Columns, FusionModel, LabelledSignals
from crossfade.fusion.hard_selection import HardSelection, each_base
from crossfade.fusion.matrix import quality
from crossfade.fusion.oracle import oracle
from crossfade.fusion.static import list_ndcg

NAMES = ["track_b0", "track_b1", "log_track_items"]

UP, DOWN = [[1.0], [2.0], [3.0]], [[3.0], [2.0], [1.0]]


def lists(user: list[list[float]], score: object = None) -> LabelledSignals:
    """Base 0 orders upwards, base 1 downwards; the first candidate is wanted, so base 1 is right."""
    both = np.concatenate([UP, DOWN], axis=1) if score is None else score
    given = np.broadcast_to(np.array(both), (len(user), 3, 2))
    return plain(given, [[True, False, False]] * len(user), user=user, user_names=NAMES)


def test_each_person_gets_the_base_that_did_best_for_them() -> None:
    given = lists([[0.9, 0.1, 1.0], [0.1, 0.9, 1.0]])
    fused = HardSelection().fit(given, given).forward(given.signals)
    assert fused.score.tolist() == [[1, 2, 3], [3, 2, 1]]
    assert fused.weights[:, 0].tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("record", [[0.9, 0.1, 0.0], [NAN, NAN, 0.0], [NAN, NAN, NAN]])
def test_people_without_a_record_get_the_best_base_of_train(record: list[float]) -> None:
    given = lists([record])
    fused = HardSelection().fit(given, given).forward(given.signals)
    assert fused.score.tolist() == [[3, 2, 1]]


def test_a_base_that_knows_no_candidate_is_passed_over() -> None:
    score = [[NAN, 3.0], [NAN, 2.0], [NAN, NAN]]
    train = lists([[0.9, 0.1, 1.0]])
    fused = HardSelection().fit(train, train).forward(lists([[0.9, 0.1, 1.0]], score).signals)
    np.testing.assert_array_equal(fused.score, [[3, 2, NAN]])


def test_what_the_chosen_base_cannot_score_has_no_score() -> None:
    score = [[1.0, 3.0], [NAN, 2.0], [3.0, 1.0]]
    train = lists([[0.9, 0.1, 1.0]])
    fused = HardSelection().fit(train, train).forward(lists([[0.9, 0.1, 1.0]], score).signals)
    np.testing.assert_array_equal(fused.score, [[1, NAN, 3]])


def test_a_missing_record_column_is_named() -> None:
    given = lists([[0.9, 0.1, 1.0]])
    columns = Columns(("b0", "b1"), ("track_b0", "track_other", "log_track_items"))
    with pytest.raises(DataError, match="missing: track_b1"):
        HardSelection().fit(*(with_signals(given, columns=columns),) * 2)


# -- oracle ----------------------------------------------------------------------------


def test_the_oracle_knows_which_base_is_right() -> None:
    given = lists([[0.0, 0.0, 0.0]] * 2)
    relevant = np.array([[True, False, False], [False, False, True]])
    fused = oracle(replace(given, relevant=relevant))
    assert fused.score.tolist() == [[3, 2, 1], [1, 2, 3]]
    assert fused.weights[:, 0].tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("seed", range(5))
def test_no_choice_of_one_base_per_request_beats_the_oracle(seed: int) -> None:
    given = problem(seed)
    each = [
        list_ndcg(base, given.relevant, given.n_relevant, 10) for base in each_base(given.signals)
    ]
    assert quality(oracle(given).score, given) == pytest.approx(np.max(each, axis=0).mean())


def test_of_equal_bases_the_oracle_takes_the_first_that_speaks() -> None:
    silent = plain([[[NAN, 1.0, 1.0], [NAN, 2.0, 2.0]]])
    assert oracle(silent).weights[0, 0].tolist() == [0, 1, 0]


def test_the_oracle_is_no_model() -> None:
    assert not isinstance(oracle, type)
    assert not issubclass(type(oracle), FusionModel)
