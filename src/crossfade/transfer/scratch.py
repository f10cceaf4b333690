"""Starting from nothing: what the target's own lists alone can teach."""

from crossfade.fusion.few_shot.network import learn, neutral
from crossfade.fusion.static import tune_static
from crossfade.transfer.case import Case, Gate, Option
from crossfade.transfer.facts import DEPTH
from crossfade.types import Doubles

SCRATCH_PULL = 3.0
"""Pull of a gate without a past to equal weights, in lists."""


class ScratchStatic(Option):
    """Fixed weights tuned on the target's own lists, from equal ones or from the best base."""

    name, verdict = "scratch_static", "not"

    def settle(self, case: Case) -> Gate:
        """See `Option.settle`."""
        labelled = case.labelled
        lists = labelled.signals, labelled.relevant, labelled.n_relevant
        return Gate(weights=tune_static(*lists, DEPTH, start="equal").weights)


class ScratchBest(Option):
    """Fixed weights tuned on the target's own lists from the best base on."""

    name, verdict = "scratch_best", "not"

    def settle(self, case: Case) -> Gate:
        """See `Option.settle`."""
        labelled = case.labelled
        lists = labelled.signals, labelled.relevant, labelled.n_relevant
        return Gate(weights=tune_static(*lists, DEPTH, start="best").weights)


class ScratchGate(Option):
    """A few-shot gate learned from the target's own lists alone."""

    name, verdict = "scratch_gate", "not"

    def settle(self, case: Case) -> Gate:
        """See `Option.settle`."""
        return Gate(scratch_parameters(case))


def scratch_parameters(case: Case) -> Doubles:
    """A gate from nothing but the target's lists, ``(P,)``."""
    config = case.config
    return learn(
        case.lists,
        neutral(case.lists.n_bases),
        pull=SCRATCH_PULL,
        n_steps=config.n_steps,
        rate=config.rate,
    )
