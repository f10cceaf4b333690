import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset, Queries
from crossfade.data.splits import Trial
from crossfade.fusion.base import LabelledSignals
from crossfade.fusion.scaling import scale
from crossfade.meta import signals as module
from crossfade.meta.signals import allowed_scores, measured_scores, trial_signals
from crossfade.types import Csr, Floats

NAN = math.nan
N_ITEMS = 6


class Fixed:
    """A base that gives user row u the u-th of some score rows."""

    name = "fixed"

    def __init__(self, *rows: Sequence[float]) -> None:
        self.rows = np.array(rows, dtype=np.float32)

    def score_batch(self, queries: Queries) -> Floats:
        return self.rows[queries.user_row]


def make_trial(history: dict[int, list[int]], wanted: dict[int, list[int]], **more: Any) -> Trial:
    """Requests by users 0 … n − 1 over six items; a bystander has met every item."""
    n_users = len(wanted)
    pairs = [(user, item) for user, items in history.items() for item in items]
    pairs += [(99, item) for item in range(N_ITEMS)]
    names = [(f"user{user:02d}", f"item{item}") for user, item in pairs]
    train = Dataset.build(
        pl.DataFrame(names, ["user_id", "item_id"], orient="row"),
        users=pl.DataFrame({"user_id": [f"user{user:02d}" for user in range(n_users)]}),
    )
    relevant = np.zeros((n_users, N_ITEMS), dtype=np.float32)
    for user, items in wanted.items():
        relevant[user, items] = 1
    settings = {"exclude_seen": True, **more}
    return Trial("fuse", train, train.queries(range(n_users)), Csr(relevant), **settings)


def label(trial: Trial, *bases: Fixed, n_candidates: int = 2, **more: Any) -> LabelledSignals:
    made = trial_signals(
        trial,
        bases,
        ("zscore",),
        n_candidates=n_candidates,
        **{"max_requests": 100, "seed": 0, **more},
    )
    return made["zscore"]


UP = Fixed([0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5])
DOWN = Fixed([5, 4, 3, 2, 1, 0], [5, 4, 3, 2, 1, 0], [5, 4, 3, 2, 1, 0])


def test_candidates_are_the_union_of_the_best_of_each_base() -> None:
    found = label(make_trial({}, {0: [1]}), UP, DOWN)
    assert found.item_row.tolist() == [[0, 1, 4, 5]]
    assert found.relevant.tolist() == [[False, True, False, False]]


def test_an_item_that_both_propose_stands_once() -> None:
    found = label(make_trial({}, {0: [1]}), UP, UP)
    assert found.item_row.tolist() == [[4, 5]]


def test_a_wanted_item_that_no_base_proposes_is_not_put_in() -> None:
    found = label(make_trial({}, {0: [2, 3, 5]}), UP, DOWN)
    assert found.item_row.tolist() == [[0, 1, 4, 5]]
    assert found.relevant.tolist() == [[False, False, False, True]]
    # It still counts as wanted: missing it costs NDCG.
    assert found.n_relevant.tolist() == [3]


def test_a_base_that_cannot_score_a_candidate_stays_nan() -> None:
    deaf = Fixed([NAN, NAN, NAN, 7, 8, 9])
    found = label(make_trial({}, {0: [1]}), deaf, DOWN)
    assert found.item_row.tolist() == [[0, 1, 4, 5]]
    np.testing.assert_array_equal(
        np.isnan(found.signals.score[0, :, 0]), [True, True, False, False]
    )
    assert found.signals.available[0, :, 1].all()


def test_scores_are_scaled_over_all_that_may_be_recommended() -> None:
    trial = make_trial({0: [5]}, {0: [1]})
    found = label(trial, UP)
    allowed = np.array([[0, 1, 2, 3, 4, NAN]], dtype=np.float32)
    expected = scale(allowed, "zscore")[0, found.item_row[0]]
    np.testing.assert_array_equal(found.signals.score[0, :, 0], expected)


def test_seen_items_are_no_candidates_where_they_may_not_be_recommended() -> None:
    trial = make_trial({0: [5, 4]}, {0: [1]})
    assert label(trial, UP).item_row.tolist() == [[2, 3]]
    again = replace(trial, exclude_seen=False)
    assert label(again, UP).item_row.tolist() == [[4, 5]]


def test_only_the_trials_candidates_are_proposed() -> None:
    cold = np.array([False, True, True, False, False, True])
    trial = make_trial({}, {0: [1]}, candidates=cold)
    assert label(trial, UP).item_row.tolist() == [[2, 5]]


def test_hidden_items_are_never_proposed() -> None:
    trial = make_trial({}, {0: [1], 1: [1]})
    hidden = np.zeros((2, N_ITEMS), dtype=np.float32)
    hidden[1, 5] = 1
    found = label(replace(trial, hidden=Csr(hidden)), UP)
    assert found.item_row.tolist() == [[4, 5], [3, 4]]


def test_hidden_items_have_their_say_in_the_scale_as_they_have_in_serving() -> None:
    trial = make_trial({}, {0: [1]})
    hidden = np.zeros((1, N_ITEMS), dtype=np.float32)
    hidden[0, 5] = 1
    found = label(replace(trial, hidden=Csr(hidden)), UP)
    served = scale(UP.score_batch(trial.queries), "zscore")[0, [3, 4]]
    np.testing.assert_array_equal(found.signals.score[0, :, 0], served)


