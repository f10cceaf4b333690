"""What an index says about its losses is true, and too large a loss is refused."""

import sys
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.index.vectors import clustered

from crossfade.errors import ConfigError, DataError, MissingExtraError
from crossfade.index import IndexConfig, build_index
from crossfade.index.quality import measured, rank_change, recall
from crossfade.index.storage import Quantised, store
from crossfade.types import Floats


def float32(*rows: list[float]) -> Floats:
    return np.array(rows, dtype=np.float32)


# -- the measures ----------------------------------------------------------------------


def test_recall_counts_what_scores_as_much_as_the_last_that_belongs() -> None:
    truth = float32([9, 7, 7], [3, 2, 1])
    # First: 9 and one of the sevens, and a 6. Second: the list is short, only 3 was found.
    shares = recall(float32([9, 7, 6], [3, np.nan, np.nan]), truth)
    assert shares.tolist() == [pytest.approx(2 / 3), pytest.approx(1 / 3)]


def test_rank_change_by_hand() -> None:
    # True order 0, 1, 2. The new scores order 1 3 0 4 2: ranks 2, 0 and 4 instead of 0, 1 and 2.
    scores, truth = float32([3, 5, 1, 4, 2]), np.array([[0, 1, 2]], dtype=np.int32)
    assert rank_change(scores, truth).tolist() == [pytest.approx((2 + 1 + 2) / 3)]


def test_rank_change_orders_equal_scores_by_number() -> None:
    # All equal: 4 is now fifth instead of first, 0 first instead of second.
    truth = np.array([[4, 0]], dtype=np.int32)
    assert rank_change(float32([7, 7, 7, 7, 7]), truth).tolist() == [(4 + 1) / 2]


@settings(max_examples=100, deadline=None)
@given(
    arrays(np.float32, (1, 15), elements=st.integers(0, 4).map(float)),
    st.permutations(range(15)),
    st.integers(1, 15),
)
def test_rank_change_is_what_sorting_says(scores: Floats, true_order: list[int], k: int) -> None:
    new_order = sorted(range(15), key=lambda column: (-scores[0, column], column))
    wanted = np.mean([abs(new_order.index(true_order[i]) - i) for i in range(k)])
    truth = np.array([true_order[:k]], dtype=np.int32)
    assert rank_change(scores, truth)[0] == pytest.approx(wanted)


def test_an_interval_holds_its_mean_and_shrinks_to_it_where_all_agree() -> None:
    rng = np.random.default_rng(0)
    mixed = measured(np.array([0.0, 1.0] * 50), 10, rng)
    # Standard error of 100 coin flips is 0.05.
    assert (mixed.mean, mixed.n_queries, mixed.k) == (0.5, 100, 10)
    assert mixed.low == pytest.approx(0.4, abs=0.02)
    assert mixed.high == pytest.approx(0.6, abs=0.02)
    same = measured(np.ones(4), 10, rng)
    assert (same.low, same.mean, same.high) == (1, 1, 1)


# -- recall ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vectors() -> Floats:
    return clustered(8_000, 16, seed=0)


@pytest.fixture(scope="module")
def users() -> Floats:
    return clustered(300, 16, seed=1)


def test_the_stored_recall_is_that_of_queries_it_was_not_tuned_on(
    vectors: Floats, users: Floats
) -> None:
    config = IndexConfig(kind="faiss", recall_k=20, n_queries=200)
    index = build_index(vectors, config, version="v1", seed=3, queries=users)
    report = index.report
    assert report["tuned"]["n_queries"] == report["recall"]["n_queries"] == 100
    assert report["recall"]["k"] == 20
    # The halves are of a shuffle: told apart here by what each half alone reproduces.
    from crossfade.index.build import _sample

    tuning, judging = _sample(vectors, users, 200, 3, halve=True)
    assert not {row.tobytes() for row in tuning} & {row.tobytes() for row in judging}
    for half, stated in ((judging, report["recall"]["mean"]), (tuning, report["tuned"]["recall"])):
        found, _ = index.search(half, 20)
        truth = np.argsort(-(half @ vectors.T), axis=1)[:, :20]
        shares = [len(set(a) & set(b)) / 20 for a, b in zip(found, truth, strict=True)]
        assert np.mean(shares) == pytest.approx(stated)
    assert report["tuned"]["recall"] >= 0.97
    assert report["recall"]["low"] <= report["recall"]["mean"] <= report["recall"]["high"] <= 1


