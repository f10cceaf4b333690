"""One weight per base for everybody, learned by gradient from a listwise loss."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import OptimizeResult, minimize

from crossfade.arrays import pack_strings, unpack_strings
from crossfade.config import Field, Settings
from crossfade.fusion.base import Fused, FusionModel, LabelledSignals, Signals
from crossfade.fusion.contributions import acted
from crossfade.fusion.matrix import (
    ROWS_AT_ONCE,
    best_on,
    fitted,
    on_scale,
    scaled,
    scales_of,
    wanted_lists,
    weighted,
)
from crossfade.fusion.scaling import Scaling
from crossfade.types import Arrays, Bools, Doubles, Ints


class LearnedWeightsConfig(Settings):
    """How long the weights are learned."""

    max_iterations: int = Field(200, ge=1, description="Most steps of L-BFGS.")
    patience: int = Field(
        10, ge=1, description="Stop after this many steps without a better validation loss."
    )


class LearnedWeights(FusionModel[LearnedWeightsConfig]):
    """Weights ``softmax(logits)`` over the bases that can score the candidate.

    Learned from equal weights with the listwise softmax loss (see `Lists.loss`) on train,
    stopped by the same loss on validation, once for every scale the signals have; the scale
    with the better validation NDCG@10 is kept.

    Attributes:
        logits: Of the weights, ``(S,)``, once fitted.
        log_sharpness: Logarithm of what scores are multiplied by before the softmax of the loss.
            It changes no order and no weight; `adaptive` starts from it.
        scaling: The chosen scale.

    Source:
        Cao et al. (2007), "Learning to Rank: From Pairwise Approach to Listwise Approach"
        (ListNet's top-one loss).
    """

    name = "learned_weights"
    Config = LearnedWeightsConfig

    logits: Doubles | None = None
    log_sharpness: float = 0.0
    scaling: Scaling | None = None

    @property
    def keeps_apart(self) -> bool:
        """Always."""
        return True

    def forward(self, signals: Signals) -> Fused:
        """Blend a batch.

        Raises:
            NotFittedError: Before `fit`.
            DataError: If the chosen scale is missing.
        """
        logits = fitted(self.logits, self.name)
        scaling: Scaling = fitted(self.scaling, self.name)
        self.check(signals)
        everybody = np.broadcast_to(logits, (len(signals.mask), len(logits)))
        return gated(on_scale(signals, scaling, self.name), everybody)

    def _brought(self, signals: Signals, fused: Fused) -> Doubles:
        says = scaled(signals, fitted(self.scaling, self.name), self.name)
        return acted(fused.weights[0], says[0], signals.available[0])

    def _fit(
        self,
        train: LabelledSignals,
        validation: LabelledSignals,
        rng: np.random.Generator,  # noqa: ARG002
    ) -> None:
        best = best_on(validation, self._options(train, validation), self.name)
        self.logits, self.log_sharpness = best.logits, best.log_sharpness
        self.scaling = best.scaling

    def _options(
        self, train: LabelledSignals, validation: LabelledSignals
    ) -> Iterator["LearnedWeights"]:
        n_bases = train.signals.score.shape[2]
        for scaling in scales_of(train.signals):
            here = Lists.of(train, scaling, self.name)
            there = Lists.of(validation, scaling, self.name)

            def loss(values: Doubles, lists: Lists = here) -> tuple[float, Doubles]:
                each = np.broadcast_to(values[:-1], (len(lists.start), n_bases))
                value, by_logits, by_sharpness = lists.loss(each, values[-1])
                return value, np.append(by_logits.sum(axis=0), by_sharpness)

            def judge(values: Doubles, lists: Lists = there) -> float:
                return loss(values, lists)[0]

            found = descend(loss, judge, np.zeros(n_bases + 1), self.config)
            option = LearnedWeights(self.config)
            option.columns, option.scaling = self.columns, scaling
            option.logits, option.log_sharpness = found[:-1], float(found[-1])
            yield option

    def _state(self) -> Arrays:
        return {
            "logits": fitted(self.logits, self.name),
            "log_sharpness": np.array([self.log_sharpness]),
            **pack_strings("scaling", [fitted(self.scaling, self.name)]),
        }

    def _restore(self, state: Arrays) -> None:
        self.logits = state["logits"].astype(np.float64)
        self.log_sharpness = float(state["log_sharpness"].astype(np.float64)[0])
        (self.scaling,) = unpack_strings("scaling", state)  # type: ignore[assignment]


def gated(signals: Signals, logits: Doubles) -> Fused:
    """Mean of the scores with weights ``softmax(logits)`` over the available bases.

    Args:
        signals: Scores on the scale to blend.
        logits: Shape ``(B, S)``.
    """
    there = signals.available
    # The largest logit that is there becomes 0, so that no sum can be 0.
    own = np.where(there, logits[:, None, :], -np.inf)
    top = own.max(axis=-1, keepdims=True, initial=-np.inf)
    shifted = np.subtract(own, top, out=np.full(own.shape, -np.inf), where=there)
    return weighted(signals.score, there, np.exp(shifted))


# -- the loss --------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Lists:
    """Candidates that some base can score, list after list, of requests that want one of them.

    Attributes:
        score: Shape ``(n, S)``; 0 where missing.
        there: Whether it is not missing, ``(n, S)``.
        share: Wanted candidates share 1 in each list, the others have 0, ``(n,)``.
        start: First row of each list, ``(R,)``.
        place: Request of each list in what it was made from, ``(R,)``.
    """

    score: Doubles
    there: Bools
    share: Doubles
    start: Ints
    place: Ints

    @classmethod
    def of(cls, labelled: LabelledSignals, scaling: Scaling, name: str) -> "Lists":
        """Pack labelled signals.

        Raises:
            DataError: If no list wants a candidate that a base can score.
        """
        wanted_lists(labelled, name)
        available = labelled.signals.available
        usable = np.asarray(available.any(axis=-1))
        place = np.flatnonzero((labelled.relevant & usable).any(axis=1))
        kept = usable[place]
        start = np.concatenate([[0], np.cumsum(kept.sum(axis=1))[:-1]])
        there = available[place][kept]
        score = np.where(there, scaled(labelled.signals, scaling, name)[place][kept], 0.0)
        wanted = labelled.relevant[place][kept].astype(np.float64)
        n_wanted = np.add.reduceat(wanted, start)
        length = np.diff(np.append(start, len(wanted)))
        return cls(score, there, wanted / np.repeat(n_wanted, length), start, place)

    def loss(self, logits: Doubles, log_sharpness: float) -> tuple[float, Doubles, float]:
        """Cross entropy between wanted and softmax of sharpness × blended score, mean over lists.

        Args:
            logits: Of the weights in each list, ``(R, S)``.
            log_sharpness: See `LearnedWeights`.

        Returns:
            The loss, and its gradients by both arguments.
        """
        ends = np.append(self.start, len(self.share))
        total, by_logits, by_sharpness = 0.0, np.zeros(logits.shape), 0.0
        first = 0
        while first < len(self.start):  # some lists at once, so that they stay in the cache
            last = max(first + 1, int(np.searchsorted(ends, ends[first] + ROWS_AT_ONCE // 4)) - 1)
            value, part, slope = self._part(first, last, ends, logits, log_sharpness)
            total, by_sharpness = total + value, by_sharpness + slope
            by_logits[first:last] = part
            first = last
        n = len(self.start)
        return total / n, by_logits / n, by_sharpness / n

    def _part(
        self, first: int, last: int, ends: Ints, logits: Doubles, log_sharpness: float
    ) -> tuple[float, Doubles, float]:
        rows = slice(int(ends[first]), int(ends[last]))
        start = ends[first:last] - ends[first]
        own = np.repeat(np.arange(first, last), np.diff(ends[first : last + 1]))
        list_of = own - first
        there, score, share = self.there[rows], self.score[rows], self.share[rows]

        pull = np.where(there, logits[own], -np.inf)
        pull = np.exp(pull - pull.max(axis=1, keepdims=True))
        weights = pull / pull.sum(axis=1, keepdims=True)  # (n, S)
        blended = (weights * score).sum(axis=1)
        sharpness = float(np.exp(log_sharpness))
        sharp = sharpness * blended
        top = np.maximum.reduceat(sharp, start)
        exponent = np.exp(sharp - top[list_of])
        mass = np.add.reduceat(exponent, start)
        value = float((top + np.log(mass)).sum() - share @ sharp)

        by_sharp = exponent / mass[list_of] - share  # softmax minus target
        # Softmax weights: d blended / d logit = weight × (score − blended).
        by_row = (sharpness * by_sharp)[:, None] * weights * (score - blended[:, None])
        return value, np.add.reduceat(by_row, start, axis=0), float(by_sharp @ sharp)


def descend(
    loss: Callable[[Doubles], tuple[float, Doubles]],
    judge: Callable[[Doubles], float],
    start: Doubles,
    config: LearnedWeightsConfig,
) -> Doubles:
    """L-BFGS on ``loss``; the values with the lowest ``judge`` on the way, the start included.

    Args:
        loss: Value and gradient, to be made small.
        judge: Validation loss.
        start: First values.
        config: When to stop.
    """
    best, lowest, waited = start, judge(start), 0

    def watch(intermediate_result: OptimizeResult) -> None:
        nonlocal best, lowest, waited
        found = judge(intermediate_result.x)
        if found < lowest:
            best, lowest, waited = intermediate_result.x.copy(), found, 0
            return
        waited += 1
        if waited >= config.patience:
            raise StopIteration

    minimize(
        loss, start, jac=True, method="L-BFGS-B", callback=watch,
        options={"maxiter": config.max_iterations},
    )  # fmt: skip
    return best
