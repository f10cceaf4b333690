"""Shares: to who is right, none to who is not, and equal ones where few lists say so."""

import numpy as np
import pytest

from crossfade.fusion.base import LabelledSignals, Signals
from crossfade.fusion.scaling import zscore
from crossfade.fusion.shares import find_shares
from crossfade.types import Doubles, Floats

N_CANDIDATES = 60


def world(n: int, *skills: float) -> tuple[Floats, LabelledSignals]:
    """Models that know what is wanted as well as their skill, and make up the rest."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(n, N_CANDIDATES))
    relevant = truth >= np.sort(truth, axis=1)[:, -2:-1]
    said = [skill * truth + (1 - abs(skill)) * rng.normal(size=truth.shape) for skill in skills]
    scaled = np.stack([zscore(one.astype(np.float32)) for one in said], axis=-1)
    signals = Signals(scaled, np.ones(truth.shape, dtype=np.bool_))
    rows = np.broadcast_to(np.arange(N_CANDIDATES, dtype=np.int32), truth.shape)
    return scaled, LabelledSignals(signals, rows, relevant, relevant.sum(axis=1).astype(float))


def shares(n: int, *skills: float, even_requests: int = 0) -> Doubles:
    rng = np.random.default_rng(1)
    return find_shares(*world(n, *skills), rng, depth=10, even_requests=even_requests)


def test_who_knows_gets_the_share_and_who_says_the_opposite_next_to_none() -> None:
    found = shares(200, 0.9, -0.9)
    assert found[0] > 0.9
    # Of many each has less than counts, and none has any.
    assert shares(200, 0.9, *[-0.9] * 9).tolist() == [1, *[0] * 9]


def test_two_who_know_different_halves_share() -> None:
    found = shares(200, 0.5, 0.5)
    assert found.sum() == pytest.approx(1)
    assert found == pytest.approx([0.5, 0.5], abs=0.2)


@pytest.mark.parametrize(("even_requests", "evenness"), [(0, 0), (50, 0.2), (200, 0.5)])
def test_equal_shares_count_as_so_many_requests(even_requests: int, evenness: float) -> None:
    skills = (0.5, 0.4, *[-0.9] * 9)
    own = shares(200, *skills)
    assert own[0] > own[1] > 0
    assert not own[2:].any()
    found = shares(200, *skills, even_requests=even_requests)
    # Who has no share gets none by being drawn to equal ones.
    even = np.array([0.5, 0.5, *[0] * 9])
    np.testing.assert_allclose(found, (1 - evenness) * own + evenness * even)


def test_one_model_has_it_all() -> None:
    assert shares(5, -0.9).tolist() == [1]
