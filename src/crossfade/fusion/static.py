"""One weight per base, the same for everybody: the blend every learned one must beat."""

from typing import Literal

import numba
import numpy as np

from crossfade.arrays import top_k
from crossfade.fusion.base import Fused, Fusion, Signals
from crossfade.threads import over
from crossfade.types import Arrays, Bools, Doubles, Floats

SHARES = (0.1, 0.3, 1.0)
"""What tuning tries to add, as parts of the weights there are."""


class StaticBlend(Fusion):
    """Weighted mean of the scaled scores of the bases that can score the item.

    Attributes:
        weights: Shape ``(S,)``, in [0, 1], summing to 1.
    """

    name = "static"

    def __init__(self, weights: Floats) -> None:
        self.weights = np.asarray(weights, dtype=np.float32)
        # Asked this way round, NaN fails too.
        if not ((self.weights >= 0).all() and abs(float(self.weights.sum()) - 1) <= 1e-4):
            raise ValueError(f"weights must be 0 or more and sum to 1, got {self.weights.tolist()}")

    def forward(self, signals: Signals) -> Fused:
        """Blend a batch; an item that no weighted base can score gets NaN.

        Raises:
            ValueError: If the signals come from another number of bases.
        """
        if signals.score.shape[2] != len(self.weights):
            raise ValueError(
                f"{len(self.weights)} weights cannot blend {signals.score.shape[2]} bases; tune again"
            )
        weights = np.empty(signals.score.shape, dtype=np.float32)
        score = np.empty(signals.mask.shape, dtype=np.float32)
        _blend(signals.score, signals.available, self.weights, weights, score)
        return Fused(score, weights)

    def blend(self, score: Floats) -> Floats:
        """Only the blended score of `forward`, for whole catalogues.

        Args:
            score: Scaled scores, shape ``(S, n, n_items)``; NaN where a base cannot score.

        Returns:
            Shape ``(n, n_items)``; NaN where no weighted base can score.
        """
        there = ~np.isnan(score)
        return _weighted_mean(np.where(there, score, np.float32(0)), there, self.weights)

    def state(self) -> Arrays:
        """The weights."""
        return {"weights": self.weights}


Start = Literal["best", "equal"]
"""Where tuning begins: at the best single base, or with the same weight for every base."""


def tune_static(
    signals: Signals,
    relevant: Bools,
    n_relevant: Doubles,
    k: int = 10,
    *,
    start: Start = "best",
    n_steps: int = 40,
) -> StaticBlend:
    """Weights that maximise NDCG@k on requests the bases have not seen.

    Greedy ensemble selection with replacement: from the start, keep adding a share of
    whichever base helps most, while one helps. A small share comes first; larger ones are
    tried where it changes no list. From the best base, the result cannot be below it on
    these requests, and useless bases stay at exactly 0; from equal weights, every base
    keeps a little, which can hold better on other requests.

    Args:
        signals: Scaled scores for candidate lists.
        relevant: Which candidates were wanted, shape ``(B, L)``.
        n_relevant: How many items each request wanted in all, candidates or not, shape ``(B,)``.
        k: Depth of the list that is optimised.
        start: Where to begin.
        n_steps: Most additions; each is one of `SHARES` of the growing total.

    Source:
        Caruana et al. (2004), "Ensemble Selection from Libraries of Models", §2.
    """
    units = np.eye(signals.score.shape[2], dtype=np.float32)
    # A request that wants no candidate has no NDCG whatever the weights.
    hopeful = np.flatnonzero((relevant & signals.mask).any(axis=1))
    score, there = (
        np.ascontiguousarray(np.moveaxis(part[hopeful], -1, 1))
        for part in (signals.score, signals.available)
    )
    wanted, n_wanted = np.ascontiguousarray(relevant[hopeful]), n_relevant[hopeful]
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(n_wanted.astype(np.int64), k)]

    def quality(options: Floats) -> Doubles:
        weights = options / options.sum(axis=1, keepdims=True)
        gain = np.zeros((len(weights), len(score)))
        over(_gains, len(score), score, there, wanted, weights, discount, gain)
        total: Doubles = (gain / ideal).sum(axis=1)
        return total

    starts = units if start == "best" else units.mean(axis=0, keepdims=True)
    found = quality(starts)
    weights, best = starts[int(np.argmax(found))], found.max()
    for _ in range(n_steps):
        for share in SHARES:
            options = weights + share * weights.sum() * units
            found = quality(options)
            if found.max() > best:
                break
        else:
            break
        weights, best = options[int(np.argmax(found))], found.max()
    return StaticBlend(weights / weights.sum())


