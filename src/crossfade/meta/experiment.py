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
from crossfade.evaluation.trust import Trust
from crossfade.meta.answers import Answers, answered, doubt_of
from crossfade.meta.blending import Bases, Blend, BlendChoice, BlendConfig, fit_bases
from crossfade.meta.context import ContextReader
from crossfade.meta.keeping import ListCache
from crossfade.meta.learning import Learned, learn
from crossfade.meta.lists import FusedScorer, ListBuilder, SharedLists
from crossfade.meta.trust import trust_of
from crossfade.recommenders.base import Recommender
from crossfade.types import Floats


@dataclass(frozen=True)
class Experiment:
    """What a protocol found.

    Attributes:
        learned: What was decided and fitted before the test block was touched.
        fusion: Name of the fusion model behind the row of that name.
        evaluation: Every base, the blend and any outside scores on the test block.
        notices: What the fitted bases say about themselves, by label.
        trust: How far the serving model's own words hold on the test block; None where the static
            blend serves.
    """

    learned: Learned
    fusion: str
    evaluation: Evaluation
    notices: dict[str, tuple[str, ...]]
    trust: Trust | None

    @property
    def choice(self) -> BlendChoice:
        """The static blend that tuning decided on."""
        return self.learned.choice


def run_experiment(
    dataset: Dataset,
    bases: Bases,
    blend: BlendConfig,
    protocol: ProtocolConfig,
    evaluation: EvaluationConfig | None = None,
    *,
    fusions: Sequence[str] = (),
    outside: Sequence[Scorer] = (),
    seed: int = 0,
    cache: ListCache | None = None,
) -> Experiment:
    """Learn to blend on the fuse block, check it, refit the bases before each test cut, and judge.

    Args:
        dataset: The whole log.
        bases: Settings of the base recommenders by label.
        blend: How the blend is learned; its fusion model is a row of the table.
        protocol: How the log is cut.
        evaluation: What is measured.
        fusions: More fusion models to show beside it, each fed the same signals.
        outside: Scorers from elsewhere, judged on the same requests.
        seed: The run's one seed.
        cache: See `learn`; the bases of the test block are fitted all the same.
    """
    evaluation = evaluation or EvaluationConfig()
    plan = make_plan(dataset, protocol, seed)
    names = list(dict.fromkeys((blend.fusion, *fusions)))
    learned = learn(plan, bases, blend, names, seed, cache=cache)
    notices: dict[str, tuple[str, ...]] = {}
    trusts: list[Trust] = []
    result = evaluate(
        plan.tests,
        _scorers(
            plan, bases, blend, learned, outside, notices, trusts, evaluation.guess_draws, seed
        ),
        evaluation,
        plan=plan,
        seed=seed,
    )
    return Experiment(learned, blend.fusion, result, notices, trusts[0] if trusts else None)


def _scorers(  # noqa: PLR0917
    plan: Plan,
    bases: Bases,
    config: BlendConfig,
    learned: Learned,
    outside: Sequence[Scorer],
    notices: dict[str, tuple[str, ...]],
    trusts: list[Trust],
    guess_draws: int,
    seed: int,
) -> Iterator[list[Scorer]]:
    """For each test trial: the bases fitted on what came before it, what blends them, the others."""
    for trial in plan.tests:
        fitted = fit_bases(bases, trial.train, seed)
        notices.update({label: base.notices for label, base in fitted.items() if base.notices})
        shared = {label: _Shared(label, base) for label, base in fitted.items()}
        reader = ContextReader(trial.train, tuple(bases), learned.track, learned.environment)
        lists = SharedLists(
            ListBuilder(shared, reader, trial.exclude_seen, trial.candidates, config.n_candidates)
        )
        fused = {name: FusedScorer(name, model, lists) for name, model in learned.models.items()}
        served = fused.get(config.fusion)
        if served is not None and config.fusion in learned.calibrators and trial is plan.tests[0]:
            # Rolling cuts refit the bases; the first tells whether probabilities hold.
            probability = learned.calibrators[config.fusion]
            doubt = doubt_of(served, guess_draws, seed)
            answers = Answers.of(answered(served, trial), probability, _blocks(plan), doubt)
            trusts.append(trust_of(config.fusion, answers, probability, tuple(bases), seed))
        blend = Blend(
            shared,
            learned.choice,
            trial.exclude_seen,
            trial.candidates,
            learned=served,
            name=config.fusion,
        )
        others = [scorer for name, scorer in fused.items() if name != config.fusion]
        yield [*shared.values(), *others, blend, *outside]


def _blocks(plan: Plan) -> float:
    """How many calibrate blocks long the test block is, where that is known of every request.

    Cut per user, both are shares of everybody's own history. Between global cuts people come
    and go, and how much longer a block is says little about who asks in it.
    """
    if plan.protocol.name != "user":
        return 1.0
    return plan.protocol.test / plan.protocol.calibrate


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
