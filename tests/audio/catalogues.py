"""Made-up catalogues whose audio features follow a known rule."""

import numpy as np
import polars as pl

from crossfade.data.schema import AUDIO_FEATURES, ITEM_COLUMNS

SURE, UNSURE = 0.02, 0.12
"""Spread of energy around its rule, for tracks with the mood "steady" and "wild"."""


def planted(n_creators: int = 200, tracks_each: int = 6, seed: int = 0) -> pl.DataFrame:
    """Energy is 0.7 for rock and 0.3 for folk, with a spread that the mood decides.

    All other features are drawn around 0.5 (tempo: 120), whatever else is known.
    """
    rng = np.random.default_rng(seed)
    n = n_creators * tracks_each
    rock, wild = rng.random(n) < 0.5, rng.random(n) < 0.5
    noise = rng.normal(0, np.where(wild, UNSURE, SURE))
    energy = np.clip(np.where(rock, 0.7, 0.3) + noise, 0, 1)
    columns = {
        "item_id": [f"i{row}" for row in range(n)],
        "title": [f"Song {row}" for row in range(n)],
        "creator": [f"Band {row // tracks_each}" for row in range(n)],
        "creator_id": [f"c{row // tracks_each}" for row in range(n)],
        "genres": [["rock"] if yes else ["folk"] for yes in rock],
        "moods": [["wild"] if yes else ["steady"] for yes in wild],
        "duration_ms": rng.integers(120_000, 300_000, n),
        **{
            name: np.clip(rng.normal(0.5, 0.1, n), 0, 1)
            for name in AUDIO_FEATURES
            if name not in {"energy", "tempo"}
        },
        "energy": energy,
        "tempo": rng.normal(120, 10, n),
    }
    frame = pl.DataFrame(columns)
    return frame.cast({name: ITEM_COLUMNS[name] for name in frame.columns})


def without_audio(items: pl.DataFrame) -> pl.DataFrame:
    return items.drop(*AUDIO_FEATURES, strict=False)
