"""RRF and CombSUM, which learn nothing."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fusion.problem import NAN, plain

from crossfade.fusion.base import LabelledSignals
from crossfade.fusion.combsum import CombSum, CombSumConfig
from crossfade.fusion.rrf import RRF
from crossfade.types import Floats

SCORES = st.lists(
    st.tuples(*[st.sampled_from([NAN, -3.0, 0.0, 1.0, 7.0])] * 3), min_size=1, max_size=6
)


def wanted(score: object) -> LabelledSignals:
    """One request whose first candidate is wanted, as fitting asks for one."""
    given = plain(score)
    given.relevant[0, 0] = True
    return given


def rrf(given: LabelledSignals) -> Floats:
    return RRF().fit(given, given).forward(given.signals).score


def comb(given: LabelledSignals, scaling: str = "minmax", rule: str = "sum") -> Floats:
    model = CombSum(CombSumConfig.model_validate({"scaling": scaling, "rule": rule}))
    return model.fit(given, given).forward(given.signals).score


def test_rrf_by_hand() -> None:
    # Base 0 ranks a, b, c; base 1 ranks b, a and does not know c.
    given = wanted([[[3.0, 1.0], [2.0, 9.0], [1.0, NAN]]])
    expected = [1 / 61 + 1 / 62, 1 / 62 + 1 / 61, 1 / 63]
    np.testing.assert_allclose(rrf(given)[0], expected, rtol=1e-6)


@given(SCORES)
def test_rrf_matches_a_plain_loop(row: list[tuple[float, ...]]) -> None:
    found = rrf(wanted([row]))[0]
    for place, scores in enumerate(row):
        total = 0.0
        for base, score in enumerate(scores):
            if not math.isnan(score):
                rank = 1 + sum(other[base] > score for other in row)
                total += 1 / (60 + rank)
        assert math.isnan(found[place]) if total == 0 else found[place] == pytest.approx(total)


def test_ranks_are_those_of_each_bases_whole_list() -> None:
    # Both candidates are far down in the catalogue, and so they stay.
    given = wanted([[[3.0], [2.0]]])
    deep = np.array([[[61 / 160], [61 / 360]]], dtype=np.float32)
    given = replace(given, signals=replace(given.signals, reciprocal_rank=deep))
    np.testing.assert_allclose(rrf(given)[0], [1 / 160, 1 / 360], rtol=1e-6)


def test_combsum_by_hand() -> None:
    # Min-max of base 0: 1, 0.5, 0; of base 1, which does not know c: 0, 1, and 0 for missing.
    given = wanted([[[4.0, 1.0], [3.0, 9.0], [2.0, NAN]]])
    assert comb(given)[0].tolist() == [1.0, 1.5, 0.0]
    # Two bases know a and b, one knows c.
    assert comb(given, rule="mnz")[0].tolist() == [2.0, 3.0, 0.0]
    # Distances from the lowest, in the unit the scores came in.
    assert comb(given, "zscore")[0].tolist() == [2.0, 9.0, 0.0]


@given(SCORES, st.sampled_from(["minmax", "zscore"]))
def test_missing_counts_as_the_lowest(row: list[tuple[float, ...]], scaling: str) -> None:
    array = np.array(row, dtype=np.float32)
    known = ~np.isnan(array)
    filled = np.where(known, array, np.where(known, array, np.inf).min(axis=0))
    filled[np.isinf(filled)] = 0  # a base that knows nothing
    spoken = known.any(axis=1)
    with_gaps = comb(wanted([row]), scaling)[0]
    assert (np.isnan(with_gaps) == ~spoken).all()
    without = comb(wanted([filled.tolist()]), scaling)[0]
    np.testing.assert_allclose(with_gaps[spoken], without[spoken], rtol=1e-6)


@given(SCORES, st.floats(0.5, 3.0), st.floats(-4.0, 4.0))
def test_minmax_forgets_unit_and_origin(
    row: list[tuple[float, ...]], unit: float, origin: float
) -> None:
    moved = np.array(row) * unit + origin
    np.testing.assert_allclose(comb(wanted(moved[None])), comb(wanted([row])), atol=1e-5)


def test_a_constant_base_changes_no_order() -> None:
    alone = comb(wanted([[[4.0], [3.0], [2.0]]]))
    beside = comb(wanted([[[4.0, 5.0], [3.0, 5.0], [2.0, 5.0]]]))
    np.testing.assert_array_equal(alone, beside)


@pytest.mark.parametrize("model", [RRF(), CombSum()])
def test_all_bases_that_can_score_weigh_the_same(model: RRF | CombSum) -> None:
    given = wanted([[[3.0, 1.0, 1.0], [2.0, NAN, 0.0], [NAN, NAN, 5.0]]])
    weights = model.fit(given, given).forward(given.signals).weights[0]
    expected = np.array([[1 / 3, 1 / 3, 1 / 3], [0.5, 0, 0.5], [0, 0, 1]])
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
