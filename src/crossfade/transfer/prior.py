"""From what is known of a domain to the gate it should begin with; learned over the tasks of a source.

S bases, P = 3 S + 1 parameters of a gate, F facts about a domain.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossfade.fusion.few_shot.network import Lists, loss, neutral
from crossfade.transfer.config import TransferConfig
from crossfade.transfer.facts import DOMAIN
from crossfade.transfer.tasks import Task
from crossfade.types import Arrays, Doubles

FARTHEST = 2.0
"""Facts further from the usual than this many deviations count as so far: nothing was learned beyond."""


@dataclass(frozen=True, eq=False)
class Scale:
    """Middle and spread of the facts over the tasks of a source, ``(F,)`` each."""

    middle: Doubles
    spread: Doubles

    @classmethod
    def of(cls, tasks: Sequence[Task]) -> "Scale":
        """Over some tasks; facts that never vary have a spread of 1."""
        facts = np.stack([one.domain for one in tasks])
        spread = facts.std(axis=0)
        return cls(facts.mean(axis=0), np.where(spread > 0, spread, 1.0))

    def apply(self, domain: Doubles) -> Doubles:
        """Facts in deviations from the usual, ``(F,)``."""
        return np.clip((domain - self.middle) / self.spread, -FARTHEST, FARTHEST)


@dataclass(frozen=True, eq=False)
class Prior:
    """A gate for every domain: a usual one, moved by facts about the domain and by how its bases did.

    Attributes:
        scale: Of the facts.
        usual: Parameters of the usual gate, ``(P,)``.
        by_fact: What a deviation of each fact adds to the bias of each base, ``(S, F)``.
        by_evidence: What one unit of evidence for a base adds to its bias.
        rates: Steps of the inner loop for each parameter, ``(P,)``; zeros where none were learned.
    """

    scale: Scale
    usual: Doubles
    by_fact: Doubles
    by_evidence: float
    rates: Doubles

    def parameters(self, domain: Doubles, evidence: Doubles) -> Doubles:
        """The gate to begin with, ``(P,)``.

        Args:
            domain: See `facts.domain_facts`.
            evidence: See `facts.Record.evidence`.
        """
        found = self.usual.copy()
        n = len(evidence)
        found[:n] += self.by_fact @ self.scale.apply(domain) + self.by_evidence * evidence
        return found

    def adapted(self, domain: Doubles, evidence: Doubles, lists: Lists, n_steps: int) -> Doubles:
        """The gate after the inner loop on some lists; as it was where they want nothing."""
        start = torch.from_numpy(self.parameters(domain, evidence))
        if not lists.n_teaching:
            return start.numpy()
        return stepped(start, torch.from_numpy(self.rates), lists, n_steps).detach().numpy()

    def to_arrays(self) -> Arrays:
        """As plain arrays."""
        return {
            "middle": self.scale.middle,
            "spread": self.scale.spread,
            "usual": self.usual,
            "by_fact": self.by_fact,
            "by_evidence": np.array([self.by_evidence]),
            "rates": self.rates,
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "Prior":
        """The inverse of `to_arrays`."""
        told = {name: array.astype(np.float64) for name, array in arrays.items()}
        scale = Scale(told.pop("middle"), told.pop("spread"))
        return cls(scale, by_evidence=float(told.pop("by_evidence")[0]), **told)


def learn_prior(
    tasks: Sequence[Task], config: TransferConfig, rng: np.random.Generator, *, n_inner: int = 0
) -> Prior:
    """The prior that serves the tasks' queries best, at once or after the inner loop.

    With an inner loop this is model-agnostic meta-learning with learned rates: the gradient goes through
    every step.

    Args:
        tasks: Of one source or several, at least one.
        config: How.
        rng: Draws tasks.
        n_inner: Steps of the inner loop; 0 learns what needs none.

    Source:
        Finn, Abbeel and Levine (2017), arXiv 1703.03400, algorithm 2; Li et al. (2017), "Meta-SGD",
        arXiv 1707.09835, eq. 3, for the rates.
    """
    scale = Scale.of(tasks)
    n_bases = len(tasks[0].evidence)
    facts = torch.from_numpy(np.stack([scale.apply(one.domain) for one in tasks]))
    evidence = torch.from_numpy(np.stack([one.evidence for one in tasks]))
    usual = torch.tensor(neutral(n_bases), requires_grad=True)
    by_fact = torch.zeros(n_bases, len(DOMAIN), dtype=torch.float64, requires_grad=True)
    by_evidence = torch.ones((), dtype=torch.float64, requires_grad=True)
    log_rates = torch.full_like(usual, np.log(0.1), requires_grad=True)
    learned = [usual, by_fact, by_evidence, *([log_rates] if n_inner else [])]
    optimiser = torch.optim.Adam(learned, lr=config.rate)
    at_once = min(len(tasks), 12)
    for _ in range(config.n_epochs if not n_inner else max(1, config.n_epochs // 2)):
        optimiser.zero_grad()
        total = config.decay * by_fact.square().sum()
        for place in rng.choice(len(tasks), at_once, replace=False):
            moved = by_fact @ facts[place] + by_evidence * evidence[place]
            start = usual + torch.cat([moved, moved.new_zeros(len(usual) - n_bases)])
            one = tasks[place]
            if n_inner and one.support.n_teaching:
                start = stepped(start, log_rates.exp(), one.support, n_inner)
            total = total + loss(start, one.query) / at_once
        total.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    rates = log_rates.exp() if n_inner else torch.zeros_like(usual)
    return Prior(
        scale,
        usual.detach().numpy(),
        by_fact.detach().numpy(),
        float(by_evidence.detach()),
        rates.detach().numpy(),
    )


def stepped(start: Tensor, rates: Tensor, lists: Lists, n_steps: int) -> Tensor:
    """A few steps down the loss of some lists; the gradient of a gradient is kept where it is asked for."""
    deep = start.requires_grad
    flat = start if deep else start.clone().requires_grad_()
    for _ in range(n_steps):
        (slope,) = torch.autograd.grad(loss(flat, lists), flat, create_graph=deep)
        flat = flat - rates * slope
        if not deep:
            flat = flat.detach().requires_grad_()
    return flat
