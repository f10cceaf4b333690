"""Typical tasks of a source and the gates they should have had: read by likeness, without a step of learning."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans

from crossfade.transfer.prior import Prior
from crossfade.transfer.tasks import Task
from crossfade.types import Arrays, Doubles

SHRINKAGE = 3.0
"""A prototype is drawn towards the mean of all tasks by as much as so many tasks of its own."""

WIDTHS = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Squared distances at which likeness falls to 1/e; the best for tasks left out is kept."""


@dataclass(frozen=True, eq=False)
class Prototypes:
    """Gates of typical tasks.

    What is kept of a gate is how it differs from what the prior says of its task, so that
    far from every prototype the prior alone speaks.

    Attributes:
        key: Facts and evidence of each, ``(K, F + S)``.
        value: What is added to the prior's parameters, ``(K, P)``.
        width: See `WIDTHS`.
    """

    key: Doubles
    value: Doubles
    width: float

    @classmethod
    def of(
        cls,
        prior: Prior,
        tasks: Sequence[Task],
        gates: Sequence[Doubles],
        n: int,
        rng: np.random.Generator,
    ) -> "Prototypes":
        """Group tasks that are alike.

        Args:
            prior: Of the same source.
            tasks: At least one.
            gates: What each should have had, ``(P,)``.
            n: Most prototypes.
            rng: Begins the grouping.
        """
        keys = np.stack([_key(prior, one.domain, one.evidence) for one in tasks])
        values = np.stack(
            [
                gate - prior.parameters(one.domain, one.evidence)
                for one, gate in zip(tasks, gates, strict=True)
            ]
        )
        n = min(n, len(np.unique(keys, axis=0)))
        grouping = KMeans(n, n_init=4, random_state=int(rng.integers(2**31))).fit(keys)
        mean = values.mean(axis=0)
        found, centres = [], []
        for group in range(n):
            own = grouping.labels_ == group
            share = own.sum() / (own.sum() + SHRINKAGE)
            found.append(share * values[own].mean(axis=0) + (1 - share) * mean)
            centres.append(keys[own].mean(axis=0))
        return cls(np.stack(centres), np.stack(found), _best_width(keys, values))

    def parameters(self, prior: Prior, domain: Doubles, evidence: Doubles) -> Doubles:
        """The gate for a domain, ``(P,)``."""
        weights = self.attention(prior, domain, evidence)
        return prior.parameters(domain, evidence) + weights @ self.value

    def attention(self, prior: Prior, domain: Doubles, evidence: Doubles) -> Doubles:
        """How much each prototype counts, ``(K,)``; sums to 1."""
        return _attention(_key(prior, domain, evidence), self.key, self.width)

    def to_arrays(self) -> Arrays:
        """As plain arrays."""
        return {"key": self.key, "value": self.value, "width": np.array([self.width])}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "Prototypes":
        """The inverse of `to_arrays`."""
        key, value = (arrays[name].astype(np.float64) for name in ("key", "value"))
        return cls(key, value, float(arrays["width"][0]))


def _key(prior: Prior, domain: Doubles, evidence: Doubles) -> Doubles:
    return np.concatenate([prior.scale.apply(domain), evidence])


def _attention(key: Doubles, keys: Doubles, width: float) -> Doubles:
    far = ((keys - key) ** 2).sum(axis=1) / width
    weight = np.exp(far.min() - far)
    return np.asarray(weight / weight.sum())


def _best_width(keys: Doubles, values: Doubles) -> float:
    """The width whose guess of each task's value from those of the others is nearest."""
    if len(keys) < 2:
        return WIDTHS[-1]
    errors = []
    for width in WIDTHS:
        missed = 0.0
        for left_out in range(len(keys)):
            rest = np.arange(len(keys)) != left_out
            guess = _attention(keys[left_out], keys[rest], width) @ values[rest]
            missed += float(((guess - values[left_out]) ** 2).sum())
        errors.append(missed)
    return WIDTHS[int(np.argmin(errors))]
