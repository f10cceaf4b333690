"""Serving the same requests at several strengths of diversity."""

import numpy as np

from crossfade.data.splits import Trial
from crossfade.evaluation.config import EvaluationConfig
from crossfade.evaluation.diversity import DiversityCurve, diversity_curve
from crossfade.meta.blending import Blend
from crossfade.meta.samples import AS_JUDGED
from crossfade.meta.serving import Filters, ListMaker
from crossfade.meta.signals import sampled
from crossfade.ranking import RankingConfig
from crossfade.types import Rows

LENGTH = 10
"""Items of a list."""

STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)


def curve_of(
    trial: Trial, blend: Blend, config: EvaluationConfig, seed: int
) -> DiversityCurve | None:
    """What diversity costs on some requests of a trial.

    Args:
        trial: Whose requests; more than ``n_diversity`` of them are sampled down to so many.
        blend: What scores.
        config: How many requests, and how intervals are made.
        seed: The run's one seed.

    Returns:
        None where ``n_diversity`` is 0, the catalogue has no genres to tell items apart by, or no
        list has a diversity.
    """
    maker = ListMaker(trial.train, blend, None)
    if config.n_diversity == 0 or not maker.catalogue.genres:
        return None
    trial = sampled(trial, config.n_diversity, seed)
    lists = {
        strength: served_rows(maker, trial, AS_JUDGED.changed(diversity=strength), LENGTH)
        for strength in STRENGTHS
    }
    return diversity_curve(blend.name, trial, lists, config, seed)


def served_rows(maker: ListMaker, trial: Trial, config: RankingConfig, k: int) -> Rows:
    """The lists of a trial as they are served, ``(n, k)``, -1 at the end of shorter ones.

    What is hidden from one request is blocked for it alone, so such requests are served one by one.
    """
    queries, hidden = trial.queries, trial.hidden
    if hidden is None:
        served = maker.serve(queries, k, config)
    else:
        ids = trial.train.item_ids
        served = []
        for at in range(len(queries)):
            gone = Filters(block=ids.decode(hidden[[at]].indices))
            served += maker.serve(queries.take([at]), k, config, gone)
    rows: Rows = np.full((len(queries), k), -1, dtype=np.int32)
    for at, one in enumerate(served):
        rows[at, : len(one.score)] = one.ranked.item_row
    return rows