def test_a_lower_target_is_met_with_less_work(vectors: Floats, users: Floats) -> None:
    def work(target: float) -> tuple[int, int]:
        config = IndexConfig(kind="faiss", recall_k=20, target_recall=target)
        tuned = build_index(vectors, config, version="v1", queries=users).report["tuned"]
        return tuned["n_probe"], tuned["n_candidates"]

    little, much = work(0.5), work(0.99)
    assert little[0] <= much[0]
    assert little[1] <= much[1]
    assert little != much


def test_a_target_out_of_reach_is_refused_with_the_best_there_is(
    vectors: Floats, users: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One candidate for each result: the coarse codes choose some of them wrongly wherever they look.
    monkeypatch.setattr("crossfade.index.approximate.CANDIDATE_FACTORS", (1,))
    config = IndexConfig(kind="faiss", recall_k=5, target_recall=1.0)
    message = (
        r"target_recall 1 .* recall@5 0\.\d+; lower target_recall, raise n_queries, or use kind"
    )
    with pytest.raises(ConfigError, match=message):
        build_index(vectors, config, version="v1", queries=users)


def test_the_same_seed_gives_the_same_index(vectors: Floats, users: Floats) -> None:
    config = IndexConfig(kind="faiss", storage="pq", pq_bytes=8, max_rank_change=1e6, recall_k=20)
    first, again = (
        build_index(vectors[:4_000], config, version="v1", seed=5, queries=users) for _ in "ab"
    )
    for name, array in first.arrays().items():
        if name != "facts":  # which tell the seconds
            np.testing.assert_array_equal(array, again.arrays()[name])
    assert first.report["recall"] == again.report["recall"]


def test_without_queries_the_items_are_asked_and_the_report_says_so(vectors: Floats) -> None:
    report = build_index(vectors[:100], version="v1").report
    assert report["queries"] == "items"
    assert report["recall"] == {"mean": 1, "low": 1, "high": 1, "n_queries": 100, "k": 100}
    given = build_index(vectors[:100], version="v1", queries=vectors[100:105]).report
    assert given["queries"] == "given"
    assert given["recall"]["n_queries"] == 5


def test_queries_without_a_vector_are_left_out(vectors: Floats) -> None:
    queries = np.full((3, 16), np.nan, dtype=np.float32)
    queries[1] = vectors[0]
    assert (
        build_index(vectors[:50], version="v1", queries=queries).report["recall"]["n_queries"] == 1
    )
    assert build_index(vectors[:50], version="v1", queries=queries[:1]).report["recall"] is None


@pytest.mark.parametrize(("n", "kind"), [(9, "exact"), (10, "faiss")])
def test_auto_takes_faiss_from_the_threshold_on(n: int, kind: str, vectors: Floats) -> None:
    index = build_index(vectors[:n], IndexConfig(exact_below=10), version="v1")
    assert index.report["kind"] == kind
    assert (index.finder is not None) == (kind == "faiss")


# -- storage ---------------------------------------------------------------------------


def test_float16_rank_change_by_hand() -> None:
    # Steps between float16 numbers near 2,049 are 2: both become 2048 and tie, so row 0 moves ahead of
    # row 1, which was first. 4,096 of a thousand keeps its place.
    vectors = float32([2048.0], [2049.0], [-1.0])
    config = IndexConfig(kind="exact", storage="float16", recall_k=2)
    index = build_index(vectors, config, version="v1", queries=float32([1.0]))
    assert index.report["rank_change"]["mean"] == 1.0
    assert index.search(float32([1.0]), 2)[0].tolist() == [[0, 1]]
    np.testing.assert_array_equal(index.vectors(), float32([2048.0], [2048.0], [-1.0]))
    assert index.report["recall"]["mean"] == 1.0


def test_a_rank_change_over_budget_is_refused_with_its_value_and_the_mend() -> None:
    vectors = float32([2048.0], [2049.0], [-1.0])
    config = IndexConfig(storage="float16", recall_k=2, max_rank_change=0.5)
    message = (
        r'storage "float16" moves the true best 2 by 1.00 places .* 1 queries.* allows 0.5; '
        r'use storage = "float32"'
    )
    with pytest.raises(ConfigError, match=message):
        build_index(vectors, config, version="v1", queries=float32([1.0]))


def test_product_quantisation_over_budget_is_refused_and_within_it_accepted(
    vectors: Floats, users: Floats
) -> None:
    settings = {"kind": "exact", "storage": "pq", "pq_bytes": 4, "recall_k": 20}
    message = r'"pq" moves the true best 20 by (\d+\.\d+) places .* use storage = "float16", more pq_bytes'
    with pytest.raises(ConfigError, match=message) as caught:
        build_index(vectors[:3_000], IndexConfig(**settings), version="v1", queries=users)
    allowed = IndexConfig(**settings, max_rank_change=1_000.0)
    report = build_index(vectors[:3_000], allowed, version="v1", queries=users).report
    assert f"{report['rank_change']['mean']:.2f} places" in str(caught.value)
    assert report["recall"]["mean"] < 1


def test_quantised_scores_are_those_of_the_decoded_vectors(vectors: Floats) -> None:
    config = IndexConfig(kind="exact", storage="pq", pq_bytes=4, max_rank_change=1e6)
    index = build_index(vectors[:3_000], config, version="v1")
    rows, scores = index.search(vectors[:2], 5)
    decoded = index.vectors()
    np.testing.assert_allclose(scores[0], decoded[rows[0]] @ vectors[0], rtol=1e-5)
    assert isinstance(index.stored, Quantised)
    # FAISS decodes the same codes to the same vectors.
    quantiser: Any = faiss.ProductQuantizer(16, 4, 8)
    faiss.copy_array_to_vector(index.stored.centroids.ravel(), quantiser.centroids)
    np.testing.assert_array_equal(quantiser.decode(index.stored.codes), decoded)


def test_up_to_256_vectors_product_quantisation_loses_nothing() -> None:
    few = clustered(200, 8, seed=4)
    stored = store(few, IndexConfig(storage="pq", pq_bytes=8), seed=0)
    np.testing.assert_allclose(stored.take(slice(None)), few, atol=2e-6)


@pytest.mark.parametrize(
    ("storage", "bytes_per_vector"), [("float32", 64 + 4), ("float16", 32 + 4), ("pq", 8 + 4)]
)
def test_bytes_of_a_vector(storage: str, bytes_per_vector: float, vectors: Floats) -> None:
    config = IndexConfig(kind="exact", storage=storage, pq_bytes=8, max_rank_change=1e6)
    report = build_index(vectors, config, version="v1").report
    shared = 8 * 256 * 2 * 4 if storage == "pq" else 0  # the centroids; 4 bytes are the item's row
    assert report["bytes_per_vector"] == pytest.approx(bytes_per_vector + shared / 8_000)


def test_a_number_too_large_for_float16_is_refused() -> None:
    with pytest.raises(DataError, match=r"reach 70000, float16 holds up to 65504"):
        build_index(float32([70_000.0]), IndexConfig(storage="float16"), version="v1")


def test_pq_bytes_must_divide_the_width() -> None:
    with pytest.raises(ConfigError, match=r"must divide the width .* got 5 for 8; take 4"):
        build_index(
            np.eye(8, dtype=np.float32), IndexConfig(storage="pq", pq_bytes=5), version="v1"
        )


@pytest.mark.parametrize(
    ("config", "feature"),
    [
        (IndexConfig(kind="faiss"), 'index "faiss"'),
        (IndexConfig(exact_below=2), 'index "faiss"'),
        (IndexConfig(storage="pq", pq_bytes=1), 'storage "pq"'),
    ],
)
def test_without_faiss_the_message_says_what_to_install(
    config: IndexConfig, feature: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(
        MissingExtraError, match=rf"{feature} needs an extra: pip install 'crossfade\[ann\]'"
    ):
        build_index(np.eye(3, dtype=np.float32), config, version="v1")
    # Exact search needs no extra.
    assert (
        build_index(np.eye(3, dtype=np.float32), version="v1").search(float32([1, 0, 0]), 1)[0] == 0
    )


def test_faiss_is_left_with_the_threads_it_had(vectors: Floats) -> None:
    before: Any = faiss.omp_get_max_threads()
    try:
        faiss.omp_set_num_threads(3)
        config = IndexConfig(kind="faiss", recall_k=5)
        build_index(vectors[:3_000], config, version="v1").search(vectors[:2], 5)
        assert faiss.omp_get_max_threads() == 3
    finally:
        faiss.omp_set_num_threads(before)


def test_a_version_must_be_named() -> None:
    with pytest.raises(ConfigError, match="version must not be empty"):
        build_index(np.eye(3, dtype=np.float32), version="")
