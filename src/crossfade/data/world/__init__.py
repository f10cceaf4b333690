"""A synthetic world of listeners and tracks, with the truth behind every play.

Everything a recommender is meant to find is in it, and only partly: popularity (fame,
hype of new releases), common taste (hidden scenes that stand in no catalogue column),
content (genres and moods, and audio features made from them), the session (its mood and
genre), friends, repeats, tastes that drift and, where asked for, change at a declared time.
"""

from crossfade.data.world.config import KINDS, REASONS, Kind, Reason, TasteChange, WorldConfig
from crossfade.data.world.world import World, make_world

__all__ = [
    "KINDS",
    "REASONS",
    "Kind",
    "Reason",
    "TasteChange",
    "World",
    "WorldConfig",
    "make_world",
]
