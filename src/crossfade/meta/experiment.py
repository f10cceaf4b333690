"""One protocol from start to end: tune out of time, refit, answer the test block once."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from crossfade.data import Dataset, Queries
from crossfade.data.splits import Plan
from crossfade.evaluation import Evaluation, EvaluationConfig, Scorer, evaluate
from crossfade.meta.blending import Bases, Blend, BlendChoice, BlendConfig, fit_bases, tune_blend
from crossfade.recommenders.base import Recommender
from crossfade.types import Floats


class _Shared:
    """A fitted base whose last answer is kept, so that the blend need not ask again."""

    def __init__(self, label: str, base: Recommender[Any]) -> None:
        self.name = label
        self._base = base
        self._queries: Queries | None = None
        self._scores: Floats = np.zeros((0, 0), dtype=np.float32)

    def score_batch(self, queries: Queries) -> Floats:
        if queries is not self._queries:
            self._scores, self._queries = self._base.score_batch(queries), queries
        return self._scores
