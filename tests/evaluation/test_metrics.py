"""Accuracy metrics: by hand, against trec_eval, at the edges."""

import math

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from crossfade.evaluation.metrics import (
    ACCURACY_METRICS,
    average_precision,
    hit_rate,
    locate,
    ndcg,
    precision,
    recall,
    reciprocal_rank,
)
from crossfade.types import Bools, Csr, Ints

TREC = {
    "ndcg": "ndcg_cut_{k}",
    "recall": "recall_{k}",
    "precision": "P_{k}",
    "map": "map_cut_{k}",
    "mrr": "recip_rank",
    "hr": "success_{k}",
}


def case(hits: list[int], n_relevant: int) -> tuple[Bools, Ints]:
    return np.array([hits], dtype=np.bool_), np.array([n_relevant], dtype=np.int64)


@pytest.mark.parametrize(
    ("hits", "n_relevant", "expected"),
    [
        ([1, 1, 0], 2, 1.0),  # both wanted items on top: ideal
        ([0, 1], 1, math.log2(2) / math.log2(3)),  # the one wanted item, one rank late
        ([0, 0], 3, 0.0),  # nothing found
        ([1, 1], 5, 1.0),  # more wanted than places: a full list is ideal
        ([1, 0, 1], 2, (1 + 1 / 2) / (1 + 1 / math.log2(3))),
    ],
)
def test_ndcg_by_hand(hits: list[int], n_relevant: int, expected: float) -> None:
    assert ndcg(*case(hits, n_relevant))[0] == pytest.approx(expected)


def test_the_other_metrics_by_hand() -> None:
    # Wanted: four items; the list of five has two of them, at ranks 2 and 5.
    hits, n_relevant = case([0, 1, 0, 0, 1], 4)
    assert recall(hits, n_relevant)[0] == pytest.approx(2 / 4)
    assert precision(hits, n_relevant)[0] == pytest.approx(2 / 5)
    assert average_precision(hits, n_relevant)[0] == pytest.approx((1 / 2 + 2 / 5) / 4)
    assert reciprocal_rank(hits, n_relevant)[0] == pytest.approx(1 / 2)
    assert hit_rate(hits, n_relevant)[0] == 1.0


@pytest.mark.parametrize("name", ACCURACY_METRICS)
def test_finding_nothing_is_zero_and_wanting_nothing_is_nan(name: str) -> None:
    metric = ACCURACY_METRICS[name]
    assert metric(*case([0, 0, 0], 2)).tolist() == [0.0]
    assert np.isnan(metric(*case([0, 0, 0], 0))).all()
    assert metric(np.zeros((0, 5), dtype=np.bool_), np.zeros(0, dtype=np.int64)).shape == (0,)


@pytest.mark.parametrize("k", [1, 5, 10, 20])
def test_every_metric_agrees_with_trec_eval(k: int) -> None:
    rng = np.random.default_rng(k)
    n, n_items = 60, 30
    lists = np.stack([rng.permutation(n_items)[:k] for _ in range(n)]).astype(np.int32)
    lists[np.arange(k) >= rng.integers(0, k + 1, size=n)[:, None]] = -1  # shorter than k
    wanted = rng.random((n, n_items)) < rng.uniform(0.02, 0.9, size=(n, 1))
    wanted[np.arange(n), rng.integers(0, n_items, size=n)] = True
    hits, _ = locate(lists, Csr(wanted.astype(np.float32)))
    n_relevant = wanted.sum(axis=1)

    qrel = {str(i): {str(j): 1 for j in np.flatnonzero(wanted[i])} for i in range(n)}
    run = {
        # Scores that fall with the rank reproduce the order of the list.
        str(i): {str(item): float(k - rank) for rank, item in enumerate(lists[i]) if item >= 0}
        for i in range(n)
    }
    measures = {trec.format(k=k) for trec in TREC.values()}
    judged = pytrec_eval.RelevanceEvaluator(qrel, measures).evaluate(run)
    for name, trec in TREC.items():
        ours = ACCURACY_METRICS[name](hits, n_relevant)
        theirs = [judged.get(str(i), {}).get(trec.format(k=k), 0.0) for i in range(n)]
        np.testing.assert_allclose(ours, theirs, atol=1e-9, err_msg=name)


@given(st.data())
def test_metrics_stay_in_bounds_and_one_more_hit_never_hurts(data: st.DataObject) -> None:
    k = data.draw(st.integers(1, 8))
    row = data.draw(st.lists(st.booleans(), min_size=k, max_size=k))
    n_relevant = data.draw(st.integers(max(1, sum(row)), 12))
    hits, count = np.array([row]), np.array([n_relevant])
    for name, metric in ACCURACY_METRICS.items():
        value = metric(hits, count)[0]
        assert 0 <= value <= 1 + 1e-12, name
        for place in np.flatnonzero(~hits[0]):
            if hits.sum() < n_relevant:
                more = hits.copy()
                more[0, place] = True
                assert metric(more, count)[0] >= value - 1e-12, name


def test_locate_finds_places_and_skips_padding() -> None:
    lists = np.array([[4, 0, 2], [3, -1, -1]], dtype=np.int32)
    wanted = np.zeros((2, 5), dtype=np.float32)
    wanted[0, [1, 2, 4]] = 1
    wanted[1, [0, 4]] = 1
    hits, place = locate(lists, Csr(wanted))
    assert hits.tolist() == [[True, False, True], [False, False, False]]
    # Stored entries in order: (0, 1), (0, 2), (0, 4), (1, 0), (1, 4).
    assert place.tolist() == [-1, 2, 0, -1, -1]
