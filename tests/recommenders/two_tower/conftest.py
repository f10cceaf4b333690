"""A small log whose answer is known, and a network small enough to learn it in a second."""

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest
import torch

from crossfade.data import Dataset
from crossfade.recommenders.two_tower.config import TwoTowerConfig

QUICK = {
    "output_dim": 8,
    "n_networks": 1,
    "examples": {"min_steps": 60},
    "item": {"hidden": (16,), "dropout": (0.1,)},
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small networks lose more by waiting for a second core than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def quick() -> TwoTowerConfig:
    return TwoTowerConfig(**QUICK)


@pytest.fixture(scope="session")
def two_camps() -> Dataset:
    """40 listeners: one half plays the jazz songs, the other the metal songs.

    Songs 0-9 are jazz and 10-19 metal. Song 20 is jazz and 21 metal, and nobody has played
    them. Nothing at all is known of song 22, which nobody has played either.
    """
    rng = np.random.default_rng(0)
    rows = []
    for user in range(40):
        songs = rng.permutation(10)[:7] + 10 * (user % 2)
        rows += [(f"u{user:02d}", f"s{song:02d}", user * 100 + k) for k, song in enumerate(songs)]
    events = pl.DataFrame(rows, ["user_id", "item_id", "minute"], orient="row").with_columns(
        timestamp=pl.datetime(2024, 1, 1, time_zone="UTC") + pl.duration(minutes="minute")
    )
    jazz = [song < 10 or song == 20 for song in range(22)]
    items = pl.DataFrame(
        {
            "item_id": [f"s{song:02d}" for song in range(23)],
            "title": [
                *(f"{'smoky club' if j else 'iron hammer'} {n}" for n, j in enumerate(jazz)),
                None,
            ],
            "genres": [*(["jazz"] if j else ["metal"] for j in jazz), None],
            "energy": [*(0.2 if j else 0.9 for j in jazz), None],
        },
        schema_overrides={"energy": pl.Float32},
    )
    return Dataset.build(events.drop("minute"), items, name="two camps")
