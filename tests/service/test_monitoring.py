"""What the service keeps for a monitor, and what it tells of the newest report."""

from pathlib import Path

import numpy as np
import pytest
from tests.online.systems import cut, fit, world
from tests.service.conftest import Start

from crossfade.data.dataset import to_datetime
from crossfade.hybrid import HybridModel
from crossfade.online import Answer, Ask, LiveSystem
from crossfade.service.impressions import kept
from crossfade.store import Registry

LOG, END_US = cut(world())


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One version, whose learned blend serves."""
    place = tmp_path_factory.mktemp("versions") / "registry"
    added = Registry(place).add(fit(LOG).save, to_datetime(END_US))
    Registry(place).promote(added, to_datetime(END_US))
    return place


def test_features_are_kept_of_the_share_that_is_asked_for() -> None:
    ids = [f"{at:08x}" for at in range(0, 16**8, 16**5)]
    for share in (0.0, 0.1, 1.0):
        assert np.mean([kept(name, share) for name in ids]) == pytest.approx(share, abs=1e-3)
    assert [kept(name, 0.1) for name in ids] == sorted([kept(name, 0.1) for name in ids])[::-1]


def test_an_impression_holds_what_the_blend_was_told(start: Start, registry: Path) -> None:
    running = start(registry, keep_features=1)
    live = LiveSystem(Registry(registry).read_promoted(HybridModel.load))
    told = running.read.post("/v1/recommendations", json={"user_id": "u", "k": 3}).json()
    running.service.impressions.close()
    shown = running.service.log.impression(told["request_id"])
    assert shown is not None
    (there,) = live.answer([Ask("u", k=3, now_us=shown.time_us, features=True)])
    assert isinstance(there, Answer)
    assert there.features is not None
    assert shown.features == there.features
