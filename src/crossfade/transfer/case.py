"""What an option may look at, and what every option is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch

from crossfade.fusion.few_shot.network import Lists, loss
from crossfade.transfer.config import TransferConfig
from crossfade.transfer.knowledge import Knowledge
from crossfade.transfer.tasks import Support
from crossfade.types import Doubles, Ints

Verdict = Literal["transfer", "partly", "not"]


@dataclass(frozen=True, eq=False)
class Case:
    """What a strategy may look at.

    Attributes:
        sources: What may be carried, at least one.
        domain: See `domain_facts`.
        evidence: See `Record.evidence`.
        lists: What the target learns from.
        config: How.
    """

    sources: Sequence[Knowledge]
    domain: Doubles
    evidence: Doubles
    lists: Lists
    config: TransferConfig

    @classmethod
    def of(
        cls,
        sources: Sequence[Knowledge],
        support: Support,
        config: TransferConfig,
        places: Ints | None = None,
    ) -> "Case":
        """Of a target's lists, or of those at some places."""
        own = support.lists if places is None else support.lists.take(places)
        evidence = support.record.evidence(places)
        return cls(sources, support.domain, evidence, Lists.of(own), config)

    def carried(self) -> Doubles:
        """The gate that the sources say this domain should begin with, ``(P,)``.

        Of several sources each counts by how likely its gate makes what the lists wanted.
        """
        gates = np.stack([one.prior.parameters(self.domain, self.evidence) for one in self.sources])
        return self.trust(gates) @ gates

    def trust(self, gates: Doubles) -> Doubles:
        """How much each of some gates counts, ``(n,)``, by likelihood of what was wanted; sums to 1."""
        lost = np.array([float(loss(torch.from_numpy(gate), self.lists)) for gate in gates])
        weight = np.exp(-(lost - lost.min()) * self.lists.n_teaching)
        return np.asarray(weight / weight.sum())


class Option(ABC):
    """One of the things that compete.

    Attributes:
        name: In tables.
        verdict: What choosing it means.
    """

    name: ClassVar[str]
    verdict: ClassVar[Verdict]

    @abstractmethod
    def settle(self, case: Case) -> Doubles | None:
        """The few-shot gate for a domain, ``(P,)``; None where this option has nothing to offer there."""
