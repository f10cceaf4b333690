"""The attack on exports: its measure against another implementation, and what it says of a small world."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from tests.transfer.conftest import CONFIG

from crossfade.data import Dataset
from crossfade.data.world import WorldConfig, make_world
from crossfade.errors import DataError
from crossfade.transfer.membership import _area, membership


@given(seed=st.integers(0, 100), ties=st.booleans())
def test_the_area_is_that_of_another_implementation(seed: int, *, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    signs = rng.normal(size=60).round(0 if ties else 6)
    inside = rng.random(60) < 0.4
    inside[:2] = True, False
    found = _area(signs, inside, rng)
    assert found.auc == pytest.approx(roc_auc_score(inside, signs))
    assert found.low <= found.auc <= found.high


def test_who_is_given_away_is_found() -> None:
    """The measure must be able to fail: members that are foretold better have an area far above a half."""
    rng = np.random.default_rng(0)
    inside = np.arange(200) < 100
    assert _area(rng.normal(size=200) + inside, inside, rng).low > 0.6
    assert _area(rng.normal(size=200), inside, rng).low < 0.5


def test_an_export_of_a_world_gives_nobody_away() -> None:
    world = make_world(WorldConfig(n_listeners=150, n_tracks=150, n_plays=6_000), seed=4).dataset
    quick = CONFIG.changed(users=(15,), shots=(4,), n_rounds=2, n_epochs=4)
    found = membership(world, quick, seed=0)
    assert min(found.n_members, found.n_others) >= 20
    assert found.low <= 0.55


def test_too_few_people_are_an_error(target: Dataset) -> None:
    with pytest.raises(DataError, match="are needed; take more data or fewer shots"):
        membership(target, CONFIG, seed=0)
