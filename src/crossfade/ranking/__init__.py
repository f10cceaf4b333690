"""From scored candidates to a list: rules, limits, diversity, exploration. Pure functions of arrays."""

from crossfade.ranking.config import RankingConfig

__all__ = ["RankingConfig"]
