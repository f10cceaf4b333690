"""One protocol from start to end: tune out of time, refit, answer the test block once."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from crossfade.data import Dataset, Queries
from crossfade.data.frames import Frame
from crossfade.data.splits import Plan, ProtocolConfig, Trial, make_plan
from crossfade.errors import ConfigError
from crossfade.evaluation.candidates import candidate_recall
from crossfade.evaluation.config import EvaluationConfig
from crossfade.evaluation.cost import Cost
from crossfade.evaluation.evaluate import evaluate as judge_trials
from crossfade.evaluation.findings import Findings
from crossfade.evaluation.judge import Scorer
from crossfade.evaluation.output import table_rows
from crossfade.evaluation.outside import OutsideScores, outside_scores
from crossfade.evaluation.result import Evaluation
from crossfade.evaluation.trust import Trust
from crossfade.fusion.registry import FUSIONS
from crossfade.meta.answers import Answers, answered, doubt_of
from crossfade.meta.blending import Bases, Blend, BlendChoice, BlendConfig, fit_bases
from crossfade.meta.candidates import WantedCandidates
from crossfade.meta.config import ExplainConfig, HybridConfig
from crossfade.meta.context import ContextReader
from crossfade.meta.contextual import list_builder
from crossfade.meta.keeping import ListCache
from crossfade.meta.landscape import WeightSums
from crossfade.meta.learning import Learned, installed, learn
from crossfade.meta.lists import FusedScorer, SharedLists
from crossfade.meta.samples import draw_samples
from crossfade.meta.trust import trust_of
from crossfade.notebook import html_table
from crossfade.progress import task, timing
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
        findings: What the serving model says of itself on the test block, and what it all cost.
    """

    learned: Learned
    fusion: str
    evaluation: Evaluation
    notices: dict[str, tuple[str, ...]]
    findings: Findings

    def __repr__(self) -> str:
        return f"Experiment({self.evaluation!r}, {self.fusion} serves)"

    def _repr_html_(self) -> str:
        header, *rows = table_rows(self.evaluation)
        return html_table(
            header, rows, "; ".join((self.evaluation.headline, *self.evaluation.about.flags))
        )

    @property
    def choice(self) -> BlendChoice:
        """The static blend that tuning decided on."""
        return self.learned.choice

    @property
    def trust(self) -> Trust | None:
        """How far the serving model's own words hold; None where the static blend serves."""
        return self.findings.trust


