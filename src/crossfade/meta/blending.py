"""Tuning the blend out of time: weights from the fuse block, one choice on the calibrate block."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from crossfade.config import Field, Settings
from crossfade.data import Dataset, Queries
from crossfade.data.splits import Plan, Trial
from crossfade.evaluation.judge import Scorer
from crossfade.fusion.base import LabelledSignals, Signals
from crossfade.fusion.scaling import Scaling, scale
from crossfade.fusion.static import Start, StaticBlend, list_ndcg, tune_static
from crossfade.meta.lists import FusedScorer
from crossfade.meta.probability import Probability
from crossfade.meta.signals import allowed_scores, trial_signals
from crossfade.progress import task
from crossfade.recommenders.base import Recommender
from crossfade.recommenders.registry import make_all
from crossfade.types import Bools, Floats, Rows

SCALINGS: tuple[Scaling, ...] = ("zscore", "reciprocal_rank")

TASTE_EVENTS = 9.0
"""Positive events in a history at which a stated taste has about half the say in a list."""

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
        self.used = [label for label in bases if choice.weights[label] > 0]
        self._bases = [bases[label] for label in self.used]
        self.taste = taste
        self._taste_base = None if taste is None else bases[taste]
        self._prior = None if choice.prior is None else bases[choice.prior]
        self._fusion = StaticBlend(np.array([choice.weights[label] for label in self.used]))

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
        asked: Bools = self._taste_share(queries) == 0
        return asked

    def plain(self, queries: Queries, static: Bools) -> Floats:
        """What is said without the learned model, shape ``(n, n_items)``; see `score_batch`.

        Args:
            queries: n requests.
            static: Which of them the static weights answer, ``(n,)``; the others, about which the
                learned model had nothing to say, are left to the prior.
        """
        score = np.full((len(queries), queries.n_items), np.nan, dtype=np.float32)
        if static.any():
            score[static] = self._fusion.blend(self._scaled(queries.take(np.flatnonzero(static))))
        silent = np.flatnonzero(np.isnan(score).all(axis=1))
        if self._prior is not None and len(silent):
            alone = self._allowed(self._prior, queries.take(silent))
            score[silent] = scale(alone, self.choice.scaling)
        share = self._taste_share(queries)
        asked = np.flatnonzero(share)
        if len(asked):
            stated = self._stated(queries.take(asked))
            score[asked] = _mixed(score[asked], stated, share[asked, None])
        return score

    def answers_learned(self, query: Queries) -> bool:
        """Whether the learned model answers one request, and neither static weights nor the prior."""
        if self.learned is None or self._taste_share(query)[0] > 0:
            return False
        return self.learned.answers(query)

    def probabilities(
        self, query: Queries, item_rows: Rows, probability: Probability | None
    ) -> list[float | None]:
        """Probability that each item of one request is wanted; None where no calibrated model spoke."""
        if self.learned is None or probability is None or not self.answers_learned(query):
            return [None] * len(item_rows)
        return self.learned.probabilities(query, item_rows, probability)

    def shares(self, query: Queries, item_rows: Rows) -> list[dict[str, float]]:
        """Share of each base in the scores of some items for one request, by label.

        Empty for an item without a score.
        """
        if self.learned is not None and self._taste_share(query)[0] == 0:
            found = self.learned.shares(query, item_rows)
            if found is None:
                alone = {} if self.choice.prior is None else {self.choice.prior: 1.0}
                found = [dict(alone) for _ in item_rows]
            return found
        scaled = self._scaled(query)
        score = np.moveaxis(scaled[:, :, item_rows], 0, -1)  # (1, L, S)
        if np.isnan(scaled).all() and self.choice.prior is not None:
            shares = [{self.choice.prior: 1.0} for _ in item_rows]
        else:
            mask = np.ones(score.shape[:2], np.bool_)
            weights = self._fusion.forward(Signals(score, mask)).weights[0]
            shares = [
                {label: float(w) for label, w in zip(self.used, line, strict=True) if w > 0}
                for line in weights
            ]
        of_taste = float(self._taste_share(query)[0])
        if self.taste is None or of_taste == 0:
            return shares
        heard = ~np.isnan(self._stated(query)[0, item_rows])
        return [
            _with_taste(line, self.taste, of_taste) if has else line
            for line, has in zip(shares, heard, strict=True)
        ]

    def _taste_share(self, queries: Queries) -> Floats:
        """Share of the stated taste in each request, shape ``(n,)``; 0 where nothing is stated.

        Never all of it: popularity decides between items that fit a taste equally well.
        """
        if self._taste_base is None or queries.tastes is None:
            return np.zeros(len(queries), dtype=np.float32)
        n_events = np.bincount(queries.owner[queries.strength > 0], minlength=len(queries))
        share = TASTE_EVENTS / (TASTE_EVENTS + 1 + n_events)
        states = np.array([bool(taste) for taste in queries.tastes], dtype=np.bool_)
        return np.where(states, share, 0).astype(np.float32)

    def _stated(self, queries: Queries) -> Floats:
        assert self._taste_base is not None
        return scale(self._allowed(self._taste_base, queries), self.choice.scaling)

    def _scaled(self, queries: Queries) -> Floats:
        """Scaled scores of the used bases, shape ``(len(used), n, n_items)``."""
        return np.stack(
            [scale(self._allowed(base, queries), self.choice.scaling) for base in self._bases]
        )

    def _allowed(self, base: Scorer, queries: Queries) -> Floats:
        # Before scaling, as in tuning: what may not be listed has no say in the scale.
        return allowed_scores(base, queries, self.exclude_seen, self.candidates)


def _mixed(score: Floats, stated: Floats, share: Floats) -> Floats:
    """``share`` of the one and the rest of the other; whichever is there where one is missing."""
    both = (1 - share) * score + share * stated
    one = np.where(np.isnan(score), stated, score)
    return np.where(np.isnan(both), one, both).astype(np.float32)


def _with_taste(line: dict[str, float], taste: str, share: float) -> dict[str, float]:
    if not line:
        return {taste: 1.0}
    rest = {label: (1 - share) * weight for label, weight in line.items()}
    return {**rest, taste: rest.get(taste, 0.0) + share}


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
