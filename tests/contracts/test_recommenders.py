"""Every registered recommender keeps every promise of the protocol."""

from collections.abc import Callable
from typing import Any

import pytest

from crossfade.recommenders.registry import RECOMMENDERS
from crossfade.testing import RECOMMENDER_CHECKS


@pytest.mark.parametrize("name", RECOMMENDERS)
@pytest.mark.parametrize("check", RECOMMENDER_CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Callable[[Any], None], name: str) -> None:
    check(RECOMMENDERS[name])
