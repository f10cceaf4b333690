"""`auto`: train the candidates, combine what held on unseen lists, and do no harm."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crossfade.arrays import pack_strings, unpack_strings
from crossfade.config import Field, Settings
from crossfade.errors import MissingExtraError
from crossfade.fusion.base import Fused, FusionModel, LabelledSignals, Signals
from crossfade.fusion.matrix import fitted, wanted_lists
from crossfade.fusion.registry import make_fusion
from crossfade.fusion.scaling import zscore
from crossfade.fusion.static import StaticBlend, list_ndcg, tune_static
from crossfade.fusion.verdict import SLICE_EDGES, SLICES, Verdict, judge, slice_of
from crossfade.progress import task
from crossfade.types import Arrays, Bools, Doubles, Floats, Ints

__all__ = ["SLICES", "SLICE_EDGES", "AutoConfig", "AutoFusion", "Verdict", "slice_of"]


LEAST_SHARE = 0.05
"""A candidate with a smaller share is left out: it moves no list that its time would be worth."""

BAGS = 20
"""Samples of the requests on which shares are sought; the mean of them is taken."""


class AutoConfig(Settings):
    """What `auto` tries and when it trusts it."""

    candidates: tuple[str, ...] = Field(
        ("static", "ridge", "fwls", "meta", "lambdamart"),
        min_length=1,
        description="Fusion models to train; static is always among them. Those whose extra is not installed are "
        "left out, and the report says so.",
    )
    settings: dict[str, dict[str, Any]] = Field(
        {
            "lambdamart": {"leaves": (15,), "min_data": (50,), "learning_rate": 0.1},
            "meta": {"n_negatives": 100, "hidden": 64, "n_layers": 2},
        },
        description="Settings of candidates by name. By default trees are not searched, steps are small and "
        "the network is half as wide, since every fold trains anew and every list is asked of all.",
    )
    n_folds: int = Field(
        4,
        ge=2,
        description="Parts the training requests are cut into. Each candidate is trained once per part without it: "
        "what they say of that part decides how much each counts.",
    )
    evenness: float = Field(
        0.5,
        ge=0,
        le=1,
        description="How far the shares of candidates that have one are drawn to equal shares: what a few hundred "
        "lists say of them is noisy.",
    )
    depth: int = Field(10, ge=1, description="NDCG at this depth decides.")
    min_requests: int = Field(
        30,
        ge=1,
        description="Slices with fewer requests in the calibrate block cannot prove a gain of their own; those "
        "without any are static.",
    )
    certainty: float = Field(
        0.8,
        ge=0.5,
        lt=1,
        description="Share of bootstrap resamples of the calibrate block in which a learned blend must beat the "
        "static one to serve everybody; a slice keeps to the static one if that wins in this share of its own.",
    )
    resamples: int = Field(1000, ge=100, description="Bootstrap resamples of that test.")


class AutoFusion(FusionModel[AutoConfig]):
    """The combination of trained blends that held where nothing was learned.

    Each candidate is trained on all but one fold of the requests, for each fold. On the part
    that each left out, greedy ensemble selection weighs the candidates, so a candidate that
    learned its lists by heart gets no weight; it is repeated on samples of the requests, and the
    mean of the weights, drawn towards equal ones, counts.

    A paired bootstrap on the validation block then decides, for people with short, middling and
    long histories apart, whether that combination or the static blend serves; people are drawn,
    with all their requests. What is judged there are the models of the folds, which the
    validation block chose nothing of. Where the combination serves, each candidate is trained
    once more on all lists, with the validation block to stop by, and that model answers.

    With a single request that has something wanted nothing can be held out, and the static blend
    serves.

    Source:
        Caruana et al. (2004), "Ensemble Selection from Libraries of Models", §2.3 for the
        repetition; Breiman (1996), "Stacked Regressions", for weighing by what was left out and
        training anew on everything.
    """

    name = "auto"
    Config = AutoConfig

    def __init__(self, config: AutoConfig | None = None) -> None:
        super().__init__(config)
        self.members: dict[str, FusionModel[Any]] = {}
        """What answers, by name; only the static blend where it serves everybody."""
        self.shares: dict[str, float] = {}
        self.quality: dict[str, float] = {}
        self.verdicts: tuple[Verdict, ...] = ()
        self.left_out: tuple[str, ...] = ()
        """Candidates whose extra is not installed."""

    def _fit(
        self, train: LabelledSignals, validation: LabelledSignals, rng: np.random.Generator
    ) -> None:
        seed = int(rng.integers(2**31))
        folds = self._folds(train, rng)
        names = [name for name in self._names() if name != "static" and folds.any()]
        # The static blend has a handful of weights: it needs no folds, and its choice of
        # scale is made on the validation block, where its harm is also judged.
        static = self._made("static").fit(train, validation, seed)
        self.members = {"static": static}
        judged = {"static": [static]}
        unseen = {"static": static.forward(train.signals).score}
        self.left_out = ()
        for name in names:
            try:
                judged[name], unseen[name] = self._folded(name, train, folds, seed)
            except MissingExtraError:
                self.left_out += (name,)
        self._weigh(train, unseen, rng)
        self._judge(validation, judged, rng)
        if not any(verdict.serves for verdict in self.verdicts[1:]):
            return
        for name in [name for name in judged if name != "static" and self.shares[name] > 0]:
            with task(f"fit {name} on all {len(train):,} lists"):
                self.members[name] = self._made(name).fit(train, validation, seed)

    def _made(self, name: str) -> FusionModel[Any]:
        return make_fusion(name, self.config.settings.get(name, {}))

    def _folds(self, train: LabelledSignals, rng: np.random.Generator) -> Ints:
        """Fold of each request, from 0; a single one if no two could have a wanted candidate."""
        wanted_lists(train, self.name)  # raises where nothing can be learned
        wanted = train.relevant & train.signals.available.any(axis=-1)
        # Requests with a wanted candidate are dealt out first, so that every fold has some.
        able = wanted.any(axis=1)
        dealt = np.lexsort((rng.random(len(train)), ~able))
        folds = np.empty(len(train), dtype=np.int64)
        folds[dealt] = np.arange(len(train)) % min(self.config.n_folds, int(able.sum()))
        return folds

    def _names(self) -> list[str]:
        return list(dict.fromkeys(("static", *self.config.candidates)))

    def _folded(
        self, name: str, train: LabelledSignals, folds: Ints, seed: int
    ) -> tuple[list[FusionModel[Any]], Floats]:
        """One model per fold, and what each says of the fold it did not see."""
        score = np.full(train.relevant.shape, np.nan, dtype=np.float32)
        models, n_folds = [], int(folds.max()) + 1
        with task(f"fit {name} on {n_folds} folds", n_folds) as running:
            for fold in range(n_folds):
                inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
                held = train.take(outside)
                model = self._made(name).fit(train.take(inside), held, seed + fold)
                score[outside] = model.forward(held.signals).score
                models.append(model)
                running.advance()
        return models, score

    def _weigh(
        self, train: LabelledSignals, unseen: dict[str, Floats], rng: np.random.Generator
    ) -> None:
        """Shares of the candidates by what they said of lists they had not seen."""
        scaled = np.stack([zscore(score) for score in unseen.values()], axis=-1)
        signals = Signals(scaled, train.signals.mask)
        hopeful = np.flatnonzero((train.relevant & train.signals.mask).any(axis=1))
        found = []
        for _ in range(BAGS if len(unseen) > 1 else 1):
            drawn = rng.choice(hopeful, size=len(hopeful))
            blend = tune_static(
                signals.take(drawn),
                train.relevant[drawn],
                train.n_relevant[drawn],
                self.config.depth,
                start="equal",
            )
            found.append(blend.weights)
        mean = np.mean(found, axis=0)
        least = min(LEAST_SHARE, mean.max())  # or of many equals none would be left
        kept = np.where(mean < least, 0, mean)
        even = (kept > 0) / (kept > 0).sum()
        shares = (1 - self.config.evenness) * kept / kept.sum() + self.config.evenness * even
        self.shares = dict(zip(unseen, shares.tolist(), strict=True))
        self.quality = {
            name: float(self._ndcg(train, score).mean()) for name, score in unseen.items()
        }

    def _judge(
        self,
        validation: LabelledSignals,
        judged: Mapping[str, Sequence[FusionModel[Any]]],
        rng: np.random.Generator,
    ) -> None:
        """Decide per slice whether the learned combination serves."""
        plain = self._ndcg(validation, self._static(validation.signals).score)
        learned = self._ndcg(validation, self._combined(validation.signals, judged).score)
        self.verdicts = judge(
            learned,
            plain,
            validation.signals,
            rng,
            min_requests=self.config.min_requests,
            certainty=self.config.certainty,
            resamples=self.config.resamples,
        )

    def _ndcg(self, labelled: LabelledSignals, score: Floats) -> Doubles:
        return list_ndcg(score, labelled.relevant, labelled.n_relevant, self.config.depth)

    def _static(self, signals: Signals) -> Fused:
        return self.members["static"].forward(signals)

    def serves(self, signals: Signals) -> Bools:
        """Which requests the learned combination serves, shape ``(B,)``; the others are static."""
        by_slice = np.array([verdict.serves for verdict in self.verdicts[1:]])
        return by_slice[slice_of(signals)]

    def forward(self, signals: Signals) -> Fused:
        """Blend a batch.

        The weights are those of the static blend where it serves, else the mean of the
        candidates that weigh bases, by their shares; NaN where only trees and the like speak.
        Uncertainty is the standard deviation of the z-scored scores of the candidates with a share;
        NaN where the static blend serves, None where it serves everybody.

        Raises:
            NotFittedError: Before `fit`.
        """
        fitted(self.members or None, self.name)
        self.check(signals)
        static = self._static(signals)
        if not any(verdict.serves for verdict in self.verdicts[1:]):
            return static
        score, weights = static.score.copy(), static.weights.copy()
        uncertainty = np.full_like(score, np.nan)
        places = np.flatnonzero(self.serves(signals))
        if len(places):
            members = {name: [model] for name, model in self.members.items()}
            combined = self._combined(signals.take(places), members)
            score[places], weights[places] = combined.score, combined.weights
            uncertainty[places] = combined.uncertainty
        return Fused(score, weights, uncertainty=uncertainty)

    def _combined(
        self, signals: Signals, members: Mapping[str, Sequence[FusionModel[Any]]]
    ) -> Fused:
        """Each candidate's mean over its models, z-scored, weighed by the shares.

        As when the shares were found: who cannot score an item has no say in it.
        """
        shares = {name: share for name, share in self.shares.items() if share > 0}
        scores, weights = [], []
        for name, share in shares.items():
            fused = [model.forward(signals) for model in members[name]]
            scores.append(_joint([zscore(one.score) for one in fused]))
            weights.append(np.float32(share) * _average([one.weights for one in fused]))
        blend = StaticBlend(np.array(list(shares.values()), dtype=np.float32))
        joint, models = _mean(np.stack(weights)), np.stack(scores)
        return Fused(
            score=blend.forward(Signals(np.stack(scores, axis=-1), signals.mask)).score,
            weights=joint / joint.sum(axis=-1, keepdims=True),
            uncertainty=np.sqrt(_mean(np.square(models - _mean(models)))),
        )

    def _state(self) -> Arrays:
        fitted(self.members or None, self.name)
        members = {
            f"{name}.{key}": array
            for name, model in self.members.items()
            for key, array in model.state().items()
        }
        told = {
            "shares": self.shares,
            "quality": self.quality,
            "verdicts": [vars(verdict) for verdict in self.verdicts],
            "left_out": self.left_out,
            "members": list(self.members),
        }
        return {**members, **pack_strings("told", [json.dumps(told)])}

    def _restore(self, state: Arrays) -> None:
        told = json.loads(unpack_strings("told", state)[0])
        self.shares, self.quality = told["shares"], told["quality"]
        self.verdicts = tuple(Verdict(**verdict) for verdict in told["verdicts"])
        self.left_out = tuple(told["left_out"])
        self.members = {name: self._member(name, state) for name in told["members"]}

    def _member(self, name: str, state: Arrays) -> FusionModel[Any]:
        start = f"{name}."
        part = {k.removeprefix(start): a for k, a in state.items() if k.startswith(start)}
        made = self._made(name)
        return type(made).restore(made.config.model_dump(), part)


def _joint(scores: Sequence[Floats]) -> Floats:
    """One scaled score from several that are scaled."""
    return scores[0] if len(scores) == 1 else zscore(_average(scores))


def _average(parts: Sequence[Floats]) -> Floats:
    return parts[0] if len(parts) == 1 else _mean(np.stack(parts))


def _mean(values: Floats) -> Floats:
    """Over the first axis and what is not NaN; NaN where everything is."""
    there = ~np.isnan(values)
    n = there.sum(axis=0, dtype=np.float32)
    total = np.where(there, values, np.float32(0)).sum(axis=0)
    mean: Floats = np.divide(total, n, out=np.full_like(total, np.nan), where=n > 0)
    return mean
