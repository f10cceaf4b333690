"""Sets hold what is wanted as often as they promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from crossfade.calibration.conformal import ConformalSets, binomial_interval, coverage
from crossfade.errors import DataError


def all_wanted(n: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.ones(n, dtype=np.bool_)


@pytest.mark.parametrize(
    ("n", "alpha", "threshold"),
    [
        (19, 0.1, 2.0),  # 0.1 × 20 = 2: the second lowest of 1 … 19
        (19, 0.05, 1.0),  # 0.05 × 20 = 1: the lowest
        (18, 0.05, -np.inf),  # 0.05 × 19 < 1: nothing may be left out
        (9, 0.5, 5.0),  # the middle
        (1, 0.5, 1.0),
        (1, 0.4, -np.inf),
    ],
)
def test_thresholds_by_hand(n: int, alpha: float, threshold: float) -> None:
    score = np.random.default_rng(0).permutation(np.arange(1.0, n + 1))
    sets = ConformalSets.fit(score, all_wanted(n), alpha)
    assert sets.threshold.tolist() == [threshold]


def test_what_was_not_wanted_does_not_matter() -> None:
    score = np.concatenate([np.arange(1.0, 20.0), np.full(500, -3.0)])
    sets = ConformalSets.fit(score, np.arange(len(score)) < 19, 0.1)
    assert sets.threshold.tolist() == [2.0]


def test_the_threshold_itself_is_inside() -> None:
    sets = ConformalSets.fit(np.arange(1.0, 20.0), all_wanted(19), 0.1)
    np.testing.assert_array_equal(
        sets.contains(np.array([[1.9, 2.0], [np.nan, 50.0]])), [[False, True], [False, True]]
    )


def test_equal_scores_come_in_together() -> None:
    # Of 19, five are 0: leaving any of them out would leave out all five, and two may be.
    score = np.concatenate([np.zeros(5), np.ones(14)])
    assert ConformalSets.fit(score, all_wanted(19), 0.1).threshold.tolist() == [0.0]
    # 0.3 × 20 = 6: five may be, and are.
    assert ConformalSets.fit(score, all_wanted(19), 0.3).threshold.tolist() == [1.0]


def test_a_wanted_candidate_without_score_counts_as_missed() -> None:
    score = np.concatenate([np.full(2, np.nan), np.arange(1.0, 18.0)])
    # Two of 19 are below everything; only one more place is left by 0.15 × 20 = 3.
    assert ConformalSets.fit(score, all_wanted(19), 0.15).threshold.tolist() == [1.0]
    everything = ConformalSets.fit(score, all_wanted(19), 0.1)
    assert everything.threshold.tolist() == [-np.inf]
    assert everything.contains(np.array([np.nan, -1e9])).all()


@given(
    st.lists(st.floats(-5, 5).map(lambda x: round(x, 1)), min_size=1, max_size=40),
    st.floats(0.03, 0.97),
)
def test_leaving_each_out_covers_at_least_what_is_promised(
    scores: list[float], alpha: float
) -> None:
    # n + 1 exchangeable scores, counted over which one is the new one: the promise itself.
    everyone = np.array(scores)
    missed = 0
    for place in range(len(everyone)):
        others = np.delete(everyone, place)
        if len(others):
            sets = ConformalSets.fit(others, all_wanted(len(others)), alpha)
            missed += int(not sets.contains(everyone[place : place + 1])[0])
    assert missed <= alpha * len(everyone) + 1e-6


def test_coverage_is_that_of_the_theorem() -> None:
    # Without ties the next score is outside with exactly k / (n + 1), k = floor(alpha (n + 1)).
    # 4,000 independent trials of fit and look; without the + 1 it would be 5/49, far out of reach.
    n, alpha, trials = 49, 0.1, 4_000
    score = np.random.default_rng(0).normal(size=(trials, n + 1))
    hits = sum(
        int(ConformalSets.fit(row[:n], all_wanted(n), alpha).contains(row[n:])[0]) for row in score
    )
    low, high = binom.interval(0.999, trials, 1 - 5 / 50)
    assert low <= hits <= high


def test_one_long_fit_covers_new_candidates_within_the_exact_interval() -> None:
    # Given the sets, hits are binomial around 1 − alpha; the fit on 200,000 moves that by 0.0007.
    rng = np.random.default_rng(1)
    score, label = rng.normal(size=400_000), rng.random(400_000) < 0.5
    sets = ConformalSets.fit(score, label, 0.2)
    new = rng.normal(size=20_000)
    found = coverage(sets.contains(new), all_wanted(20_000), np.arange(20_000), level=0.999)
    assert found.low <= 0.8 <= found.high
    assert found.share == pytest.approx(0.8, abs=0.01)


def test_groups_keep_the_promise_each_for_itself() -> None:
    # What group 1 wants scores far lower: one threshold for both leaves most of it out.
    rng = np.random.default_rng(0)
    group = rng.random(40_000) < 0.1
    score = rng.normal(size=40_000) - 3 * group
    kinds = group.astype(np.int64)
    one = ConformalSets.fit(score[:20_000], all_wanted(20_000), 0.1)
    two = ConformalSets.fit(score[:20_000], all_wanted(20_000), 0.1, group=kinds[:20_000])
    new, late = score[20_000:], kinds[20_000:]
    rare = late == 1
    assert one.contains(new)[rare].mean() < 0.3
    for kind in (0, 1):
        hits = two.contains(new, late)[late == kind]
        low, high = binomial_interval(int(hits.sum()), len(hits), 0.999)
        assert low <= 0.9 <= high


def test_a_group_never_wanted_before_leaves_nothing_out() -> None:
    group = np.repeat([2, 5], 19)
    sets = ConformalSets.fit(np.tile(np.arange(1.0, 20.0), 2), all_wanted(38), 0.1, group=group)
    asked = np.array([0.0, 0.0, 0.0, 0.0, 3.0])
    np.testing.assert_array_equal(
        sets.contains(asked, np.array([1, 2, 3, 9, 5])), [True, False, True, True, True]
    )


def test_with_requests_each_counts_once() -> None:
    # One request wanted 100 items of score 0, nineteen others one each of 1 … 19. By rows the
    # threshold would be 0; by requests, one of 20 plus the next one may be left out.
    score = np.concatenate([np.zeros(100), np.arange(1.0, 20.0)])
    request = np.concatenate([np.zeros(100), np.arange(1.0, 20.0)])
    assert ConformalSets.fit(score, all_wanted(119), 0.1).threshold.tolist() == [0.0]
    by_request = ConformalSets.fit(score, all_wanted(119), 0.1, request=request)
    assert by_request.threshold.tolist() == [1.0]


def test_requests_that_want_one_thing_each_change_nothing() -> None:
    score = np.random.default_rng(0).normal(size=77)
    plain = ConformalSets.fit(score, all_wanted(77), 0.13)
    named = ConformalSets.fit(score, all_wanted(77), 0.13, request=np.arange(77) * 3)
    assert plain.threshold.tolist() == named.threshold.tolist()


def test_the_promise_by_request_holds_where_rows_of_a_request_are_alike() -> None:
    # Requests with few wanted items score low. A wanted item of a next request is covered with
    # 0.9 only by the sets that count requests.
    rng = np.random.default_rng(2)
    hits = {"rows": 0, "requests": 0}
    trials = 1_500
    for _ in range(trials):
        size = rng.choice([1, 20], size=31)
        level = np.where(size == 1, -2.0, 1.0) + rng.normal(size=31)
        request = np.repeat(np.arange(31), size)
        score = level[request] + 0.1 * rng.normal(size=len(request))
        seen, label = request < 30, all_wanted(len(request))
        new = rng.choice(score[~seen])[None]
        rows = ConformalSets.fit(score[seen], label[seen], 0.1)
        named = ConformalSets.fit(score[seen], label[seen], 0.1, request=request[seen])
        hits["rows"] += int(rows.contains(new)[0])
        hits["requests"] += int(named.contains(new)[0])
    assert hits["requests"] >= binom.ppf(0.001, trials, 0.9)
    assert hits["rows"] < binom.ppf(1e-6, trials, 0.9)


def test_coverage_by_hand() -> None:
    inside = np.array([[True, True, False], [False, True, True]])
    label = np.array([[True, False, True], [False, True, False]])
    request = np.array([[0, 0, 0], [1, 1, 1]])
    found = coverage(inside, label, request)
    assert found.share == pytest.approx(2 / 3)
    assert found.by_request == pytest.approx((1 / 2 + 1) / 2)
    assert found.n_wanted == 3
    assert found.mean_size == 2
    empty = coverage(inside & False, label & False, request)
    assert np.isnan([empty.share, empty.low, empty.high, empty.by_request]).all()
    assert empty.n_wanted == 0


@pytest.mark.parametrize(("n_hits", "n"), [(0, 5), (5, 5), (3, 10), (90, 100)])
def test_the_binomial_interval_is_scipys(n_hits: int, n: int) -> None:
    expected = binomtest(n_hits, n).proportion_ci(0.95, "exact")
    np.testing.assert_allclose(binomial_interval(n_hits, n), (expected.low, expected.high))


def test_saving_and_loading_changes_nothing() -> None:
    group = np.repeat([2, 5], 19)
    sets = ConformalSets.fit(np.arange(38.0), all_wanted(38), 0.1, group=group)
    again = ConformalSets.restore(sets.state())
    assert again.alpha == 0.1
    np.testing.assert_array_equal(
        again.contains(np.arange(38.0), group), sets.contains(np.arange(38.0), group)
    )


def test_wrong_use_is_refused() -> None:
    score = np.arange(5.0)
    for alpha in (0.0, 1.0, np.nan):
        with pytest.raises(ValueError, match="alpha must be between 0 and 1"):
            ConformalSets.fit(score, all_wanted(5), alpha)
    with pytest.raises(DataError, match="none of 5 candidates is wanted"):
        ConformalSets.fit(score, ~all_wanted(5), 0.1)
    with pytest.raises(DataError, match="1 of 5 scores are infinite"):
        ConformalSets.fit(np.array([1, 2, 3, 4, np.inf]), all_wanted(5), 0.1)
    with pytest.raises(ValueError, match="must match"):
        ConformalSets.fit(score, all_wanted(5), 0.1, group=np.zeros(4, dtype=np.int64))
    kinds = np.zeros(5, dtype=np.int64)
    with pytest.raises(ValueError, match="give groups to sets"):
        ConformalSets.fit(score, all_wanted(5), 0.1).contains(score, kinds)
    with pytest.raises(ValueError, match="give groups to sets"):
        ConformalSets.fit(score, all_wanted(5), 0.1, group=kinds).contains(score)


def test_requests_that_want_much_make_the_interval_wider() -> None:
    # 20 requests of 50 wanted each, all inside or none: as good as 20 rows, not 1,000.
    request = np.repeat(np.arange(20), 50)
    inside, wanted = request >= 2, np.ones(1_000, bool)
    alone = coverage(inside, wanted, request)
    honest = coverage(inside, wanted, request, rng=np.random.default_rng(0))
    assert alone.share == honest.share == 0.9
    assert alone.high - alone.low < 0.04
    # The standard error of 20 coins of 0.9 is 0.067.
    assert 0.2 < honest.high - honest.low < 0.3
    one = coverage(inside[:50], wanted[:50], request[:50], rng=np.random.default_rng(0))
    assert np.isnan([one.low, one.high]).all()
