"""Tuning the blend out of time: weights from the fuse block, one choice on the calibrate block."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from crossfade.config import Field, Settings
from crossfade.data import Dataset, Queries
from crossfade.data.splits import Plan, Trial
from crossfade.evaluation.judge import Scorer
from crossfade.fusion.base import LabelledSignals
from crossfade.fusion.scaling import Scaling
from crossfade.fusion.static import Start, StaticBlend, list_ndcg, tune_static
from crossfade.meta.lists import FusedScorer
from crossfade.meta.plain import PlainAccount, PlainBlend
from crossfade.meta.signals import trial_signals
from crossfade.progress import task
from crossfade.recommenders.base import Recommender
from crossfade.recommenders.registry import make_all
from crossfade.types import Bools, Floats, Rows

SCALINGS: tuple[Scaling, ...] = ("zscore", "reciprocal_rank")

Bases = Mapping[str, Mapping[str, Any]]
"""Settings of base recommenders by label."""


class BlendConfig(Settings):
    """How the blend is tuned."""

    fusion: str = Field(
        "auto",
        description="Fusion model that serves. auto trains several and keeps what holds on unseen lists; static: "
        "one weight per base for everybody.",
    )
    fusion_settings: dict[str, dict[str, Any]] = Field(
        {}, description="Settings of fusion models by name; what is left out keeps its default."
    )
    n_candidates: int = Field(
        100, ge=1, description="Items each base proposes to a candidate list."
    )
    n_new: int = Field(
        0,
        ge=0,
        description="New items each base proposes besides, so that they are looked at beside what is established.",
    )
    new_days: float = Field(
        30.0,
        gt=0,
        description="Days for which an item is new: since its release, or since its first event where no release "
        "is known. Without times nothing is new.",
    )
    index_from: int | None = Field(
        300_000,
        ge=1,
        description="From so many items on, bases of vectors propose through an index (needs the extra `ann`) and "
        "are scored on candidates alone when a learned blend serves; unset: never.",
    )
    max_requests: int = Field(2000, ge=1, description="A larger block is sampled to this many.")
    min_requests: int = Field(
        30,
        ge=1,
        description="With fewer requests in the fuse or calibrate block nothing can be tuned or checked, and "
        "the best base serves alone.",
    )
    n_earlier_blocks: int = Field(
        2,
        ge=0,
        description="Blocks before the fuse block that a learned blend trains on too, each by bases fitted on what "
        "came before it; every one costs a fit of all bases. Fewer where the log is short.",
    )
    depth: int = Field(10, ge=1, description="The blend maximises NDCG at this depth.")


@dataclass(frozen=True)
class BlendChoice:
    """What tuning decided, and on what evidence.

    Attributes:
        scaling: Common scale of the base scores.
        weights: Weight of each base by label; zeros included.
        kept: False when the best single base did better on the calibrate block and took over.
        best_base: Best single base on the fuse block.
        calibrate_blend: NDCG of the tuned blend on the calibrate block.
        calibrate_base: NDCG of ``best_base`` there.
        prior: Best base on the fuse block among those that serve people without a history;
            it answers requests that no weighted base can. None if there is no such base.
        flags: What the protocol says a reader must know about these numbers.
    """

    scaling: Scaling
    weights: dict[str, float]
    kept: bool
    best_base: str
    calibrate_blend: float
    calibrate_base: float
    prior: str | None = None
    flags: tuple[str, ...] = ()


class Blend:
    """Fitted bases and one set of weights, as one scorer.

    Attributes:
        name: In tables: of the fusion model that serves.
        candidates: Items that may be listed, shape ``(n_items,)``; None means all.
        labels: Of all bases, in order.
        used: Labels of the bases whose weight is above 0; the others are never asked.
        taste: Label of the base that answers for the genres and moods somebody names; None
            lets those go unheard.
        learned: The fusion model that serves, over its candidate lists; None where the static
            weights serve. Where somebody names genres or moods the static weights serve too,
            since a named taste speaks of the whole catalogue.
    """

    def __init__(
        self,
        bases: Mapping[str, Scorer],
        choice: BlendChoice,
        exclude_seen: bool,
        candidates: Bools | None = None,
        taste: str | None = None,
        *,
        learned: FusedScorer | None = None,
        name: str = "static",
    ) -> None:
        self.name = name
        self.choice = choice
        self.learned = learned
        self.exclude_seen = exclude_seen
        self.candidates = candidates
        self.labels = tuple(bases)
        self._plain = PlainBlend(
            bases,
            choice.weights,
            choice.scaling,
            exclude_seen=exclude_seen,
            candidates=candidates,
            prior=choice.prior,
            taste=taste,
        )
        self.used, self.taste = self._plain.used, taste

    def score_batch(self, queries: Queries) -> Floats:
        """Blended scores, shape ``(n, n_items)``; NaN where no used base can score.

        A request that no used base can answer at all gets the scores of the prior. Where
        somebody names genres or moods, the base that reads them is mixed in: almost alone
        without a history, less with every event there is.
        """
        by_model = self.by_model(queries)
        if self.learned is None or not by_model.any():
            return self.plain(queries, ~by_model)
        if by_model.all():
            score = self.learned.score_batch(queries)
        else:
            score = np.full((len(queries), queries.n_items), np.nan, dtype=np.float32)
            score[by_model] = self.learned.score_batch(queries.take(np.flatnonzero(by_model)))
        rest = np.flatnonzero(np.isnan(score).all(axis=1))
        if len(rest):
            score[rest] = self.plain(queries.take(rest), ~by_model[rest])
        return score

    def by_model(self, queries: Queries) -> Bools:
        """Which requests the learned model is asked, shape ``(n,)``; it may have nothing to say."""
        if self.learned is None:
            return np.zeros(len(queries), dtype=np.bool_)
        asked: Bools = self._plain.taste_share(queries) == 0
        return asked

    def plain(self, queries: Queries, static: Bools) -> Floats:
        """What is said without the learned model, shape ``(n, n_items)``; see `score_batch`.

        Args:
            queries: n requests.
            static: Which of them the static weights answer, ``(n,)``; the others, about which the
                learned model had nothing to say, are left to the prior.
        """
        return self._plain.score_batch(queries, static)

    def plain_shares(self, query: Queries, item_rows: Rows) -> list[dict[str, float]]:
        """Share of each base in some scores of one request by label, of what `plain` says.

        Empty for an item without a score.
        """
        return self._plain.shares(query, item_rows, static=not self.by_model(query)[0])

    def plain_contributions(self, query: Queries, item_rows: Rows, score: Floats) -> PlainAccount:
        """The account of what `plain` says because the learned model did not answer."""
        static = not self.by_model(query)[0]
        return self._plain.contributions(query, item_rows, score, static=static)


def fit_bases(bases: Bases, dataset: Dataset, seed: int) -> dict[str, Recommender[Any]]:
    """Every configured base, fitted.

    Raises:
        ConfigError: With every wrong setting of every base.
    """
    made = make_all(bases)
    for label, base in made.items():
        with task(f"fit {label} on {dataset.n_events:,} events"):
            base.fit(dataset, seed)
    return made


def tune_blend(plan: Plan, bases: Bases, config: BlendConfig, seed: int) -> BlendChoice:
    """Weights tuned on the fuse block; which of them serve is decided on the calibrate block.

    On each scale weights are tuned from two starts. Of these blends and the best single
    base, the one with the highest NDCG on the calibrate block is chosen, which none of
    them was tuned on; the base gives way on a tie. In both blocks the bases that are
    scored saw only earlier events.
    """
    signals = _signals(plan.fuse, bases, config, seed)
    held_back = _signals(plan.calibrate, bases, config, seed)
    return decide(bases, signals, held_back, config, plan.flags)


def decide(
    bases: Bases,
    signals: Mapping[Scaling, LabelledSignals],
    held_back: Mapping[Scaling, LabelledSignals],
    config: BlendConfig,
    flags: tuple[str, ...],
) -> BlendChoice:
    """As `tune_blend`, from the signals of the fuse and of the calibrate block on each scale."""
    labels = list(bases)
    single = [_ndcg(_alone(s, len(labels)), signals["zscore"], config) for s in range(len(labels))]
    tuned = [(name, blend) for name in SCALINGS for blend in _tuned(name, signals[name], config)]
    best = int(np.argmax(single))
    serving = [s for s, base in enumerate(make_all(bases).values()) if base.serves_cold_users]
    prior = max(serving, key=lambda s: single[s], default=None)
    scaling, blend = max(tuned, key=lambda pair: _ndcg(pair[1], held_back[pair[0]], config))
    blend_ndcg = _ndcg(blend, held_back[scaling], config)
    base_ndcg = _ndcg(_alone(best, len(labels)), held_back[scaling], config)
    n_fewest = min(len(parts["zscore"].n_relevant) for parts in (signals, held_back))
    enough = n_fewest >= config.min_requests
    kept = enough and blend_ndcg >= base_ndcg
    weights = (blend if kept else _alone(best, len(labels))).weights
    return BlendChoice(
        scaling=scaling,
        weights={label: float(weight) for label, weight in zip(labels, weights, strict=True)},
        kept=kept,
        best_base=labels[best],
        calibrate_blend=blend_ndcg,
        calibrate_base=base_ndcg,
        prior=None if prior is None else labels[prior],
        flags=flags if enough else (*flags, _too_few(n_fewest)),
    )


def _too_few(n_requests: int) -> str:
    return f"too few requests to tune a blend ({n_requests}), so the best base serves alone"


def _tuned(name: Scaling, labelled: LabelledSignals, config: BlendConfig) -> list[StaticBlend]:
    """The blend from each start."""
    with task(f"tune weights on {name}"):
        return [
            tune_static(
                labelled.signals,
                labelled.relevant,
                labelled.n_relevant,
                config.depth,
                start=start,
            )
            for start in get_args(Start)
        ]


def _signals(
    trial: Trial, bases: Bases, config: BlendConfig, seed: int
) -> dict[Scaling, LabelledSignals]:
    fitted = fit_bases(bases, trial.train, seed)
    return trial_signals(
        trial,
        list(fitted.values()),
        SCALINGS,
        n_candidates=config.n_candidates,
        max_requests=config.max_requests,
        seed=seed,
    )


def _alone(base: int, n_bases: int) -> StaticBlend:
    return StaticBlend(np.eye(n_bases, dtype=np.float32)[base])


def _ndcg(blend: StaticBlend, labelled: LabelledSignals, config: BlendConfig) -> float:
    score = blend.forward(labelled.signals).score
    return float(list_ndcg(score, labelled.relevant, labelled.n_relevant, config.depth).mean())
