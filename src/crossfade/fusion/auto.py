"""`auto`: train the candidates, combine what held on unseen lists, and do no harm."""

import json
from collections.abc import Mapping
from copy import copy
from typing import Any, Self

import numba
import numpy as np

from crossfade.arrays import pack_strings, unpack_strings
from crossfade.config import Field, Settings
from crossfade.errors import MissingExtraError
from crossfade.fusion.base import Fused, FusionModel, LabelledSignals, Signals
from crossfade.fusion.contributions import ByBase, joined
from crossfade.fusion.matrix import fitted, wanted_lists
from crossfade.fusion.registry import make_fusion
from crossfade.fusion.scaling import zscore
from crossfade.fusion.shares import find_shares
from crossfade.fusion.static import list_ndcg
from crossfade.fusion.verdict import SLICE_EDGES, SLICES, Trials, Verdict, judge, slice_of
from crossfade.progress import task
from crossfade.types import Arrays, Bools, Doubles, Floats, Ints, Rows

__all__ = ["SLICES", "SLICE_EDGES", "AutoConfig", "AutoFusion", "Verdict", "slice_of"]


SEED = " seed "
"""Between the name of a network and its number, from the second on."""


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
    even_requests: int = Field(
        300,
        ge=0,
        description="Shares of candidates that have one are drawn to equal shares, which count as much as this "
        "many requests: what a few hundred lists say is noisy.",
    )
    n_seeds: int = Field(
        1,
        ge=1,
        description="Networks that answer are trained from so many seeds, and what they say is averaged. Each "
        "costs a training on all lists, and its time in every answer.",
    )
    depth: int = Field(10, ge=1, description="NDCG at this depth decides.")
    min_requests: int = Field(
        30,
        ge=1,
        description="Slices with fewer requests cannot show a gain of their own; those without any are static.",
    )
    certainty: float = Field(
        0.8,
        ge=0.5,
        lt=1,
        description="Share of bootstrap resamples of unseen lists in which the learned blend must beat the static "
        "one to serve; and in which it must lose, of those of the calibrate block alone too, to be kept from it.",
    )
    resamples: int = Field(1000, ge=100, description="Bootstrap resamples of that test.")


