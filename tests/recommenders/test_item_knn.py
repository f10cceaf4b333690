import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crossfade.data import Dataset, Queries
from crossfade.recommenders.item_knn import ItemKNN, ItemKNNConfig, nearest_items, vote_weights
from crossfade.types import Csr

# u: a b; v: a b c; w: c. Lengths of the columns: a √2, b √2, c √2.
LOG = Dataset.build(pl.DataFrame({"user_id": list("uuvvvw"), "item_id": list("ababcc")}))
PLAIN = {"weighting": "none", "shrink": 0.0}


def test_cosine_by_hand() -> None:
    model = ItemKNN(ItemKNNConfig(**PLAIN)).fit(LOG)
    # a and b share both people: 2 / (√2 √2) = 1; a and c share v: 1 / 2.
    np.testing.assert_allclose(model.similar(0), [np.nan, 1.0, 0.5], rtol=1e-6)


def test_shrinking_doubts_similarities_with_few_people() -> None:
    model = ItemKNN(ItemKNNConfig(weighting="none", shrink=2.0)).fit(LOG)
    np.testing.assert_allclose(model.similar(0), [np.nan, 2 / 4, 1 / 4], rtol=1e-6)


def test_a_score_is_the_sum_over_the_history() -> None:
    model = ItemKNN(ItemKNNConfig(**PLAIN)).fit(LOG)
    scores = model.score_batch(Queries.of_items([0, 1], 3))
    # c is half like a and half like b; a and b are each other's only full neighbour.
    np.testing.assert_allclose(scores, [[1.0, 1.0, 1.0]], rtol=1e-6)


def test_only_the_nearest_items_add_to_a_score() -> None:
    model = ItemKNN(ItemKNNConfig(n_neighbours=1, **PLAIN)).fit(LOG)
    np.testing.assert_allclose(
        model.score_batch(Queries.of_items([0], 3)), [[0.0, 1.0, 0.0]], rtol=1e-6
    )


def test_among_equally_near_items_the_first_rows_are_kept() -> None:
    # One person likes everything: all similarities are 1.
    near = nearest_items(Csr(np.ones((1, 4), dtype=np.float32)), 2, shrink=0.0)
    assert near.indices.reshape(4, 2).tolist() == [[1, 2], [0, 2], [0, 1], [0, 1]]


def test_idf_trusts_short_histories_more() -> None:
    weights = vote_weights(LOG.interactions(), "idf").toarray()
    # Three items; u likes two of them, v all three, w one.
    expected = [math.log(1 + 3 / n) for n in (2, 3, 1)]
    np.testing.assert_allclose(weights.max(axis=1), expected, rtol=1e-6)


def test_bm25_lets_repeats_saturate() -> None:
    counts = Csr(np.array([[1.0, 10.0], [1.0, 0.0]], dtype=np.float32))
    plain, bm25 = counts.toarray(), vote_weights(counts, "bm25").toarray()
    assert bm25[0, 1] / bm25[0, 0] < plain[0, 1] / plain[0, 0]


def test_evidence_holds_the_nearest_history_item() -> None:
    model = ItemKNN(ItemKNNConfig(**PLAIN)).fit(LOG)
    evidence = model.score(Queries.of_items([0, 2], 3), [1]).evidence[0]
    # b is as far as 1.0 from a and 0.5 from c.
    assert evidence[2] == pytest.approx(1.0)


@settings(max_examples=40, deadline=None)
@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.integers(1, 7)),
        elements=st.sampled_from([0, 0, 1, 2]),
    ),
    st.integers(1, 7),
)
def test_neighbours_match_a_dense_reference(log: np.ndarray, n_neighbours: int) -> None:
    lengths = np.linalg.norm(log, axis=0)
    similarity = (log.T @ log) / (np.outer(lengths, lengths) + 1.5)
    np.fill_diagonal(similarity, 0)
    expected = np.zeros_like(similarity)
    for item, row in enumerate(similarity):
        # Rounded, so that the two ways of computing agree on what is a tie.
        best = sorted(np.flatnonzero(row), key=lambda other: (-round(float(row[other]), 5), other))
        expected[item, best[:n_neighbours]] = row[best[:n_neighbours]]
    found = nearest_items(Csr(log), n_neighbours, shrink=1.5)
    np.testing.assert_allclose(np.sort(found.toarray()), np.sort(expected), rtol=1e-5)
