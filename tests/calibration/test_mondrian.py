"""Groups, and a calibrator for each as far as it has shown enough."""

import numpy as np
import pytest
from scipy.special import expit, logit

from crossfade.calibration.mondrian import GROUP_NAMES, MondrianCalibrator, groups
from crossfade.calibration.platt import PlattScaling
from crossfade.errors import DataError, NotFittedError
from crossfade.types import Bools, Doubles, Ints


def test_groups_by_hand() -> None:
    history = np.array([[0], [1], [5], [6], [50], [51], [10_000]])
    age = np.array([np.nan, 0.0, 29.999, 30.0, 4_000.0])
    found = groups(history, age)
    rows = np.array([0, 3, 3, 6, 6, 9, 9])
    np.testing.assert_array_equal(found, rows[:, None] + [0, 1, 1, 2, 2])
    assert found.dtype == np.int64
    assert len(GROUP_NAMES) == 12
    assert GROUP_NAMES[0] == "no history, age unknown"
    assert GROUP_NAMES[7] == "history of 6–50, younger than 30 days"


def test_histories_that_are_no_counts_are_refused() -> None:
    with pytest.raises(DataError, match="2 of 3 history counts are negative or missing"):
        groups(np.array([3, -1, np.nan]), np.zeros(3))


def two_kinds(sizes: tuple[int, int], seed: int = 0) -> tuple[Doubles, Bools, Ints]:
    """Kind 4 follows log-odds score − 1, kind 9 is wanted far less often for the same score."""
    rng = np.random.default_rng(seed)
    group = np.repeat([4, 9], sizes)
    score = rng.normal(size=sum(sizes))
    label = rng.random(len(score)) < expit(np.where(group == 4, score - 1, 0.5 * score - 3))
    return score, label, group


def test_a_group_that_showed_enough_has_its_own() -> None:
    score, label, group = two_kinds((5_000, 10_000))
    model = MondrianCalibrator(PlattScaling).fit(score, label, group)
    assert model.own == (4, 9)
    for kind in (4, 9):
        inside = group == kind
        alone = PlattScaling().fit(score[inside], label[inside])
        np.testing.assert_array_equal(
            model.predict(score[inside], group[inside]), alone.predict(score[inside])
        )


@pytest.mark.parametrize(("n_wanted", "own"), [(99, (4,)), (100, (4, 9))])
@pytest.mark.parametrize("upside_down", [False, True])
def test_a_hundred_of_either_kind_are_enough(
    n_wanted: int, own: tuple[int, ...], upside_down: bool
) -> None:
    # The rule counts what a group has fewer of, wanted or not.
    score = np.random.default_rng(0).normal(size=2_000)
    group = np.repeat([4, 9], 1_000)
    label = np.tile(np.arange(1_000) < 500, 2)
    label[1_000:] = np.arange(1_000) < n_wanted
    assert MondrianCalibrator(PlattScaling).fit(score, label ^ upside_down, group).own == own


def test_rows_without_a_score_or_a_weight_are_not_counted() -> None:
    score = np.random.default_rng(0).normal(size=2_000)
    group, label = np.repeat([4, 9], 1_000), np.tile(np.arange(1_000) < 100, 2)
    weight = np.ones(2_000)
    score[0], weight[1_000] = np.nan, 0
    assert MondrianCalibrator(PlattScaling).fit(score, label, group, weight).own == ()


def test_a_group_that_showed_little_is_moved_as_far_as_its_rows_say() -> None:
    # 2,000 rows of which none was wanted say a lot; 3 say next to nothing.
    score, label, group = two_kinds((5_000, 0))
    everybody = PlattScaling().fit(score, label)
    asked = np.zeros(1)
    moves = {}
    for n in (0, 3, 2_000):
        more = np.concatenate([score, np.zeros(n)]), np.append(label, [False] * n)
        model = MondrianCalibrator(PlattScaling).fit(*more, np.append(group, [9] * n))
        whole = PlattScaling().fit(*more)
        found = model.predict(asked, np.array([9]))
        moves[n] = float((logit(found) - logit(whole.predict(asked)))[0])
    assert moves[0] == 0
    assert -1 < moves[3] < -0.1
    assert moves[2_000] < -2
    assert everybody.predict(asked)[0] > 0.2


def test_the_move_solves_its_equation() -> None:
    # Likeliest shift under a unit normal prior: summed error of the moved plus the shift is 0.
    score, label, group = two_kinds((3_000, 200))
    model = MondrianCalibrator(PlattScaling).fit(score, label, group)
    assert model.own == (4,)
    inside = group == 9
    found = model.predict(score[inside], group[inside])
    shift = logit(found) - logit(PlattScaling().fit(score, label).predict(score[inside]))
    np.testing.assert_allclose(shift, shift[0], atol=1e-9)
    assert (found - label[inside]).sum() + shift[0] == pytest.approx(0, abs=1e-8)


def test_a_group_never_seen_is_served_by_all() -> None:
    score, label, group = two_kinds((2_000, 5_000))
    model = MondrianCalibrator(PlattScaling).fit(score, label, group)
    everybody = PlattScaling().fit(score, label)
    np.testing.assert_array_equal(
        model.predict(score, np.full_like(group, 7)), everybody.predict(score)
    )


def test_lists_keep_their_shape_and_their_gaps() -> None:
    score, label, group = two_kinds((300, 700))
    model = MondrianCalibrator(PlattScaling).fit(score, label, group)
    table = score.reshape(10, 100).copy()
    table[3, 4] = np.nan
    found = model.predict(table, group.reshape(10, 100))
    assert found.shape == (10, 100)
    assert np.isnan(found).sum() == np.isnan(found[3, 4]) == 1


def test_saving_and_loading_changes_nothing() -> None:
    score, label, group = two_kinds((3_000, 200))
    model = MondrianCalibrator(PlattScaling, 150).fit(score, label, group)
    again = MondrianCalibrator.restore(model.state())
    asked = np.tile(np.linspace(-3, 3, 20), 3), np.repeat([4, 9, 11], 20)
    np.testing.assert_array_equal(again.predict(*asked), model.predict(*asked))
    assert again.own == model.own == (4,)


def test_a_second_fit_forgets_the_first() -> None:
    model = MondrianCalibrator(PlattScaling).fit(*two_kinds((3_000, 200)))
    score, label, group = two_kinds((3_000, 0), seed=3)
    asked = np.zeros(1), np.array([9])
    np.testing.assert_array_equal(
        model.fit(score, label, group).predict(*asked),
        MondrianCalibrator(PlattScaling).fit(score, label, group).predict(*asked),
    )


def test_wrong_use_is_refused() -> None:
    score, label, group = two_kinds((300, 300))
    with pytest.raises(NotFittedError, match="call fit first"):
        MondrianCalibrator(PlattScaling).predict(score, group)
    with pytest.raises(NotFittedError, match="call fit first"):
        MondrianCalibrator(PlattScaling).state()
    with pytest.raises(ValueError, match="min_wanted must be 1 or more, got 0"):
        MondrianCalibrator(PlattScaling, 0)
    with pytest.raises(ValueError, match="must match"):
        MondrianCalibrator(PlattScaling).fit(score, label, group[1:])
    with pytest.raises(ValueError, match="must match"):
        MondrianCalibrator(PlattScaling).fit(score, label, group).predict(score, group[1:])
    with pytest.raises(DataError, match="are wanted"):
        MondrianCalibrator(PlattScaling).fit(score, label & False, group)
