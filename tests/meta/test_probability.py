"""From scores to probabilities: kinds apart where they differ, sets, blocks of another length, bundles."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from crossfade.arrays import pack_strings
from crossfade.calibration.grouping import TOGETHER
from crossfade.errors import BundleError
from crossfade.fusion.base import Columns, LabelledSignals, Signals
from crossfade.meta.probability import Probability, kind_of, probability_of
from crossfade.types import Floats

COLUMNS = Columns(("one",), ("log_positives",), ("log_age_days",))


def lists(n: int = 200, length: int = 30, gap: float = 2.0) -> LabelledSignals:
    """Every other person has a long history and wants less for the same score."""
    rng = np.random.default_rng(0)
    score = rng.normal(size=(n, length, 1)).astype(np.float32)
    regular = np.arange(n) % 2 == 1
    user = np.log1p(np.where(regular, 100.0, 3.0)).astype(np.float32)[:, None]
    item = np.log1p(np.full((n, length, 1), 400.0)).astype(np.float32)
    wanted = rng.random((n, length)) < expit(score[:, :, 0] - 1 - gap * regular[:, None])
    signals = Signals(score, np.ones((n, length), bool), user=user, item=item, columns=COLUMNS)
    rows = np.broadcast_to(np.arange(length, dtype=np.int32), (n, length))
    return LabelledSignals(signals, rows, wanted, wanted.sum(axis=1).astype(np.float64))


def said(block: LabelledSignals) -> Floats:
    return np.asarray(block.signals.score[:, :, 0], np.float32)


@pytest.fixture(scope="module")
def block() -> LabelledSignals:
    return lists()


@pytest.fixture(scope="module")
def found(block: LabelledSignals) -> Probability:
    probability = probability_of(said(block), block, seed=0)
    assert probability is not None
    return probability


def test_who_wants_less_for_the_same_score_gets_a_lower_probability(
    found: Probability, block: LabelledSignals
) -> None:
    assert found.grouping == "history"
    level = np.zeros_like(said(block))
    chance = found.predict(level, block.signals)
    # Log-odds −1 and −3, as they were drawn.
    assert chance[0, 0] == pytest.approx(expit(-1), abs=0.06)
    assert chance[1, 0] == pytest.approx(expit(-3), abs=0.03)


def test_people_alike_are_calibrated_together() -> None:
    block = lists(gap=0.0)
    found = probability_of(said(block), block, seed=0)
    assert found is not None
    assert (found.grouping, found.kinds) == (TOGETHER, None)
    np.testing.assert_array_equal(
        found.predict(said(block), block.signals), found.everybody.predict(said(block))
    )


def test_no_score_has_no_probability(found: Probability, block: LabelledSignals) -> None:
    score = said(block).copy()
    score[3, 4] = np.nan
    chance = found.predict(score, block.signals)
    assert np.isnan(chance[3, 4])
    assert np.isnan(chance).sum() == 1


def test_a_block_twice_as_long_is_two_chances(found: Probability, block: LabelledSignals) -> None:
    once = found.predict(said(block), block.signals)
    twice = found.predict(said(block), block.signals, blocks=2.0)
    np.testing.assert_allclose(twice, 1 - (1 - once) ** 2)


def test_sets_hold_what_they_promise_to_all_and_to_each_history(
    found: Probability, block: LabelledSignals
) -> None:
    chance, kind = found.predict(said(block), block.signals), kind_of(block.signals)
    together, apart = found.inside(chance, kind)
    assert together[block.relevant].mean() == pytest.approx(0.9, abs=0.02)
    regular = np.arange(len(block)) % 2 == 1
    for who in (regular, ~regular):
        assert apart[who][block.relevant[who]].mean() == pytest.approx(0.9, abs=0.02)
    # One threshold for all leaves out most of what those who want little want.
    assert together[regular][block.relevant[regular]].mean() < 0.7


def test_sets_of_a_longer_block_are_the_same(found: Probability, block: LabelledSignals) -> None:
    kind = kind_of(block.signals)
    for blocks in (1.0, 3.0):
        chance = found.predict(said(block), block.signals, blocks)
        inside = found.inside(np.round(chance, 12), kind, blocks)
        if blocks == 1:
            first = inside
    for one, other in zip(first, inside, strict=True):
        assert (one != other).mean() < 0.001


def test_nobody_who_wants_anything_is_no_probability(block: LabelledSignals) -> None:
    nothing = replace(block, relevant=block.relevant & (np.arange(len(block)) == 5)[:, None])
    assert probability_of(said(block), nothing, seed=0) is None


def test_a_probability_comes_back_from_its_arrays(
    found: Probability, block: LabelledSignals
) -> None:
    again = Probability.unpack(found.pack())
    assert again.grouping == found.grouping
    chance = found.predict(said(block), block.signals)
    np.testing.assert_array_equal(again.predict(said(block), block.signals), chance)
    kind = kind_of(block.signals)
    for one, other in zip(found.inside(chance, kind), again.inside(chance, kind), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_bundle_of_before_holds_one_calibrator_and_no_sets(
    found: Probability, block: LabelledSignals
) -> None:
    old = {key: array for key, array in found.pack().items() if key.startswith("it.")}
    again = Probability.unpack(old)
    assert again.grouping == TOGETHER
    np.testing.assert_array_equal(
        again.predict(said(block), block.signals), found.everybody.predict(said(block))
    )
    with pytest.raises(ValueError, match="without conformal sets; fit again"):
        again.inside(np.zeros(1), np.zeros(1, np.int64))


def test_a_grouping_of_a_later_version_is_named(found: Probability) -> None:
    newer = {**found.pack(), **pack_strings("grouping", ["shoe size"])}
    with pytest.raises(BundleError, match='no grouping "shoe size" in this version'):
        Probability.unpack(newer)


def test_without_context_everybody_is_a_stranger(block: LabelledSignals) -> None:
    bare = Signals(block.signals.score, block.signals.mask)
    assert (kind_of(bare) == 0).all()
    # 3 and 100 events, 400 days: second and fourth history, third age.
    assert kind_of(block.signals)[:2, 0].tolist() == [5, 11]
