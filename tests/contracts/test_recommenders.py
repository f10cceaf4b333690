"""Every registered recommender keeps every promise of the protocol."""

from collections.abc import Callable
from typing import Any

import pytest

from crossfade.recommenders.registry import RECOMMENDERS, make
from crossfade.testing import RECOMMENDER_CHECKS

# Enough to learn a checkerboard.
SMALL = {"two_tower": {"examples": {"min_steps": 60}, "item": {"hidden": (16,), "dropout": (0.1,)}}}


@pytest.mark.parametrize("name", RECOMMENDERS)
@pytest.mark.parametrize("check", RECOMMENDER_CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Callable[[Any], None], name: str) -> None:
    check(lambda: make(name, SMALL.get(name)))