@numba.njit(cache=True, nogil=True)
def _gains(  # noqa: C901, PLR0912, PLR0917
    start: int,
    stop: int,
    score: Floats,
    there: Bools,
    relevant: Bools,
    options: Floats,
    discount: Doubles,
    out: Doubles,
) -> None:
    """Discounted gain of every list under every weighting, ``out[option, request]``.

    Blends exactly as `_weighted_mean`, and counts who stands before each wanted candidate: far
    fewer comparisons than ordering the list. ``score`` and ``there`` are ``(B, S, L)``.
    """
    n_bases, n_candidates = score.shape[1:]
    k = len(discount)
    for request in range(start, stop):
        wanted = np.flatnonzero(relevant[request])
        for option in range(len(options)):
            total = np.zeros(n_candidates, dtype=np.float32)
            blended = np.zeros(n_candidates, dtype=np.float32)
            for base in range(n_bases):
                weight = options[option, base]
                if weight == 0:
                    continue
                for place in range(n_candidates):
                    if there[request, base, place]:
                        total[place] += weight
                        blended[place] += weight * score[request, base, place]
            for place in range(n_candidates):
                blended[place] = blended[place] / total[place] if total[place] > 0 else -np.inf
            hits = np.zeros(k, dtype=np.bool_)
            for item in wanted:
                if not total[item] > 0:
                    continue
                before = 0
                for place in range(n_candidates):
                    ahead = blended[place] > blended[item]
                    tied = blended[place] == blended[item] and place < item
                    if ahead or tied:
                        before += 1
                if before < k:
                    hits[before] = True
            # In the order of the list, so that equal lists have equal sums.
            for place in range(k):
                if hits[place]:
                    out[option, request] += discount[place]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _blend(score: Floats, there: Bools, weights: Floats, acting: Floats, blended: Floats) -> None:
    """What acts, and the mean it makes, as `_weighted_mean` has it."""
    for request in range(score.shape[0]):
        for place in range(score.shape[1]):
            here, says = there[request, place], score[request, place]
            total, mean = np.float32(0), np.float32(0)
            for base in range(len(weights)):
                if here[base]:
                    total += weights[base]
                    mean += weights[base] * says[base]
            # 0 / 0 is NaN: nobody with a weight speaks.
            blended[request, place] = mean / total
            for base in range(len(weights)):
                own = weights[base] if here[base] else np.float32(0)
                acting[request, place, base] = own / total


def _weighted_mean(score: Floats, there: Bools, weights: Floats) -> Floats:
    """Mean over the bases that are there, ``(B, L)``; NaN where none with a weight is.

    Base by base and not as one matrix product, whose rounding depends on the batch.
    """
    total, blended = np.zeros_like(score[0]), np.zeros_like(score[0])
    for base in np.flatnonzero(weights):
        total += weights[base] * there[base]
        blended += weights[base] * score[base]
    mean: Floats = np.divide(blended, total, out=np.full_like(blended, np.nan), where=total > 0)
    return mean


def list_ndcg(score: Floats, relevant: Bools, n_relevant: Doubles, k: int) -> Doubles:
    """NDCG@k of each candidate list, shape ``(B,)``; candidates without a score rank nowhere."""
    best = top_k(score, k)
    hit = np.take_along_axis(relevant, np.maximum(best, 0), axis=1) & (best >= 0)
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(n_relevant.astype(np.int64), k)]
    gain = (hit * discount).sum(axis=1)
    ndcg: Doubles = np.divide(gain, ideal, out=np.zeros_like(gain), where=ideal > 0)
    return ndcg
