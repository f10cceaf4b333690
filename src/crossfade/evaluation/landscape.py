"""Who is trusted when: mean weight of each base along the history and along the age of items."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

UNKNOWN = "unknown"
"""Name of the bin of items whose age nobody knows."""


@dataclass(frozen=True)
class WeightBin:
    """What the bases weighed in some scores.

    Attributes:
        name: Of the bin, such as ``8–15``.
        n: Candidates whose score is a weighted mean of bases.
        n_requests: Requests with such a candidate.
        mean: Mean weight by base; they sum to 1. Empty where there is no such candidate.
    """

    name: str
    n: int
    n_requests: int
    mean: Mapping[str, float]


@dataclass(frozen=True)
class Landscape:
    """Weights of one model on the lists of one block.

    Attributes:
        model: Its name in the table.
        bases: Labels, in order.
        n: Candidates whose score is a weighted mean of bases.
        n_without: Candidates with a score that is none, such as one from trees alone.
        by_history: By wanted events in the history of who asks, none first; without the empty
            bins at either end.
        by_age: By the time since the first event of the item, likewise; items whose age is
            unknown come first. Empty where no age is known.
        unweighed: Share in the score of each member of a combination that weighs no bases, by
            name. The weights are those of the other members.
        modalities: Mean weight of each modality in what is read of context, by side and modality, such as
            ``request.session``; empty where context is read plainly or not at all.
    """

    model: str
    bases: tuple[str, ...]
    n: int
    n_without: int
    by_history: tuple[WeightBin, ...]
    by_age: tuple[WeightBin, ...]
    unweighed: Mapping[str, float] = field(default_factory=dict)
    modalities: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "model": self.model,
            "n": self.n,
            "n_without": self.n_without,
            "unweighed": dict(self.unweighed),
            "modalities": dict(self.modalities),
            "by_history": [vars(one) for one in self.by_history],
            "by_age": [vars(one) for one in self.by_age],
        }


def unweighed_text(model: str, unweighed: Mapping[str, float]) -> str:
    """What must be said of members that weigh no bases; empty where there are none."""
    if not unweighed:
        return ""
    named = ", ".join(f"{name} {share:.2f}" for name, share in unweighed.items())
    return (
        f"of the score of {model}, {sum(unweighed.values()):.0%} comes from models that weigh no bases ({named}); "
        "the weights are those of the rest"
    )
