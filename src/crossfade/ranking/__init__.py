"""From scored candidates to a list: rules, limits, diversity, exploration. Pure functions of arrays."""

from crossfade.ranking.catalogue import RankingCatalogue
from crossfade.ranking.config import RankingConfig
from crossfade.ranking.ranking import Ranked, rank
from crossfade.ranking.request import Candidates, Conditions

__all__ = ["Candidates", "Conditions", "Ranked", "RankingCatalogue", "RankingConfig", "rank"]
