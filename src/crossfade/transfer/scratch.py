"""Starting from nothing: what the target's own lists alone can teach."""

from crossfade.fusion.few_shot.network import learn, neutral
from crossfade.transfer.case import Case, Option
from crossfade.types import Doubles

PULL = 3.0
"""Of a gate without a past to equal weights, in lists."""


class Scratch(Option):
    """A few-shot gate learned from the target's own lists alone: what the others must beat."""

    name, verdict = "scratch", "not"

    def settle(self, case: Case) -> Doubles:
        """See `Option.settle`."""
        config = case.config
        start = neutral(case.lists.n_bases)
        return learn(case.lists, start, pull=PULL, n_steps=config.n_steps, rate=config.rate)
