"""The best base of each request, chosen with the answers: a ceiling for reports, never served."""

import numpy as np

from crossfade.fusion.base import Fused, LabelledSignals
from crossfade.fusion.hard_selection import each_base, first_best
from crossfade.fusion.matrix import weighted
from crossfade.fusion.static import list_ndcg


def oracle(labelled: LabelledSignals, k: int = 10) -> Fused:
    """All weight of each request on the base whose list is best for it.

    No selection of one base per request can do better at depth ``k``; a blend can, as it may
    order candidates as no base does. It needs to know what was wanted, so it is a function for
    evaluation and no `FusionModel`, and `make_fusion` refuses its name.

    Args:
        labelled: Requests with the answers.
        k: Depth of the list that is judged.

    Returns:
        Scores of the chosen base; of equals the first one that can score a candidate.
    """
    signals = labelled.signals
    there = signals.available
    merit = np.stack(
        [list_ndcg(base, labelled.relevant, labelled.n_relevant, k) for base in each_base(signals)],
        axis=1,
    )
    only = np.arange(merit.shape[1]) == first_best(merit, there)[:, None]
    return weighted(signals.score, there, only[:, None, :].astype(np.float64))
