"""What a gate reads: the same for training and serving, and nothing it learned nothing about."""

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.fusion.gate.batches import read
from tests.fusion.problem import NAN, plain, problem, with_signals

from crossfade.errors import DataError
from crossfade.fusion.gate.inputs import (
    MIDDLE_RANK,
    N_AGREEMENT,
    RANK_SPREAD,
    GateBatch,
    GateReader,
)


def same(one: GateBatch, other: GateBatch) -> None:
    for field in fields(GateBatch):
        assert torch.equal(getattr(one, field.name), getattr(other, field.name)), field.name


# -- by hand ---------------------------------------------------------------------------


def test_what_is_read_of_the_bases_by_hand() -> None:
    # Base 0 says 2, 0 and nothing; base 1 says 1, 3 and nothing.
    labelled = plain(
        [[[2, 1], [0, 3], [NAN, NAN]]],
        [[True, False, True]],
        user=[[1.0]],
        item=[[[1.0], [2.0], [3.0]]],
        user_names=["a"],
        item_names=["b"],
    )
    batch = read(labelled)
    assert batch.there.tolist() == [[[True, True], [True, True], [False, False]]]
    assert batch.score.tolist() == [[[2, 1], [0, 3], [0, 0]]]
    first, second = ((MIDDLE_RANK - math.log(place)) / RANK_SPREAD for place in (1, 2))
    expected = np.array([[first, second], [second, first], [0, 0]])
    np.testing.assert_allclose(batch.rank[0], expected, rtol=1e-5)
    # Scores, ranks, who is there; then mean, spread, best score, best rank, share that speaks.
    assert batch.base.shape == (1, 3, 6 + N_AGREEMENT)
    agreement = batch.base[0, :, 6:]
    np.testing.assert_allclose(agreement[0], [1.5, 0.5, 2, first, 1], rtol=1e-5)
    np.testing.assert_allclose(agreement[1], [1.5, 1.5, 3, first, 1], rtol=1e-5)
    assert agreement[2].tolist() == [0] * 5
    # What nobody scores is on no list: neither a candidate nor wanted.
    assert batch.mask.tolist() == [[True, True, False]]
    assert batch.relevant.tolist() == [[True, False, False]]


def test_context_is_scaled_by_what_was_learned_and_says_what_is_missing() -> None:
    users = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, NAN]], dtype=np.float32)
    labelled = plain(
        np.zeros((3, 2, 1)), user=users, user_names="ab", item=np.ones((3, 2, 1)), item_names="c"
    )
    found = read(labelled).user
    spread = 1 / 1.349  # the quartiles are 0.5 and 1.5
    assert found[:, 0].tolist() == pytest.approx([-1 / spread, 0, 1 / spread], rel=1e-5)
    assert found[:, 1].tolist() == [0, 0, 0]  # constant where it is known
    assert found[:, 2].tolist() == [0, 0, 0]  # always known, so that says nothing
    assert found[:, 3].tolist() == [1, 1, 0]


def test_padding_takes_no_part_in_the_scales() -> None:
    labelled = problem(0)
    item = np.array(labelled.signals.item)
    item[~labelled.signals.mask] = 1e6
    fitted = (
        GateReader.fit(problem(0).signals, "meta"),
        GateReader.fit(with_signals(labelled, item=item).signals, "meta"),
    )
    np.testing.assert_equal(fitted[0].to_arrays(), fitted[1].to_arrays())


# -- taking ----------------------------------------------------------------------------


def test_taking_requests_and_candidates_moves_everything_together() -> None:
    labelled = problem(0)
    batch = read(labelled)
    places = torch.tensor([5, 2])
    candidates = torch.tensor([[3, 0, 9], [1, 7, 4]])
    part = batch.take(places, candidates)
    assert part.n_requests == 2
    for row, (place, of) in enumerate(zip(places, candidates, strict=True)):
        for name in ("score", "rank", "there", "base", "item", "mask", "relevant"):
            assert torch.equal(getattr(part, name)[row], getattr(batch, name)[place, of]), name
        for name in ("user", "person", "kept"):
            assert torch.equal(getattr(part, name)[row], getattr(batch, name)[place]), name
    same(batch.take(torch.arange(24)), batch)


# -- what must not be read -------------------------------------------------------------


@given(st.floats(width=32), st.floats(width=32), st.integers(0, 23))
def test_a_column_that_never_changed_cannot_say_anything_at_serving(
    value: float, other: float, place: int
) -> None:
    # The last columns are constant, and never known, where the reader learned.
    labelled = problem(0)
    user, item = np.array(labelled.signals.user), np.array(labelled.signals.item)
    user[:, 1], item[:, :, 1] = 7.0, -3.0
    user[:, 0], item[:, :, 0] = NAN, NAN
    learned = with_signals(labelled, user=user, item=item)
    user, item = user.copy(), item.copy()
    user[place, :2] = value, other
    item[place, :, :2] = other, value
    same(read(with_signals(labelled, user=user, item=item), on=learned), read(learned))


def test_being_known_is_read_where_it_was_learned() -> None:
    learned = problem(0)
    user = np.array(learned.signals.user)
    assert np.isnan(user[:, 0]).any()
    user[:, 0] = NAN
    changed = read(with_signals(learned, user=user), on=learned)
    assert not torch.equal(changed.user, read(learned).user)


def test_what_a_base_says_of_padding_is_not_read() -> None:
    labelled = problem(0)
    score, rank = labelled.signals.score.copy(), np.array(labelled.signals.reciprocal_rank)
    score[~labelled.signals.mask], rank[~labelled.signals.mask] = 9.0, 1.0
    rubbish = with_signals(labelled, score=score, reciprocal_rank=rank)
    same(read(rubbish, on=labelled), read(labelled))


def test_the_rank_of_a_base_that_gives_no_score_is_not_read() -> None:
    labelled = problem(0)
    rank = np.array(labelled.signals.reciprocal_rank)
    rank[np.isnan(labelled.signals.score)] = 0.5
    same(read(with_signals(labelled, reciprocal_rank=rank), on=labelled), read(labelled))


# -- keeping and refusing --------------------------------------------------------------


def test_a_restored_reader_reads_the_same() -> None:
    reader = GateReader.fit(problem(0).signals, "meta")
    again = GateReader.from_arrays(reader.to_arrays())
    same(again.read(problem(1).signals), reader.read(problem(1).signals))


@pytest.mark.parametrize("gone", ["user", "item", "reciprocal_rank"])
def test_signals_without_context_are_refused_when_learning_and_when_serving(gone: str) -> None:
    labelled = problem(0)
    without: dict[str, Any] = {gone: None}
    bare = replace(labelled.signals, **without)
    with pytest.raises(DataError, match="meta weighs bases by ranks and context"):
        GateReader.fit(bare, "meta")
    with pytest.raises(DataError, match="weighs bases by ranks and context"):
        GateReader.fit(labelled.signals, "meta").read(bare)


def test_context_without_a_column_is_refused() -> None:
    none = plain(np.zeros((2, 2, 1)), user=np.zeros((2, 0)), item=np.zeros((2, 2, 0)))
    with pytest.raises(DataError, match="meta weighs bases by ranks and context"):
        GateReader.fit(none.signals, "meta")
