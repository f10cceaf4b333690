"""One weight per base, the same for everybody: the blend every learned one must beat."""

import numpy as np

from crossfade.fusion.base import Fused, Fusion, Signals
from crossfade.types import Arrays, Bools, Doubles, Floats


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
        weights = signals.available * self.weights  # (B, L, S)
        total = weights.sum(axis=-1, keepdims=True)
        weights = np.divide(weights, total, out=np.full_like(weights, np.nan), where=total > 0)
        score = (weights * np.where(signals.available, signals.score, 0.0)).sum(axis=-1)
        return Fused(score.astype(np.float32), weights.astype(np.float32))

    def state(self) -> Arrays:
        """The weights."""
        return {"weights": self.weights}


def tune_static(
    signals: Signals, relevant: Bools, n_relevant: Doubles, k: int = 10, n_steps: int = 40
) -> StaticBlend:
    """Weights that maximise NDCG@k on requests the bases have not seen.

    Greedy ensemble selection with replacement: start at the best single base, then
    keep adding a small share of whichever base helps most, while it helps. It cannot end
    below the best base on these requests, and it leaves useless bases at exactly 0.

    Args:
        signals: Scaled scores for candidate lists.
        relevant: Which candidates were wanted, shape ``(B, L)``.
        n_relevant: How many items each request wanted in all, candidates or not, shape ``(B,)``.
        k: Depth of the list that is optimised.
        n_steps: Most additions; the step size is 1 / 10 of the growing total.

    Source:
        Caruana et al. (2004), "Ensemble Selection from Libraries of Models", §2.
    """
    n_bases = signals.score.shape[2]
    units = np.eye(n_bases, dtype=np.float32)

    def quality(weights: Floats) -> float:
        fused = StaticBlend(weights / weights.sum()).forward(signals).score
        return float(list_ndcg(fused, relevant, n_relevant, k).mean())

    single = [quality(unit) for unit in units]
    weights, best = units[int(np.argmax(single))], max(single)
    for _ in range(n_steps):
        step = 0.1 * weights.sum()
        options = [quality(weights + step * unit) for unit in units]
        if max(options) <= best:
            break
        weights, best = weights + step * units[int(np.argmax(options))], max(options)
    return StaticBlend(weights / weights.sum())


def list_ndcg(score: Floats, relevant: Bools, n_relevant: Doubles, k: int) -> Doubles:
    """NDCG@k of each candidate list, shape ``(B,)``; candidates without a score rank nowhere."""
    order = np.argsort(-np.where(np.isnan(score), -np.inf, score), axis=1, kind="stable")[:, :k]
    hit = np.take_along_axis(relevant & ~np.isnan(score), order, axis=1)
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(n_relevant.astype(np.int64), k)]
    gain = (hit * discount[: hit.shape[1]]).sum(axis=1)
    ndcg: Doubles = np.divide(gain, ideal, out=np.zeros_like(gain), where=ideal > 0)
    return ndcg
