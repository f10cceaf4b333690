"""Exact and approximate search give what inner products, ties and gaps ask for."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.index.vectors import clustered

from crossfade.errors import DataError
from crossfade.index import Index, IndexConfig, build_index
from crossfade.index.exact import _near_the_top
from crossfade.types import Floats

NAN = np.nan


Make = Callable[[Floats], Index]


def exact(vectors: Floats, **settings: Any) -> Index:
    return build_index(vectors, IndexConfig(kind="exact", **settings), version="v1")


def probing_everything(vectors: Floats, **settings: Any) -> Index:
    """A FAISS index that has one query only, so nothing is tuned and every list is looked into."""
    config = IndexConfig(kind="faiss", recall_k=5, **settings)
    return build_index(vectors, config, version="v1", queries=vectors[:1])


def test_the_largest_products_come_first() -> None:
    vectors = np.array([[1, 0], [0, 2], [1, 1], [-3, 0]], dtype=np.float32)
    rows, scores = exact(vectors).search(np.array([[1, 1], [-1, 0]], dtype=np.float32), 3)
    # Products with (1, 1): 1, 2, 2, -3; with (-1, 0): -1, 0, -1, 3.
    assert rows.tolist() == [[1, 2, 0], [3, 1, 0]]
    assert scores.tolist() == [[2, 2, 1], [3, 0, -1]]
    assert rows.dtype == np.int32
    assert scores.dtype == np.float32


@pytest.mark.parametrize("make", [exact, probing_everything])
def test_equal_vectors_come_in_the_order_of_rows(make: Make) -> None:
    # 300 copies of ten vectors: BLAS rounds equal products differently at different places.
    vectors = np.tile(clustered(10, 37, seed=0), (300, 1))
    query = clustered(3, 37, seed=1)
    rows, scores = make(vectors).search(query, 20)
    for found, score in zip(rows, scores, strict=True):
        assert len(set(score)) == 1
        assert found.tolist() == [found[0] + 10 * i for i in range(20)]
        assert found[0] < 10


@pytest.mark.parametrize("make", [exact, probing_everything])
def test_items_without_a_vector_never_come_back(make: Make) -> None:
    vectors = clustered(3_000, 8, seed=2)
    vectors[::3] = NAN
    index = make(vectors)
    assert index.report["n_items"] == 3_000
    assert index.report["n_vectors"] == 2_000
    rows, _ = index.search(vectors[1:5:4], 5_000)
    assert sorted(rows[0, :2_000].tolist()) == [row for row in range(3_000) if row % 3]
    assert set(rows[0, 2_000:].tolist()) == {-1}


@pytest.mark.parametrize("kind", ["exact", "faiss"])
def test_one_vector(kind: str) -> None:
    index = build_index(np.array([[NAN], [2.0]], np.float32), IndexConfig(kind=kind), version="v1")
    rows, scores = index.search(np.array([[3.0]], dtype=np.float32), 2)
    assert rows.tolist() == [[1, -1]]
    np.testing.assert_array_equal(scores, [[6.0, NAN]])


@pytest.mark.parametrize("kind", ["auto", "exact", "faiss"])
@pytest.mark.parametrize("storage", ["float32", "float16", "pq"])
@pytest.mark.parametrize("n_items", [0, 2])
def test_no_vector_at_all(kind: str, storage: str, n_items: int) -> None:
    nothing = np.full((n_items, 4), NAN, dtype=np.float32)
    config = IndexConfig(kind=kind, storage=storage, pq_bytes=2)
    index = build_index(nothing, config, version="v1")
    rows, scores = index.search(np.ones((1, 4), dtype=np.float32), 3)
    assert rows.tolist() == [[-1, -1, -1]]
    assert np.isnan(scores).all()
    assert index.report["recall"] is None
    assert np.isnan(index.vectors()).all()


@pytest.mark.parametrize("make", [exact, probing_everything])
def test_k_larger_than_the_catalogue_gives_everything_once(make: Make) -> None:
    rows, scores = make(clustered(50, 4, seed=3)).search(clustered(2, 4, seed=4), 60)
    assert [sorted(row) for row in rows[:, :50].tolist()] == [list(range(50))] * 2
    assert (rows[:, 50:] == -1).all()
    assert np.isnan(scores[:, 50:]).all()
    assert (np.diff(scores[:, :50], axis=1) <= 0).all()


@pytest.mark.parametrize("kind", ["exact", "faiss"])
def test_zero_vectors_score_zero_and_tie_by_row(kind: str) -> None:
    zeros = np.zeros((1_000, 6), dtype=np.float32)
    index = build_index(zeros, IndexConfig(kind=kind, recall_k=3), version="v1")
    rows, scores = index.search(np.ones((1, 6), dtype=np.float32), 3)
    assert scores.tolist() == [[0, 0, 0]]
    assert rows[0, 0] < rows[0, 1] < rows[0, 2]
    if kind == "exact":
        assert rows.tolist() == [[0, 1, 2]]
    # Any of them is as good as any other.
    assert index.report["recall"]["mean"] == 1


@pytest.mark.parametrize("make", [exact, probing_everything])
def test_excluded_items_are_replaced_by_the_next_best(make: Make) -> None:
    vectors, query = clustered(3_000, 8, seed=5), clustered(2, 8, seed=6)
    vectors[7] = NAN
    index = make(vectors)
    everything, _ = index.search(query, 15)
    first, second = everything[0], everything[1]
    # Twice the same, unknown rows and items without a vector change nothing.
    exclude = [[int(first[0]), int(first[2]), int(first[2]), -1, 99_999, 7], []]
    rows, _ = index.search(query, 10, exclude=exclude)
    assert rows[0].tolist() == [first[1], *first[3:12]]
    assert rows[1].tolist() == second[:10].tolist()


def test_with_everything_excluded_nothing_is_left() -> None:
    rows, scores = exact(np.eye(3, dtype=np.float32)).search(
        np.eye(3, dtype=np.float32)[:1], 2, [[0, 1, 2]]
    )
    assert rows.tolist() == [[-1, -1]]
    assert np.isnan(scores).all()


def test_a_query_without_a_vector_finds_nothing_and_disturbs_nobody() -> None:
    index = exact(np.eye(3, dtype=np.float32))
    query = np.array([[NAN] * 3, [0, 1, 0]], dtype=np.float32)
    rows, scores = index.search(query, 1, exclude=[[0], [1]])
    assert rows.tolist() == [[-1], [0]]
    np.testing.assert_array_equal(scores, [[NAN], [0.0]])


def test_no_query_gives_no_list() -> None:
    rows, scores = exact(np.eye(3, dtype=np.float32)).search(np.empty((0, 3), np.float32), 2)
    assert rows.shape == scores.shape == (0, 2)


def test_faiss_that_probes_everything_equals_exact_search() -> None:
    vectors, query = clustered(4_000, 16, seed=7), clustered(50, 16, seed=8)
    approximate = probing_everything(vectors)
    assert approximate.finder is not None
    # Really FAISS: so few candidates are wanted that exact search does not step in.
    assert approximate.finder.n_candidates(5) < 4_000
    found, wanted = approximate.search(query, 5), exact(vectors).search(query, 5)
    np.testing.assert_array_equal(found[0], wanted[0])
    np.testing.assert_array_equal(found[1], wanted[1])


@pytest.mark.parametrize("make", [exact, probing_everything])
def test_a_batch_equals_one_by_one(make: Make) -> None:
    index, query = make(clustered(3_000, 16, seed=9)), clustered(40, 16, seed=10)
    rows, scores = index.search(query, 7)
    for i in range(40):
        row, score = index.search(query[i : i + 1], 7)
        np.testing.assert_array_equal(row[0], rows[i])
        np.testing.assert_array_equal(score[0], scores[i])


def test_a_list_that_faiss_cannot_fill_is_filled_exactly() -> None:
    vectors = clustered(4_000, 16, seed=11)
    config = IndexConfig(kind="faiss", recall_k=1, target_recall=0.2, n_lists=800)
    index = build_index(vectors, config, version="v1", queries=vectors[:500])
    assert index.finder is not None
    assert index.finder.n_probe == 1  # about 5 vectors: far fewer than the 100 asked for
    query = clustered(3, 16, seed=12)
    assert index.finder.n_candidates(100) < 4_000
    np.testing.assert_array_equal(index.search(query, 100)[0], exact(vectors).search(query, 100)[0])


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float32, (12, 3), elements=st.integers(-2, 2).map(float)),
    arrays(np.bool_, 12),
    arrays(np.float32, (2, 3), elements=st.integers(-2, 2).map(float)),
    st.integers(1, 14),
    st.lists(st.integers(-1, 13), max_size=5),
)
def test_exact_search_is_a_sort(
    vectors: Floats, missing: np.ndarray, query: Floats, k: int, hidden: list[int]
) -> None:
    vectors[missing] = NAN
    rows, scores = exact(vectors).search(query, k, exclude=[hidden, []])
    for i, left_out in enumerate([hidden, []]):
        products = [
            (-float(vectors[row] @ query[i]), row)
            for row in range(12)
            if not missing[row] and row not in left_out
        ]
        wanted = sorted(products)[:k]
        assert rows[i, : len(wanted)].tolist() == [row for _, row in wanted]
        assert (-scores[i, : len(wanted)]).tolist() == [product for product, _ in wanted]
        assert (rows[i, len(wanted) :] == -1).all()


def test_what_rounding_may_have_kept_from_the_top_is_scored_again() -> None:
    # The second best is 2.00; a score 0.02 below may belong there if each can be off by 0.01.
    rough = np.array([3.0, 1.0, 1.985, np.nan, 2.0, 1.97], dtype=np.float32)
    assert _near_the_top(rough, 2, 0.01).tolist() == [0, 2, 4]
    assert _near_the_top(rough, 2, 0.001).tolist() == [0, 4]
    assert _near_the_top(rough, 9, 0.01).tolist() == [0, 1, 2, 4, 5]


# -- what is refused -------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [NAN, np.inf, 1e30])
def test_a_broken_vector_is_named(wrong: float) -> None:
    vectors = np.eye(3, dtype=np.float32)
    vectors[1, 0] = wrong
    with pytest.raises(DataError, match=r"1 of 3 item vectors .* \(first: row 1\)"):
        exact(vectors)


def test_vectors_must_be_a_table() -> None:
    with pytest.raises(DataError, match=r"shape \(n_items, width\), got \(3,\)"):
        exact(np.ones(3, dtype=np.float32))
    with pytest.raises(
        DataError, match=r"queries must have the shape \(n_queries, 3\), got \(2, 4\)"
    ):
        build_index(np.eye(3, dtype=np.float32), version="v1", queries=np.ones((2, 4), np.float32))


@pytest.mark.parametrize(
    ("query", "k", "exclude", "message"),
    [
        (np.ones((1, 3)), 0, None, "k must be 1 or more, got 0"),
        (np.ones(3), 1, None, r"shape \(n_queries, 3\), got \(3,\)"),
        (np.ones((1, 4)), 1, None, r"shape \(n_queries, 3\), got \(1, 4\)"),
        (np.ones((2, 3)), 1, [[1]], "each of 2 queries what to leave out, got 1"),
        (np.array([[1, 1, 1], [1, NAN, 1]]), 1, None, "query 1 is partly NaN"),
        (np.array([[np.inf, 1, 1]]), 1, None, "query 0 is partly NaN, infinite"),
    ],
)
def test_a_wrong_question_is_refused(
    query: Floats, k: int, exclude: list[list[int]] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        exact(np.eye(3, dtype=np.float32)).search(query.astype(np.float32), k, exclude)