class AutoFusion(FusionModel[AutoConfig]):
    """The combination of trained blends that held where nothing was learned.

    Each candidate is trained on all but one fold of the requests, for each fold. On the part
    that each left out, greedy ensemble selection weighs the candidates (`find_shares`), so a
    candidate that learned its lists by heart gets no weight.

    A paired bootstrap on those lists and on the validation block then decides, for people with
    short, middling and long histories apart, whether that combination or the static blend
    serves (`judge`). What is judged are the models of the folds, on lists that trained none of
    them. Where the combination serves, each candidate is trained once more on all lists, with
    the validation block to stop by, and that model answers.

    With a single request that has something wanted nothing can be held out, and the static blend
    serves.

    Source:
        Breiman (1996), "Stacked Regressions", for weighing by what was left out and training
        anew on everything.
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
        # The static blend has a handful of weights and needs no folds. That it saw the lists it
        # is judged on is to its favour, and never to that of what is learned.
        static = self._made("static").fit(train, validation, seed)
        self.members, self.left_out = {"static": static}, ()
        unseen, later = (
            {"static": zscore(static.forward(part.signals).score)} for part in (train, validation)
        )
        for name in names:
            try:
                unseen[name], later[name] = self._folded(name, train, validation, folds, seed)
            except MissingExtraError:
                self.left_out += (name,)
        self._weigh(train, unseen, rng)
        self.verdicts = judge(
            self._tried(train, unseen, later=False) + self._tried(validation, later, later=True),
            rng,
            min_requests=self.config.min_requests,
            certainty=self.config.certainty,
            resamples=self.config.resamples,
        )
        if not any(verdict.serves for verdict in self.verdicts[1:]):
            return
        self._repeat_networks()
        for name in [name for name in self._heard() if name != "static"]:
            repeat = int(name.partition(SEED)[2] or 1) - 1
            with task(f"fit {name} on all {len(train):,} lists"):
                self.members[name] = self._made(name).fit(train, validation, seed + repeat)

    def _repeat_networks(self) -> None:
        """Part the share of each network between seeds; other models are the same from every seed."""
        n = self.config.n_seeds
        shares: dict[str, float] = {}
        for name, share in self.shares.items():
            trained = "train" in type(self._made(name).config).model_fields
            again = n if share > 0 and trained else 1
            repeats = [name, *(f"{name}{SEED}{number}" for number in range(2, again + 1))]
            shares |= dict.fromkeys(repeats, share / again)
        self.shares = shares

    def _made(self, name: str) -> FusionModel[Any]:
        kind = name.partition(SEED)[0]
        return make_fusion(kind, self.config.settings.get(kind, {}))

    def _folds(self, train: LabelledSignals, rng: np.random.Generator) -> Ints:
        """Fold of each request, from 0; a single one if no two could have a wanted candidate."""
        wanted_lists(train, self.name)  # raises where nothing can be learned
        wanted = train.relevant & train.signals.scored
        # Requests with a wanted candidate are dealt out first, so that every fold has some.
        able = wanted.any(axis=1)
        dealt = np.lexsort((rng.random(len(train)), ~able))
        folds = np.empty(len(train), dtype=np.int64)
        folds[dealt] = np.arange(len(train)) % min(self.config.n_folds, int(able.sum()))
        return folds

    def _names(self) -> list[str]:
        return list(dict.fromkeys(("static", *self.config.candidates)))

    def _folded(
        self,
        name: str,
        train: LabelledSignals,
        validation: LabelledSignals,
        folds: Ints,
        seed: int,
    ) -> tuple[Floats, Floats]:
        """What one model per fold says of the fold it did not see, and all say of the validation block.

        Both z-scored per request, of the shapes of the lists.
        """
        unseen = np.full(train.relevant.shape, np.nan, dtype=np.float32)
        later, n_folds = [], int(folds.max()) + 1
        with task(f"fit {name} on {n_folds} folds", n_folds) as running:
            for fold in range(n_folds):
                inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
                held = train.take(outside)
                model = self._made(name).fit(train.take(inside), held, seed + fold)
                unseen[outside] = zscore(model.forward(held.signals).score)
                later.append(zscore(model.forward(validation.signals).score))
                running.advance()
        equal = np.ones(n_folds, dtype=np.float32)
        return unseen, zscore(_joined_scores(np.stack(later), validation.signals.mask, equal)[0])

    def _weigh(
        self, train: LabelledSignals, unseen: Mapping[str, Floats], rng: np.random.Generator
    ) -> None:
        """Shares of the candidates by what they said of lists they had not seen."""
        shares = find_shares(
            np.stack(list(unseen.values()), axis=-1),
            train,
            rng,
            depth=self.config.depth,
            even_requests=self.config.even_requests,
        )
        self.shares = dict(zip(unseen, shares.tolist(), strict=True))
        self.quality = {
            name: float(self._ndcg(train, score).mean()) for name, score in unseen.items()
        }

    def _tried(
        self, lists: LabelledSignals, scaled: Mapping[str, Floats], *, later: bool
    ) -> Trials:
        """How the combination and the static blend did on lists."""
        heard = np.stack([scaled[name] for name in self._heard()])
        score, _ = _joined_scores(heard, lists.signals.mask, self._shares())
        learned = self._ndcg(lists, score)
        plain = self._ndcg(lists, self._static(lists.signals).score)
        return Trials.of(learned, plain, lists.signals, later=later)

    def _ndcg(self, labelled: LabelledSignals, score: Floats) -> Doubles:
        return list_ndcg(score, labelled.relevant, labelled.n_relevant, self.config.depth)

    def _static(self, signals: Signals) -> Fused:
        return self.members["static"].forward(signals)

    def serves(self, signals: Signals) -> Bools:
        """Which requests the learned combination serves, shape ``(B,)``; the others are static."""
        by_slice = np.array([verdict.serves for verdict in self.verdicts[1:]])
        return by_slice[slice_of(signals)]

    @property
    def keeps_apart(self) -> bool:
        """Whether the static blend and all candidates that are heard do."""
        return all(model.keeps_apart for model in self.members.values())

    @property
    def knows_people(self) -> bool:
        """Whether a candidate that is heard does."""
        return any(model.knows_people for model in self.members.values())

    def moved(self, user_rows: Rows) -> Self:
        """With members that know where today's people are."""
        found = copy(self)
        found.members = {name: model.moved(user_rows) for name, model in self.members.items()}
        return found

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
        serves = self.serves(signals)
        if serves.any() and serves.all():
            return self._combined(signals)
        static = self._static(signals)
        if not any(verdict.serves for verdict in self.verdicts[1:]):
            return static
        score, weights = static.score.copy(), static.weights.copy()
        uncertainty = np.full_like(score, np.nan)
        places = np.flatnonzero(serves)
        if len(places):
            combined = self._combined(signals.take(places))
            score[places], weights[places] = combined.score, combined.weights
            uncertainty[places] = combined.uncertainty
        return Fused(score, weights, uncertainty=uncertainty)

    def _combined(self, signals: Signals) -> Fused:
        """What all say that have a share; scores z-scored, as when the shares were found."""
        said = {name: self.members[name].forward(signals) for name in self._heard()}
        scaled = np.stack([zscore(fused.score) for fused in said.values()])
        score, uncertainty = _joined_scores(scaled, signals.mask, self._shares())
        weights = np.empty(signals.score.shape, dtype=np.float32)
        _mean(np.stack([fused.weights for fused in said.values()]), self._shares(), weights)
        return Fused(score, weights, uncertainty=uncertainty, members=said)

    def _by_base(self, signals: Signals, fused: Fused, places: Ints) -> ByBase:
        if not self.serves(signals)[0]:
            return self.members["static"]._by_base(signals, fused, places)
        if fused.members is None:
            raise ValueError(
                f"{self.name}: this Fused does not say what members said; pass on what forward gave"
            )
        shares, said = self._heard(), fused.members
        return joined(
            [self.members[name].contributions(signals, places, said[name]) for name in shares],
            np.concatenate([said[name].score for name in shares]),
            np.array(list(shares.values())),
            places,
        )

    def _shares(self) -> Floats:
        return np.array(list(self._heard().values()), dtype=np.float32)

    def _heard(self) -> dict[str, float]:
        return {name: share for name, share in self.shares.items() if share > 0}

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


