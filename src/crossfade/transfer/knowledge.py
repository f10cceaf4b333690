"""What a source domain gives away: gates, summaries of how they were learned, and nobody's events.

S bases, P = 3 S + 1 parameters of a gate, F facts, G groups of tasks, K prototypes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.autograd.functional import hessian as curvature

from crossfade.data import Dataset
from crossfade.fusion.few_shot.network import Lists, learn, loss
from crossfade.progress import task
from crossfade.rng import generator
from crossfade.transfer.config import TransferConfig
from crossfade.transfer.moments import Moments
from crossfade.transfer.prior import Prior, learn_prior
from crossfade.transfer.prototypes import Prototypes
from crossfade.transfer.tasks import Task, tasks_of
from crossfade.types import Doubles

OWN_PULL = 1.0
"""Pull of the gate that a task should have had towards the prior: its many later lists may well say otherwise."""


@dataclass(frozen=True, eq=False)
class Bowl:
    """The loss of a group of tasks around its lowest point: all that gradients at a source need.

    Attributes:
        name: Source and what became of the content of items.
        lowest: Parameters, ``(P,)``.
        curvature: Second derivatives of the mean loss there, made positive, ``(P, P)``.
    """

    name: str
    lowest: Doubles
    curvature: Doubles

    def slope(self, at: Doubles) -> Doubles:
        """Gradient of the group's mean loss at some parameters, ``(P,)``, to second order."""
        return self.curvature @ (at - self.lowest)


@dataclass(frozen=True, eq=False)
class Knowledge:
    """What a source taught.

    Attributes:
        name: Of the source.
        settings: Of the bases whose blend was learned, by label.
        prior: A gate for every domain, to be used as it is.
        inner: The same, to be used after a few steps: what model-agnostic meta-learning gave.
        moments: What lists of the source look like.
        bowls: Of each group of tasks.
        prototypes: Gates of typical tasks.
    """

    name: str
    settings: dict[str, dict[str, Any]]
    prior: Prior
    inner: Prior
    moments: Moments
    bowls: tuple[Bowl, ...]
    prototypes: Prototypes

    @classmethod
    def of(cls, dataset: Dataset, config: TransferConfig, seed: int) -> "Knowledge":
        """Learn from a source.

        Raises:
            DataError: If hardly anybody there has events enough.
        """
        return cls.of_tasks(dataset.name, tasks_of(dataset, config, seed), config, seed)

    @classmethod
    def of_tasks(
        cls, name: str, tasks: Sequence[Task], config: TransferConfig, seed: int
    ) -> "Knowledge":
        """Learn from tasks that were drawn before."""
        rng = generator(seed, f"transfer.knowledge.{name}")
        with task(f"learn to blend from {len(tasks)} small domains of {name}"):
            prior = learn_prior(tasks, config, rng)
            inner = learn_prior(tasks, config, rng, n_inner=config.inner_steps)
            own = [_own_gate(prior, one, config) for one in tasks]
            return cls(
                name,
                config.bases,
                prior,
                inner,
                Moments.of([one.query for one in tasks]),
                tuple(_bowls(name, tasks, prior, config)),
                Prototypes.of(prior, tasks, own, config.n_prototypes, rng),
            )


def _own_gate(prior: Prior, one: Task, config: TransferConfig) -> Doubles:
    """The gate that a task should have had, by its query, drawn towards what the prior says."""
    start = prior.parameters(one.domain, one.evidence)
    return learn(one.query, start, pull=OWN_PULL, n_steps=config.n_steps, rate=config.rate)


def _bowls(name: str, tasks: Sequence[Task], prior: Prior, config: TransferConfig) -> list[Bowl]:
    found = []
    for content in dict.fromkeys(one.content for one in tasks):
        lists = _joined([one.query for one in tasks if one.content == content])
        lowest = learn(
            lists, prior.usual, pull=config.pull, n_steps=config.n_steps, rate=config.rate
        )
        flat = torch.from_numpy(lowest)
        hessian = curvature(partial(loss, lists=lists), flat)  # type: ignore[no-untyped-call]
        found.append(Bowl(f"{name}, content {content}", lowest, _positive(hessian.numpy())))
    return found


def _positive(matrix: Doubles) -> Doubles:
    """The nearest matrix without negative curvature."""
    value, vector = np.linalg.eigh((matrix + matrix.T) / 2)
    return np.asarray((vector * np.maximum(value, 0)) @ vector.T)


def _joined(parts: Sequence[Lists]) -> Lists:
    """Lists one below the other, as wide as the widest."""
    width = max(part.mask.shape[1] for part in parts)

    def wide(name: str) -> torch.Tensor:
        arrays = [getattr(part, name) for part in parts]
        if arrays[0].ndim == 1:
            return torch.cat(arrays)
        padded = []
        for array in arrays:
            room = array.new_zeros(len(array), width, *array.shape[2:])
            room[:, : array.shape[1]] = array
            padded.append(room)
        return torch.cat(padded)

    return Lists(*(wide(name) for name in ("score", "there", "mask", "relevant", "length")))
