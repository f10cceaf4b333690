import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset, Queries
from crossfade.recommenders.ease import EASE, EASEConfig, ease_weights
from crossfade.testing import checkerboard
from crossfade.types import Csr


def some_log(n_users: int = 30, n_items: int = 12) -> np.ndarray:
    rng = np.random.default_rng(5)
    return (rng.random((n_users, n_items)) < np.linspace(0.1, 0.6, n_items)).astype(np.float32)


def test_the_weights_solve_every_item_s_ridge_regression() -> None:
    # Column j is the ridge regression of item j on all the others: solved here one by one.
    log, penalty = some_log().astype(np.float64), 3.0
    weights = ease_weights(Csr(log.astype(np.float32)), penalty)
    for item in range(log.shape[1]):
        others = np.delete(np.arange(log.shape[1]), item)
        x, y = log[:, others], log[:, item]
        expected = np.linalg.solve(x.T @ x + penalty * np.eye(len(others)), x.T @ y)
        np.testing.assert_allclose(weights[others, item], expected, atol=1e-6)


def test_no_item_explains_itself() -> None:
    assert not ease_weights(Csr(some_log()), 3.0).diagonal().any()


def test_scores_are_sums_of_weights() -> None:
    log = some_log()
    weights = ease_weights(Csr(log), 200.0)
    users, items = np.nonzero(log)
    frame = pl.DataFrame(
        {"user_id": [f"{user:02d}" for user in users], "item_id": [f"{item:02d}" for item in items]}
    )
    model = EASE(EASEConfig(regularisation=200.0)).fit(Dataset.build(frame))
    scores = model.score_batch(Queries.of_items([1, 4, 5], 12))
    np.testing.assert_allclose(scores[0], weights[[1, 4, 5]].sum(axis=0), rtol=1e-5)


def test_beyond_the_limit_only_the_most_supported_items_take_part_and_it_says_so() -> None:
    # Support: a 3, b 1, c 2, d 2 (a tie at the edge is broken by row).
    frame = pl.DataFrame({"user_id": list("uvwuuvvw"), "item_id": list("aaabccdd")})
    data = Dataset.build(frame)
    model = EASE(EASEConfig(max_items=2)).fit(data)
    scores = model.score_batch(data.queries([0]))
    assert np.isnan(scores[0]).tolist() == [False, True, False, True]
    (notice,) = model.notices
    assert "2 most supported of 4 items" in notice
    assert "max_items" in notice
    # A history of left-out items only is no basis for a score.
    assert np.isnan(model.score_batch(Queries.of_items([1, 3], 4))).all()


def test_without_a_limit_there_is_nothing_to_say() -> None:
    assert EASE().fit(checkerboard()).notices == ()


@pytest.mark.parametrize("regularisation", [1.0, 1_000.0])
def test_single_precision_is_enough_after_the_inverse(regularisation: float) -> None:
    # One item everybody likes next to rare ones: the badly conditioned case.
    rng = np.random.default_rng(0)
    log = (rng.random((5_000, 30)) < np.geomspace(0.001, 0.95, 30)).astype(np.float32)
    gram = log.astype(np.float64).T @ log + regularisation * np.eye(30)
    inverse = np.linalg.inv(gram)
    exact = -inverse / inverse.diagonal()
    np.fill_diagonal(exact, 0)
    np.testing.assert_allclose(ease_weights(Csr(log), regularisation), exact, rtol=1e-4, atol=1e-7)


def test_huge_play_counts_lose_nothing_small() -> None:
    # Squares of play counts span ten powers of ten; single precision keeps seven. With fewer
    # users than items only the penalty, by far the smallest part, makes the matrix regular.
    rng = np.random.default_rng(0)
    log = (rng.gamma(0.3, 1e5, size=(30, 40)) * (rng.random((30, 40)) < 0.4)).astype(np.float32)
    inverse = np.linalg.inv(log.astype(np.float64).T @ log + 200 * np.eye(40))
    exact = -inverse / inverse.diagonal()
    np.fill_diagonal(exact, 0)
    np.testing.assert_allclose(ease_weights(Csr(log), 200.0), exact, rtol=1e-3, atol=1e-7)
