"""Two small worlds, and what one taught for the other."""

import numpy as np
import pytest

from crossfade.data import Dataset
from crossfade.data.world import WorldConfig, make_world
from crossfade.fusion.base import Columns, LabelledSignals, Signals
from crossfade.fusion.few_shot.network import POSITIVES
from crossfade.transfer.config import TransferConfig
from crossfade.transfer.knowledge import Knowledge
from crossfade.transfer.tasks import Task, tasks_of

CONFIG = TransferConfig(
    bases={
        "popularity": {"model": "popularity", "half_life_days": None},
        "item_knn": {"model": "item_knn"},
        "content_knn": {"model": "content_knn"},
    },
    n_candidates=30,
    users=(15, 30),
    shots=(1, 4),
    n_rounds=4,
    n_requests=30,
    n_lists=20,
    n_epochs=12,
    n_steps=12,
    n_prototypes=3,
)


@pytest.fixture(scope="session")
def source() -> Dataset:
    return make_world(WorldConfig(n_listeners=80, n_tracks=150, n_plays=4_000), seed=1).dataset


@pytest.fixture(scope="session")
def target() -> Dataset:
    return make_world(WorldConfig(n_listeners=60, n_tracks=120, n_plays=2_500), seed=2).dataset


@pytest.fixture(scope="session")
def tasks(source: Dataset) -> list[Task]:
    return tasks_of(source, CONFIG, seed=0)


@pytest.fixture(scope="session")
def knowledge(source: Dataset, tasks: list[Task]) -> Knowledge:
    return Knowledge.of_tasks(source.name, tasks, CONFIG, seed=0)


def lists(seed: int, n: int = 40, strong: int = 1) -> LabelledSignals:
    """Lists of 12 candidates by three bases, of which one knows what is wanted."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=(n, 12, 3)).astype(np.float32)
    wanted = score[:, :, strong] + 0.3 * rng.normal(size=(n, 12)) > 1.3
    score[rng.random(score.shape) < 0.15] = np.nan
    score[np.isnan(score).all(axis=2)] = 0.0
    user = rng.uniform(0, 4, size=(n, 1)).astype(np.float32)
    signals = Signals(
        score,
        np.ones((n, 12), dtype=np.bool_),
        user=user,
        columns=Columns(("a", "b", "c"), (POSITIVES,)),
    )
    item = np.tile(np.arange(12, dtype=np.int32), (n, 1))
    return LabelledSignals(signals, item, wanted, wanted.sum(axis=1).astype(np.float64))