def test_shorter_lists_are_padded_and_masked() -> None:
    only_one = Fixed([NAN] * 5 + [1], [0, 1, 2, 3, 4, 5], [NAN] * 6)
    found = label(make_trial({}, {0: [1], 1: [1], 2: [0]}), only_one)
    assert found.item_row.tolist() == [[5, -1], [4, 5], [-1, -1]]
    assert found.signals.mask.tolist() == [[True, False], [True, True], [False, False]]
    assert np.isnan(found.signals.score[~found.signals.mask]).all()
    assert not found.relevant[~found.signals.mask].any()
    assert found.n_relevant.tolist() == [1, 1, 1]


@pytest.mark.parametrize("n_cells", [1, 2 * N_ITEMS, 5 * N_ITEMS, 10**6])
def test_the_size_of_batches_changes_nothing(n_cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    bases = []
    for _ in range(3):
        rows = rng.normal(size=(7, N_ITEMS))
        rows[rng.random(rows.shape) < 0.4] = NAN
        bases.append(Fixed(*rows.tolist()))
    trial = make_trial(
        {user: [user % N_ITEMS] for user in range(7)},
        {user: [(user + 1) % N_ITEMS, (user + 3) % N_ITEMS] for user in range(7)},
    )
    whole = label(trial, *bases)
    monkeypatch.setattr(module, "MAX_CELLS", n_cells)
    pieces = label(trial, *bases)
    for name in ("item_row", "relevant", "n_relevant"):
        np.testing.assert_array_equal(getattr(pieces, name), getattr(whole, name))
    np.testing.assert_array_equal(pieces.signals.score, whole.signals.score)
    np.testing.assert_array_equal(pieces.signals.mask, whole.signals.mask)


def test_a_large_trial_is_sampled_by_the_seed() -> None:
    wanted = {user: [user % N_ITEMS] for user in range(20)}
    rows = [[float(item == user % N_ITEMS) for item in range(N_ITEMS)] for user in range(20)]
    trial, base = make_trial({}, wanted), Fixed(*rows)
    first, again = (label(trial, base, max_requests=6, seed=1, n_candidates=1) for _ in range(2))
    other = label(trial, base, max_requests=6, seed=2, n_candidates=1)
    assert first.item_row.shape == (6, 1)
    np.testing.assert_array_equal(first.item_row, again.item_row)
    assert first.item_row.tolist() != other.item_row.tolist()
    # Each sampled request kept its own answers.
    assert first.relevant.all()


def test_both_scales_see_the_same_candidates() -> None:
    trial = make_trial({}, {0: [1]})
    made = trial_signals(
        trial, [UP, DOWN], ("zscore", "reciprocal_rank"), n_candidates=2, max_requests=9, seed=0
    )
    first, second = made["zscore"], made["reciprocal_rank"]
    np.testing.assert_array_equal(first.item_row, second.item_row)
    assert second.signals.score[0, :, 0].max() == 1.0  # the best rank


def test_what_a_base_gave_is_left_alone() -> None:
    trial = make_trial({0: [5]}, {0: [1]})
    before = UP.rows.copy()
    scores = allowed_scores(UP, trial.queries, exclude_seen=True)
    assert np.isnan(scores[0, 5])
    np.testing.assert_array_equal(UP.rows, before)


def test_moments_are_of_what_may_be_listed_alone() -> None:
    trial = make_trial({0: [5, 5], 1: []}, {0: [1], 1: [1]})
    candidates = np.array([True, True, False, True, True, True])
    base = Fixed([2, np.inf, 9, 4, NAN, 9], [NAN] * 6)
    _, moments = measured_scores(base, trial.queries, exclude_seen=True, candidates=candidates)
    assert moments.n_known.tolist() == [2, 0]
    assert moments.mean.tolist() == [3.0, 0.0]
    assert moments.inverse.tolist() == [1.0, 0.0]


def test_an_infinite_score_is_no_score() -> None:
    trial = make_trial({}, {0: [0], 1: [1]})
    first, second = [np.inf, 3, 2, -np.inf, 1, NAN], [5.0, 4, 3, 2, 1, 0]
    found = allowed_scores(Fixed(first, second), trial.queries, exclude_seen=False)
    np.testing.assert_array_equal(found[0], floats_of([NAN, 3, 2, NAN, 1, NAN]))
    np.testing.assert_array_equal(found[1], floats_of(second))


def floats_of(values: Sequence[float]) -> Floats:
    return np.array(values, dtype=np.float32)


def test_scores_too_large_for_single_precision_are_no_scores() -> None:
    class Double:
        name = "double"

        def score_batch(self, queries: Queries) -> Any:
            return np.tile([1e300, -1e300, 1.0, 2.0, 3.0, 4.0], (len(queries), 1))

    found = allowed_scores(Double(), make_trial({}, {0: [0]}).queries, exclude_seen=False)
    np.testing.assert_array_equal(found[0], floats_of([NAN, NAN, 1, 2, 3, 4]))


@pytest.mark.parametrize(
    "odd",
    [[NAN] * 6, [2.0] * 6, [np.inf] * 6, [-np.inf] * 6, [np.inf, 1, 2, 3, 4, 5], [1e38, 0, -1e38, 1, 2, 3]],
    ids=["missing", "constant", "inf", "-inf", "one inf", "huge"],
)  # fmt: skip
def test_an_odd_base_leaves_the_scores_of_the_others_alone(odd: list[float]) -> None:
    trial = make_trial({}, {0: [0]})
    good = Fixed([6, 5, 4, 3, 2, 1])
    alone = label(trial, good, n_candidates=6)
    both = label(trial, good, Fixed(odd), n_candidates=6)
    np.testing.assert_array_equal(both.item_row, alone.item_row)
    np.testing.assert_array_equal(both.signals.score[:, :, 0], alone.signals.score[:, :, 0])
    assert not np.isinf(both.signals.score).any()
    known = np.isfinite(odd)[both.item_row]
    np.testing.assert_array_equal(np.isfinite(both.signals.score[:, :, 1]), known)
