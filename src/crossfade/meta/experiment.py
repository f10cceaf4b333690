"""One protocol from start to end: tune out of time, refit, answer the test block once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossfade.data import Dataset, Queries
from crossfade.data.splits import Plan, ProtocolConfig, make_plan
from crossfade.evaluation.config import EvaluationConfig
from crossfade.evaluation.evaluate import evaluate
from crossfade.evaluation.judge import Scorer
from crossfade.evaluation.result import Evaluation
from crossfade.meta.blending import Bases, Blend, BlendChoice, BlendConfig, fit_bases, tune_blend
from crossfade.recommenders.base import Recommender
from crossfade.types import Floats


@dataclass(frozen=True)
class Experiment:
    """What a protocol found.

    Attributes:
        choice: The blend that tuning decided on, before the test block was touched.
        evaluation: Every base, the blend and any outside scores on the test block.
        notices: What the fitted bases say about themselves, by label.
    """

    choice: BlendChoice
    evaluation: Evaluation
    notices: dict[str, tuple[str, ...]]


def run_experiment(
    dataset: Dataset,
    bases: Bases,
    blend: BlendConfig,
    protocol: ProtocolConfig,
    evaluation: EvaluationConfig | None = None,
    *,
    outside: Sequence[Scorer] = (),
    seed: int = 0,
) -> Experiment:
    """Tune the blend on the fuse block, check it, refit before each test cut, and judge.

    Args:
        dataset: The whole log.
        bases: Settings of the base recommenders by label.
        blend: How the blend is tuned.
        protocol: How the log is cut.
        evaluation: What is measured.
        outside: Scorers from elsewhere, judged on the same requests.
        seed: The run's one seed.
    """
    plan = make_plan(dataset, protocol, seed)
    choice = tune_blend(plan, bases, blend, seed)
    notices: dict[str, tuple[str, ...]] = {}
    result = evaluate(
        plan.tests,
        _scorers(plan, bases, choice, outside=outside, notices=notices, seed=seed),
        evaluation,
        plan=plan,
        seed=seed,
    )
    return Experiment(choice, result, notices)


def _scorers(
    plan: Plan,
    bases: Bases,
    choice: BlendChoice,
    *,
    outside: Sequence[Scorer],
    notices: dict[str, tuple[str, ...]],
    seed: int,
) -> Iterator[list[Scorer]]:
    """For each test trial: the bases fitted on what came before it, their blend, the others."""
    for trial in plan.tests:
        fitted = fit_bases(bases, trial.train, seed)
        notices.update({label: base.notices for label, base in fitted.items() if base.notices})
        shared = {label: _Shared(label, base) for label, base in fitted.items()}
        blend = Blend(shared, choice, trial.exclude_seen, trial.candidates)
        yield [*shared.values(), blend, *outside]


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
