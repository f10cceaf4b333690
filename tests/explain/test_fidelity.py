from collections.abc import Sequence

import numpy as np
import pytest

from crossfade.data import Queries
from crossfade.data.world import WorldConfig, make_world
from crossfade.explain.fidelity import Fidelity, FidelityConfig, measure_fidelity
from crossfade.explain.reasons import cited_rows, find_reasons
from crossfade.recommenders.attribution import without
from crossfade.recommenders.registry import make
from crossfade.types import Ints, Rows

HISTORY = np.arange(10, dtype=np.int32)
# Item r of the history gives 2 to the r: the best piece of evidence outweighs all others.
GIVES = 2.0 ** np.arange(10)


def rescore(explanation: int, deleted: Rows) -> tuple[float, float]:
    """A score that is a plain sum, and its place among ten others at 100, 200, … 1,000."""
    score = GIVES.sum() - GIVES[deleted].sum()
    return float(score), float(1 + (score < np.arange(100, 1_001, 100)).sum())


def rows(*items: int) -> Rows:
    return np.array(items, dtype=np.int32)


def measure(cited: Sequence[Rows | None], unit: Ints | None = None, seed: int = 0) -> Fidelity:
    histories = [HISTORY] * len(cited)
    return measure_fidelity(cited, histories, rescore, np.random.default_rng(seed), unit=unit)


def test_true_evidence_falls_more_and_false_evidence_does_not() -> None:
    true, false = measure([rows(9)] * 40), measure([rows(0)] * 40)
    assert true.falls_more.mean == 1.0
    assert false.falls_more.mean == 0.0
    assert true.cited_drop.mean == 512
    assert false.cited_drop.mean == 1
    assert true.n_tested == 40


def test_random_evidence_falls_by_the_mean_of_the_history() -> None:
    found = measure([rows(9)] * 2_000)
    low, high = found.random_drop.low, found.random_drop.high
    assert low < GIVES.mean() < high
    assert low < found.random_drop.mean < high


def test_ranks_are_measured_beside_scores() -> None:
    # From 1,023 to 511: past 600, 700, 800, 900 and 1,000.
    assert measure([rows(9)] * 5).cited_places.mean == 5


def test_random_evidence_is_no_better_than_itself() -> None:
    rng = np.random.default_rng(1)
    found = measure([rng.choice(HISTORY, 2, replace=False) for _ in range(400)])
    assert found.falls_more.low > 0.3
    assert found.falls_more.high < 0.6


def test_what_cannot_be_tested_is_counted_apart() -> None:
    found = measure([rows(9), rows(), None, HISTORY, None])
    assert (found.n_explanations, found.n_tested) == (5, 1)
    assert (found.n_other_evidence, found.n_whole_history) == (1, 1)
    assert found.share_without_reason == 2 / 5


def test_an_item_that_is_gone_has_fallen_furthest() -> None:
    def gone_without_nine(explanation: int, deleted: Rows) -> tuple[float, float]:
        return (np.nan, np.nan) if 9 in deleted else rescore(explanation, deleted)

    rng = np.random.default_rng(0)
    found = measure_fidelity([rows(9)] * 30, [HISTORY] * 30, gone_without_nine, rng)
    assert found.falls_more.mean > 0.9  # random evidence is rarely item 9 too
    assert np.isnan(found.cited_drop.mean)


def test_intervals_are_over_people() -> None:
    # Each of two people is of one kind; only by people is that as unsure as it is.
    cited = [*[rows(9)] * 50, *[rows(0)] * 50]
    by_person = measure(cited, unit=np.repeat([0, 1], 50)).falls_more
    alone = measure(cited).falls_more
    assert by_person.mean == alone.mean == 0.5
    assert (by_person.low, by_person.high) == (0.0, 1.0)
    assert alone.high - alone.low < 0.3


def test_equal_seeds_give_equal_reports() -> None:
    cited: list[Rows | None] = [rows(4), rows(9), rows(1, 2)]
    assert measure(cited, seed=3) == measure(cited, seed=3)


def test_nothing_to_measure_is_no_number() -> None:
    found = measure([])
    assert np.isnan(found.falls_more.mean)
    assert np.isnan(found.share_without_reason)


def test_evidence_from_elsewhere_is_refused() -> None:
    with pytest.raises(ValueError, match=r"explanation 0 cites \[11\]"):
        measure([rows(11)])
    with pytest.raises(ValueError, match="need as many histories"):
        measure_fidelity([None], [], rescore, np.random.default_rng(0))


@pytest.mark.parametrize("name", ["item_knn", "ease", "nmf", "ials", "session_knn", "content_knn"])
def test_reasons_of_the_bases_hold(name: str) -> None:
    data = make_world(WorldConfig(n_listeners=80, n_tracks=200, n_plays=5_000), seed=2).dataset
    model = make(name).fit(data)
    every = [data.queries([user]) for user in range(data.n_users)]
    queries = [query for query in every if len(query.positives.indices) >= 5]
    shown = [model.top(query, 1, exclude=query.positives.indices).item_row for query in queries]
    cited = []
    for query, items in zip(queries, shown, strict=True):
        found = model.attribute(query, items)
        assert found is not None
        reasons = find_reasons({name: np.ones(1)}, {name: found})
        cited.append(cited_rows(reasons[0]))

    def again(explanation: int, deleted: Rows) -> tuple[float, float]:
        query: Queries = without(queries[explanation], deleted)
        scores = model.score_batch(query)[0]
        score = float(scores[shown[explanation][0]])
        return score, float(1 + (scores > score).sum())

    histories = [query.positives.indices.astype(np.int32) for query in queries]
    config = FidelityConfig(n_draws=5, resamples=100)
    report = measure_fidelity(cited, histories, again, np.random.default_rng(0), config=config)
    assert report.n_tested > 40
    assert report.falls_more.mean >= 0.8