def run_experiment(
    dataset: Dataset,
    bases: Bases,
    blend: BlendConfig,
    protocol: ProtocolConfig,
    evaluation: EvaluationConfig | None = None,
    *,
    fusions: Sequence[str] = (),
    outside: Sequence[Scorer] = (),
    explain: ExplainConfig | None = None,
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
        explain: How the lists that are shown as samples say why.
        seed: The run's one seed.
        cache: See `learn`; the bases of the test block are fitted all the same.
    """
    evaluation = evaluation or EvaluationConfig()
    with timing() as watch:
        plan = make_plan(dataset, protocol, seed)
        names = list(dict.fromkeys((blend.fusion, *fusions)))
        learned = learn(plan, bases, blend, names, seed, cache=cache)
        test = _Test(
            plan,
            bases,
            blend,
            learned,
            evaluation=evaluation,
            explain=explain or ExplainConfig(),
            seed=seed,
        )
        result = judge_trials(plan.tests, test.scorers(outside), evaluation, plan=plan, seed=seed)
        cost = Cost.of(
            watch,
            n_events=dataset.n_events,
            n_users=dataset.n_users,
            n_items=dataset.n_items,
            n_requests=result.about.n_requests,
        )
    findings = replace(test.findings, cost=cost)
    return Experiment(learned, blend.fusion, result, test.notices, findings)


def evaluate(
    dataset: Dataset,
    config: HybridConfig | None = None,
    seed: int = 0,
    *,
    scores: Mapping[str, Frame | OutsideScores] | None = None,
    compare: bool = True,
    cache: ListCache | None = None,
) -> Experiment:
    """Judge every base, the blend and other ways to blend on the last block of the log.

    Args:
        dataset: The whole log.
        config: Settings; the defaults if None.
        seed: The run's one seed.
        scores: Of recommenders from elsewhere, by name: tables of ``user_id``, ``item_id``, ``score``, or what
            `read_scores` gave.
        compare: Whether the fusion models of the settings' ``compare`` are fitted and judged too.
        cache: See `run_experiment`.

    Raises:
        ConfigError: If a base or table of scores has a name that is taken.
        DataError: If the log is too small to be cut, or scores cannot be used.
    """
    config, scores = config or HybridConfig(), scores or {}
    check_names(config.bases, scores)
    if config.target is not None:
        dataset = dataset.with_target(config.target)
    outside = [
        given if isinstance(given, OutsideScores) else outside_scores(given, dataset, name)
        for name, given in scores.items()
    ]
    return run_experiment(
        dataset,
        config.bases,
        config.blend,
        config.protocol,
        config.evaluation,
        fusions=installed(config.compare if compare else ()),
        outside=outside,
        explain=config.explain,
        seed=seed,
        cache=cache,
    )


def check_names(labels: Collection[str], others: Collection[str] = ()) -> None:
    """Raise unless every model of a table has a name of its own.

    Args:
        labels: Of bases.
        others: Of scores from elsewhere.

    Raises:
        ConfigError: For the first that is taken.
    """
    for label in sorted(set(labels) & set(FUSIONS)):
        raise ConfigError(f"bases.{label}: a fusion model is called so; choose another label")
    taken = {*labels, *FUSIONS}
    for name in others:
        if name in taken:
            raise ConfigError(f"scores {name}: another model is called so already; rename them")
        taken.add(name)


class _Test:
    """The test block: who answers it, and what is found on the way."""

    def __init__(
        self,
        plan: Plan,
        bases: Bases,
        config: BlendConfig,
        learned: Learned,
        *,
        evaluation: EvaluationConfig,
        explain: ExplainConfig,
        seed: int,
    ) -> None:
        self.plan, self.bases, self.config, self.learned = plan, bases, config, learned
        self.evaluation, self.explain, self.seed = evaluation, explain, seed
        self.findings = Findings()
        self.notices: dict[str, tuple[str, ...]] = {}

    def scorers(self, outside: Sequence[Scorer]) -> Iterator[list[Scorer]]:
        """For each test trial: the bases fitted on what came before it, what blends them, the others."""
        learned, name = self.learned, self.config.fusion
        for trial in self.plan.tests:
            fitted = fit_bases(self.bases, trial.train, self.seed)
            self.notices.update({label: b.notices for label, b in fitted.items() if b.notices})
            shared = {label: _Shared(label, base) for label, base in fitted.items()}
            reader = ContextReader(
                trial.train, tuple(self.bases), learned.track, learned.environment
            )
            builder = list_builder(
                trial.train,
                shared,
                reader,
                self.config,
                exclude_seen=trial.exclude_seen,
                candidates=trial.candidates,
            )
            lists = SharedLists(builder)
            fused = {
                kind: FusedScorer(kind, model, lists) for kind, model in learned.models.items()
            }
            blend = Blend(
                shared,
                learned.choice,
                trial.exclude_seen,
                trial.candidates,
                learned=fused.get(name),
                name=name,
            )
            if trial is self.plan.tests[0]:
                # Rolling cuts refit the bases; the first tells whether probabilities hold.
                self._look(trial, fitted, blend)
            others = [scorer for kind, scorer in fused.items() if kind != name]
            yield [*shared.values(), *others, blend, *outside]

    def _look(self, trial: Trial, fitted: Mapping[str, Recommender[Any]], blend: Blend) -> None:
        """What the serving model says of itself."""
        said = Findings()
        if blend.learned is not None:
            with task(f"look at what {blend.name} says"):
                said = self._said(trial, blend.learned)
        with task("answer the samples"):
            samples = draw_samples(
                trial,
                fitted,
                blend,
                self.learned.blend(blend.name),
                self.explain,
                n=self.evaluation.n_samples,
                seed=self.seed,
            )
        self.findings = replace(said, static=self.learned.choice.weights, samples=samples)

    def _said(self, trial: Trial, served: FusedScorer) -> Findings:
        """Probabilities against outcomes where it is calibrated, weights and candidates, in one pass."""
        bases, probability = tuple(self.bases), self.learned.calibrators.get(served.name)
        sums = WeightSums(served.name, bases, served.fusion)
        wanted = WantedCandidates()
        parts = sums.followed(wanted.followed(answered(served, trial)))
        trust = None
        if probability is None:
            for _ in parts:
                pass
        else:
            doubt = doubt_of(served, self.evaluation.guess_draws, self.seed)
            answers = Answers.of(parts, probability, _blocks(self.plan), doubt)
            trust = trust_of(served.name, answers, probability, bases, self.seed)
        candidates = candidate_recall(
            served.name, trial, wanted.matrix(trial.queries.n_items), self.evaluation, self.seed
        )
        return Findings(trust, sums.landscape(), candidates)


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
