"""Whether and when the mean of a loss changed: a window that lets go of what is no longer so."""

from dataclasses import dataclass

import numpy as np

from crossfade.types import Bools, Doubles, Times

PER_LEVEL = 5
"""Buckets of one size; of more, the two oldest become one of the next size."""


@dataclass(frozen=True)
class Change:
    """A mean that is another than it was.

    Attributes:
        at_us: When the newer part begins, as exactly as the buckets go.
        before: Mean of the older part, which is let go of.
        after: Mean of the newer one.
        n_before: Losses in the older part.
        n_after: Losses in the newer one.
    """

    at_us: int
    before: float
    after: float
    n_before: int
    n_after: int


class ConceptDrift:
    """Adaptive windowing over batches of losses, one check a batch.

    The window holds everything since the last change, in buckets whose sizes grow with age, so that
    memory and time grow with the logarithm of its length. A batch that is added is checked at once: at every
    border between two buckets the means of both sides are compared, and the window is cut where they are
    furthest apart for their sizes, as long as they are further than chance allows,

    ``ε = √(2 σ² ln(2 k / δ) / m) + 2 ln(2 k / δ) / (3 m)``, ``1 / m = 1 / n₀ + 1 / n₁``,

    with σ² the variance of the window and k the number of borders. The original takes ln n for k; the
    number of borders keeps the promise whatever the sizes of batches. It is one about independent
    losses, so of one person give one number per batch.

    Args:
        delta: At most this share of checks finds a change where there was none, in (0, 1).

    Source:
        Bifet and Gavaldà (2007), "Learning from Time-Changing Data with Adaptive Windowing", ADWIN2 with the
        bound of section 4.
    """

    def __init__(self, delta: float) -> None:
        if not 0 < delta < 1:
            raise ValueError(f"delta must lie between 0 and 1, got {delta}")
        self._delta = delta
        self._level = np.zeros(0, dtype=np.int64)
        self._start_us = np.zeros(0, dtype=np.int64)
        # Of each bucket: losses, their sum and the sum of their squares.
        self._sums = np.zeros((0, 3))
        self._newest_us = np.iinfo(np.int64).min

    @property
    def n(self) -> int:
        """Losses in the window."""
        return int(self._sums[:, 0].sum())

    @property
    def mean(self) -> float:
        """Of the window; NaN while it is empty."""
        return float(self._sums[:, 1].sum() / self.n) if self.n else float("nan")

    def add(self, loss: Doubles, time_us: Times) -> Change | None:
        """Take a batch and look whether the mean is still the same.

        Args:
            loss: In [0, 1], ``(n,)``; NaN is no loss and leaves no trace. An empty batch checks nothing.
            time_us: When each was suffered, ``(n,)``, ascending and no earlier than the batch before.

        Returns:
            The change; None for none.

        Raises:
            ValueError: If a loss is out of range or a time goes back.
        """
        known = ~np.isnan(loss)
        loss, time_us = loss[known], time_us[known]
        if not len(loss):
            return None
        if loss.min() < 0 or loss.max() > 1:
            raise ValueError(f"losses must lie in [0, 1], got {loss.min():g} to {loss.max():g}")
        if time_us[0] < self._newest_us or np.any(np.diff(time_us) < 0):
            raise ValueError("losses must come in the order of time; sort them")
        self._newest_us = int(time_us[-1])
        self._level = np.append(self._level, 0)
        self._start_us = np.append(self._start_us, time_us[0])
        self._sums = np.vstack([self._sums, [len(loss), loss.sum(), np.square(loss).sum()]])
        self._merge()
        return self._cut()

    def _merge(self) -> None:
        """Of too many buckets of one size, the two oldest become one of the next."""
        level = 0
        while len(same := np.flatnonzero(self._level == level)) > PER_LEVEL:
            older, newer = same[:2]
            self._sums[older] += self._sums[newer]
            self._level[older] += 1
            self._keep(np.arange(len(self._level)) != newer)
            level += 1

    def _cut(self) -> Change | None:
        """Let go of everything before the clearest border, if any is clear."""
        n, total, squares = self._sums.cumsum(axis=0).T
        n_old, n_new = n[:-1], n[-1] - n[:-1]
        if not len(n_old):
            return None
        old, new = total[:-1] / n_old, (total[-1] - total[:-1]) / n_new
        variance = max(0.0, float(squares[-1] / n[-1] - (total[-1] / n[-1]) ** 2))
        reach = chance_reach(n_old, n_new, variance, self._delta / len(n_old))
        beyond = np.abs(new - old) / reach
        best = int(np.argmax(beyond))
        if not beyond[best] > 1:
            return None
        change = Change(
            at_us=int(self._start_us[best + 1]),
            before=float(old[best]),
            after=float(new[best]),
            n_before=int(n_old[best]),
            n_after=int(n_new[best]),
        )
        self._keep(np.arange(len(self._level)) > best)
        return change

    def _keep(self, which: Bools) -> None:
        self._level, self._start_us = self._level[which], self._start_us[which]
        self._sums = self._sums[which]


def chance_reach(n_old: Doubles, n_new: Doubles, variance: float, delta: float) -> Doubles:
    """How far apart two means of losses in [0, 1] may lie by chance, save with chance ``delta``.

    Args:
        n_old: Losses on one side, 1 or more, any shape.
        n_new: Losses on the other.
        variance: Of all of them.
        delta: In (0, 1).
    """
    doubt = np.log(2 / delta)
    inverse = 1 / n_old + 1 / n_new
    return np.asarray(np.sqrt(2 * variance * doubt * inverse) + 2 / 3 * doubt * inverse)
