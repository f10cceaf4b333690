"""A base that says nothing of use, through the whole chain from scores to learned blends."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crossfade.data import Dataset, Queries
from crossfade.data.splits import Plan, ProtocolConfig, make_plan
from crossfade.data.world import WorldConfig, make_world
from crossfade.meta import blending, chain
from crossfade.meta.blending import Bases, BlendConfig
from crossfade.meta.chain import Material, gather
from crossfade.meta.learning import Learned, learn
from crossfade.types import Floats

BASES: dict[str, dict[str, Any]] = {
    "popularity": {},
    "item_knn": {},
    "odd": {"model": "popularity"},
}
CONFIG = BlendConfig(
    n_candidates=10,
    n_earlier_blocks=1,
    min_requests=10,
    fusion_settings={"auto": {"candidates": ("ridge", "fwls"), "n_folds": 2}},
)

NAMES = ["auto", "rrf", "combsum", "confidence_weighted"]


class Odd:
    """Gives everything the same score, or every second item."""

    name = "odd"

    def __init__(self, score: float, otherwise: float) -> None:
        self.score, self.otherwise = score, otherwise

    def score_batch(self, queries: Queries) -> Floats:
        every = np.arange(queries.n_items)
        line = np.where(every % 2 == 0, self.score, self.otherwise)
        return np.tile(line, (len(queries), 1)).astype(np.float32)


@pytest.fixture(scope="module")
def plan() -> Plan:
    config = WorldConfig(n_listeners=40, n_tracks=80, n_plays=2_500)
    return make_plan(make_world(config, seed=3).dataset, ProtocolConfig(), seed=0)


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float], None]:
    """Puts an odd base in place of the one of that name, wherever bases are fitted."""

    def put(score: float, otherwise: float) -> None:
        fit = blending.fit_bases

        def fitted(bases: Bases, dataset: Dataset, seed: int) -> dict[str, Any]:
            return {**fit(bases, dataset, seed), "odd": Odd(score, otherwise)}

        monkeypatch.setattr(chain, "fit_bases", fitted)

    return put


@pytest.mark.parametrize("score", [np.inf, -np.inf])
@pytest.mark.parametrize("otherwise", [np.nan, np.inf, -np.inf])
def test_infinite_scores_teach_what_no_scores_teach(
    plan: Plan, beside: Callable[[float, float], None], score: float, otherwise: float
) -> None:
    found: list[Material] = []
    for values in ((np.nan, np.nan), (score, otherwise)):
        beside(*values)
        found.append(gather(plan, BASES, CONFIG, seed=0))
    for one, other in zip(*([m.train, m.calibrate] for m in found), strict=True):
        np.testing.assert_array_equal(other.item_row, one.item_row)
        for name in ("score", "reciprocal_rank", "user", "item"):
            np.testing.assert_array_equal(
                getattr(other.signals, name), getattr(one.signals, name), err_msg=name
            )


@pytest.mark.parametrize("values", [(np.nan, np.nan), (7.0, 7.0), (np.inf, 1.0), (3e38, -3e38)])
def test_blends_learn_beside_an_odd_base(
    plan: Plan, beside: Callable[[float, float], None], values: tuple[float, float]
) -> None:
    beside(*values)
    learned: Learned = learn(plan, BASES, CONFIG, NAMES, seed=0)
    assert list(learned.models) == NAMES
    test = gather(plan, BASES, CONFIG, seed=0).calibrate.signals
    for model in learned.models.values():
        score = model.forward(test).score
        # Whoever has a candidate that another base scores gets a finite score for it.
        others = test.available[:, :, :2].any(axis=-1)
        assert np.isfinite(score[others]).all()
        assert not np.isinf(score).any()
