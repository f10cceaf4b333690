"""Gates of a source: as they are, after a few steps, and by likeness to what was seen before."""

import numpy as np

from crossfade.fusion.few_shot.network import learn
from crossfade.transfer.case import Case, Option
from crossfade.types import Doubles


class SourceAsIs(Option):
    """The source's gate, chosen by facts about the target; no step of learning."""

    name, verdict = "source_as_is", "transfer"

    def settle(self, case: Case) -> Doubles:
        """See `Option.settle`."""
        return case.carried()


class ModelAgnostic(Option):
    """A start from which a few steps on the target's lists lead far: meta-learned over the source's tasks."""

    name, verdict = "model_agnostic", "transfer"

    def settle(self, case: Case) -> Doubles:
        """See `Option.settle`."""
        gates = np.stack(
            [
                one.inner.adapted(case.domain, case.evidence, case.lists, case.config.inner_steps)
                for one in case.sources
            ]
        )
        starts = np.stack(
            [one.inner.parameters(case.domain, case.evidence) for one in case.sources]
        )
        return case.trust(starts) @ gates


class PrototypeBased(Option):
    """The gates of typical source tasks, each as far as it is like the target; no step of learning."""

    name, verdict = "prototype_based", "transfer"

    def settle(self, case: Case) -> Doubles:
        """See `Option.settle`."""
        gates = np.stack(
            [
                one.prototypes.parameters(one.prior, case.domain, case.evidence)
                for one in case.sources
            ]
        )
        return case.trust(gates) @ gates


class FineTuned(Option):
    """The source's gate, moved by the target's lists as far as they say so: half its own, half carried."""

    name, verdict = "fine_tuned", "partly"

    def settle(self, case: Case) -> Doubles:
        """See `Option.settle`."""
        config = case.config
        start = case.carried()
        return learn(case.lists, start, pull=config.pull, n_steps=config.n_steps, rate=config.rate)
