import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from crossfade.data import Queries
from crossfade.recommenders.ials import IALS, IALSConfig
from crossfade.testing import checkerboard
from crossfade.types import Csr


def fitted() -> IALS:
    return IALS(IALSConfig(factors=8, alpha=4.0, regularisation=2.0)).fit(checkerboard())


def test_folding_in_a_user_is_the_closed_form() -> None:
    model = fitted()
    items = np.nan_to_num(model.embeddings().item).astype(np.float64)
    evidence = np.zeros((1, len(items)), dtype=np.float32)
    evidence[0, [0, 2, 7]] = [1, 2, 0.5]
    # (Yᵀ C Y + λI) w = Yᵀ C p with every cell written out.
    confidence = 1 + 4.0 * evidence[0]
    left = (items.T * confidence) @ items + 2.0 * np.eye(8)
    expected = np.linalg.solve(left, (items.T * confidence) @ (evidence[0] > 0))
    np.testing.assert_allclose(
        model.fold_in_users(Csr(evidence))[0], expected, rtol=1e-4, atol=1e-6
    )


def test_scores_are_products_of_the_folded_in_vector() -> None:
    model = fitted()
    query = Queries.of_items([0, 2], 21)
    vector = model.fold_in_users(query.positives)[0]
    expected = np.nan_to_num(model.embeddings().item) @ vector
    np.testing.assert_allclose(
        model.score_batch(query)[0, :20], expected[:20], rtol=1e-5, atol=1e-6
    )


def test_a_training_vector_is_near_the_folded_in_one() -> None:
    # Training solves users before items, so its last user vectors lag one round behind.
    model, data = fitted(), checkerboard()
    folded = model.fold_in_users(data.queries(range(20)).positives)
    np.testing.assert_allclose(folded, model.embeddings().user, atol=0.05)


def test_fitting_leaves_the_thread_pools_as_they_were() -> None:
    with threadpool_limits(2, "blas"):
        fitted()
        after = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
    assert after == {2}


def test_seeds_matter() -> None:
    one, other = (IALS().fit(checkerboard(), seed=seed).state()["item"] for seed in (0, 1))
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("alpha", [0.1, 100.0])
def test_liked_items_score_above_unseen_ones_of_the_other_colour(alpha: float) -> None:
    data = checkerboard()
    scores = (
        IALS(IALSConfig(alpha=alpha, regularisation=0.1)).fit(data).score_batch(data.queries([0]))
    )
    assert scores[0, 2:20:2].min() > scores[0, 1:20:2].max()
