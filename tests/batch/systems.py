"""A small fitted system whose lists are made in the tests of this folder."""

from pathlib import Path

from crossfade.data.world import WorldConfig, make_world
from crossfade.hybrid import HybridConfig, HybridModel

BASES: dict[str, dict[str, object]] = {"popularity": {}, "item_knn": {}}


def fitted(directory: Path, seed: int = 3) -> None:
    """Fit it, and save it there."""
    world = make_world(WorldConfig(n_listeners=150, n_tracks=120, n_plays=5_000), seed).dataset
    settings = HybridConfig(bases=BASES, blend={"fusion": "static", "min_requests": 5})
    HybridModel.fit(world, settings, seed=1).save(directory)
