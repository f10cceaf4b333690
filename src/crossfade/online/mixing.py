"""What a list would be if all of its items were scored with one fixed mix of the bases."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from crossfade.data import Queries
from crossfade.errors import ConfigError
from crossfade.fusion.base import Signals
from crossfade.fusion.scaling import scale
from crossfade.fusion.static import StaticBlend
from crossfade.hybrid import HybridModel
from crossfade.meta.listing import Listed
from crossfade.meta.signals import allowed_scores
from crossfade.types import Floats


def fixed_mix(
    model: HybridModel, weights: Mapping[str, float]
) -> Callable[[Queries, Listed], Listed]:
    """Scores the candidates of one request anew: the mean of their scaled base scores.

    Candidates, probabilities and uncertainties stay as they were. A base that cannot score an item
    has no part in it, and an item that none of them can score has no score.

    Args:
        model: The system.
        weights: Of bases by label, in any unit, 0 or more; one that is left out gets 0.

    Raises:
        ConfigError: If a label is unknown, a weight is less than 0 or no number, or all are 0.
    """
    blend = StaticBlend(_shares(model, weights))
    scaling, candidates = model.blend.choice.scaling, model.blend.candidates

    def scored(query: Queries, listed: Listed) -> Listed:
        columns = np.maximum(listed.item_row[0], 0)
        score = np.empty((1, len(columns), len(model.bases)), dtype=np.float32)
        for at, base in enumerate(model.bases.values()):
            said = allowed_scores(base, query, model.blend.exclude_seen, candidates)
            score[:, :, at] = scale(said, scaling)[:, columns]
        told = blend.forward(Signals(score, listed.item_row >= 0))
        return replace(listed, score=told.score)

    return scored


def _shares(model: HybridModel, weights: Mapping[str, float]) -> Floats:
    unknown = [label for label in weights if label not in model.bases]
    if unknown:
        raise ConfigError(f'no base is called "{unknown[0]}"; there are {", ".join(model.bases)}')
    given = np.array([weights.get(label, 0.0) for label in model.bases], dtype=np.float64)
    if not np.isfinite(given).all() or (given < 0).any() or not given.sum() > 0:
        raise ConfigError(
            f"weights must be 0 or more and not all 0, got {dict(weights)}; raise one of them"
        )
    shares: Floats = (given / given.sum()).astype(np.float32)
    return shares