def _joined_scores(scaled: Floats, mask: Bools, shares: Floats) -> tuple[Floats, Floats]:
    """Weighted means of scores, and how far they differ; both ``(B, L)``.

    Args:
        scaled: Of n models, ``(n, B, L)``; who cannot score an item has no say in it.
        mask: Shape ``(B, L)``.
        shares: Above 0, shape ``(n,)``.
    """
    score, spread = np.empty((2, *mask.shape), dtype=np.float32)
    _join(scaled, mask, shares, score, spread)
    return score, spread


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _join(scaled: Floats, mask: Bools, shares: Floats, score: Floats, spread: Floats) -> None:
    for request in range(mask.shape[0]):
        for place in range(mask.shape[1]):
            n, total, mean, weighed = 0, np.float32(0), np.float32(0), np.float32(0)
            for one in range(len(shares)):
                value = scaled[one, request, place]
                if mask[request, place] and not np.isnan(value):
                    n, mean = n + 1, mean + value
                    total += shares[one]
                    weighed += shares[one] * value
            mean /= np.float32(n)  # 0 / 0 is NaN: nobody speaks
            squares = np.float32(0)
            for one in range(len(shares)):
                value = scaled[one, request, place]
                if not np.isnan(value):
                    squares += (value - mean) ** 2
            score[request, place] = weighed / total
            spread[request, place] = np.sqrt(squares / np.float32(n))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _mean(weights: Floats, shares: Floats, out: Floats) -> None:
    """Mean over the candidates that weigh bases, which sums to 1 again; NaN where none does."""
    for request in range(out.shape[0]):
        for place in range(out.shape[1]):
            mean, total = out[request, place], np.float32(0)
            for base in range(len(mean)):
                n, mean[base] = 0, 0
                for one in range(len(shares)):
                    own = weights[one, request, place, base]
                    if not np.isnan(own):
                        n, mean[base] = n + 1, mean[base] + shares[one] * own
                mean[base] /= np.float32(n)
                total += mean[base]
            for base in range(len(mean)):
                mean[base] /= total
