"""What competes in a new domain: starting from nothing, the source as it is, and four ways between them."""

from collections.abc import Sequence

from crossfade.transfer.alignment import FeatureAlignment
from crossfade.transfer.carrying import FineTuned, ModelAgnostic, PrototypeBased, SourceAsIs
from crossfade.transfer.case import Option
from crossfade.transfer.gradients import GradientBased
from crossfade.transfer.knowledge import Knowledge
from crossfade.transfer.scratch import Scratch

OPTIONS: tuple[Option, ...] = (
    Scratch(),
    SourceAsIs(),
    FeatureAlignment(),
    ModelAgnostic(),
    GradientBased(),
    PrototypeBased(),
    FineTuned(),
)
"""In the order of tables; what starts from nothing comes first, and wins ties."""


def competing(sources: Sequence[Knowledge]) -> tuple[Option, ...]:
    """The options there are: without a source, only those that start from nothing."""
    return tuple(one for one in OPTIONS if sources or one.verdict == "not")
