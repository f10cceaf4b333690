import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.data import Queries
from crossfade.recommenders.nmf import NMF, NMFConfig, starting_items
from crossfade.testing import checkerboard
from crossfade.types import Csr, Doubles, Floats

ALPHA, L2 = 3.0, 0.5


def some_log(seed: int = 1, n_users: int = 12, n_items: int = 9) -> Floats:
    rng = np.random.default_rng(seed)
    wanted = rng.random((n_users, n_items)) < 0.3
    return (wanted * rng.integers(1, 4, wanted.shape)).astype(np.float32)


def model(**settings: float) -> NMF:
    values = {"factors": 3, "alpha": ALPHA, "regularisation": L2, "counting": "sum", **settings}
    return NMF(NMFConfig.model_validate(values))


def train(log: Floats, **settings: float) -> tuple[NMF, Doubles, Doubles]:
    nmf = model(**settings)
    nmf._user, nmf._item = nmf._train(Csr(log), np.random.default_rng(0))
    return nmf, nmf._user.astype(np.float64), nmf._item.astype(np.float64)


def dense_objective(log: Floats, user: Doubles, item: Doubles, sparsity: float = 0.0) -> float:
    """The definition, over every single cell."""
    wanted, confidence = log > 0, 1 + ALPHA * log.astype(np.float64)
    misses = float((confidence * (wanted - user @ item.T) ** 2).sum())
    penalty = L2 * float((user**2).sum() + (item**2).sum())
    return misses + penalty + sparsity * float(user.sum() + item.sum())


def dense_solve(log: Floats, fixed: Doubles) -> Doubles:
    """Non-negative least squares of every row, by projected gradient on full matrices."""
    wanted, confidence = (log > 0).astype(np.float64), 1 + ALPHA * log.astype(np.float64)
    vectors = np.zeros((len(log), fixed.shape[1]))
    for row, c in enumerate(confidence):
        left = (fixed.T * c) @ fixed + L2 * np.eye(fixed.shape[1])
        right = (fixed.T * c) @ wanted[row]
        rate = 1 / np.linalg.eigvalsh(left)[-1]
        for _ in range(5_000):
            vectors[row] = np.maximum(0, vectors[row] - rate * (left @ vectors[row] - right))
    return vectors


def test_the_objective_counts_every_cell() -> None:
    log = some_log()
    nmf, user, item = train(log, max_iterations=4, tolerance=0, sparsity=0.7)
    assert nmf.objective_history[-1] == pytest.approx(
        dense_objective(log, user, item, sparsity=0.7), rel=1e-5
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1_000), st.sampled_from([0.0, 0.5]))
def test_the_objective_never_rises_and_factors_stay_non_negative(
    seed: int, sparsity: float
) -> None:
    log = some_log(seed)
    log[0, 0] = 1  # at least one event
    nmf, user, item = train(log, max_iterations=30, tolerance=0, sparsity=sparsity)
    values = np.array(nmf.objective_history)
    assert len(values) == 30
    assert (np.diff(values) <= 1e-5 * values[:-1]).all()
    assert user.min() >= 0
    assert item.min() >= 0


def test_training_ends_where_a_dense_reference_cannot_improve() -> None:
    log = some_log()
    _, user, item = train(log, max_iterations=3_000, tolerance=0)
    reached = dense_objective(log, user, item)
    better_user = dense_solve(log, item)
    better_item = dense_solve(log.T, user)
    assert dense_objective(log, better_user, item) == pytest.approx(reached, rel=1e-4)
    assert dense_objective(log, user, better_item) == pytest.approx(reached, rel=1e-4)


def test_folding_in_users_and_items_matches_a_dense_reference() -> None:
    log = some_log()
    nmf, user, item = train(log)
    new_users, new_items = some_log(seed=2, n_users=4), some_log(seed=3, n_users=4, n_items=12)
    np.testing.assert_allclose(
        nmf.fold_in_users(Csr(new_users)), dense_solve(new_users, item), atol=2e-4
    )
    np.testing.assert_allclose(
        nmf.fold_in_items(Csr(new_items)), dense_solve(new_items, user), atol=2e-4
    )


def test_a_new_item_is_scored_through_its_folded_in_vector() -> None:
    data = checkerboard()
    nmf = NMF(NMFConfig(regularisation=1.0)).fit(data)
    even_people = np.arange(data.n_users) % 2 == 0
    (new,) = nmf.fold_in_items(Csr(even_people[None, :].astype(np.float32)))
    vectors = nmf.embeddings().user
    assert (vectors @ new)[even_people].min() > (vectors @ new)[~even_people].max()


def test_training_stops_when_a_round_gains_too_little() -> None:
    short, _, _ = train(some_log(), max_iterations=500, tolerance=0.05)
    history = short.objective_history
    gains = -np.diff(history) / history[:-1]
    assert len(history) < 500
    assert gains[-1] < 0.05
    assert (gains[:-1] >= 0.05).all()


def test_the_l1_penalty_leaves_more_exact_zeros() -> None:
    zeros = []
    for sparsity in (0.0, 2.0):
        _, user, item = train(some_log(), sparsity=sparsity, max_iterations=200)
        zeros.append(int((user == 0).sum() + (item == 0).sum()))
    assert zeros[1] > zeros[0]


def test_the_start_is_positive_and_comes_from_people() -> None:
    start = starting_items(Csr(some_log()), 4, np.random.default_rng(0))
    assert start.shape == (9, 4)
    assert start.min() > 0
    unwanted = np.flatnonzero(~some_log().any(axis=0))
    assert (start[unwanted] < start.mean()).all()


def test_unseen_people_are_no_error() -> None:
    # The source this replaces raised an index error for a user it had not trained on.
    data = checkerboard()
    scores = NMF().fit(data).score_batch(Queries.of_items([0, 2], data.n_items))
    assert scores[0, 4] > scores[0, 5]
