"""How the weights of the bases move over one user's history, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crossfade.evaluation.landscape import unweighed_text


@dataclass(frozen=True)
class Moment:
    """One point of a history, and the list that would have been served there.

    Attributes:
        n_events: In the history.
        as_of: When it is asked, ISO 8601; None where the log has no times.
        by: ``model`` where the fusion model answers, ``static`` where the static blend does, with
            the same weights for everybody, ``nobody`` where no base can.
        weights: Mean over the list by base; they sum to 1. Empty where no base is weighed.
        n_items: On the list.
        item_id: The first item; None where the list is empty.
        probability: That it is wanted; None where no calibrated model spoke.
        uncertainty: Of its score, larger is less sure; None where nothing is said of that.
    """

    n_events: int
    as_of: str | None
    by: str
    weights: Mapping[str, float]
    n_items: int
    item_id: str | None
    probability: float | None
    uncertainty: float | None


@dataclass(frozen=True)
class Journey:
    """One user's history under one system.

    Attributes:
        user_id: As in the data set.
        model: Name of the fusion model that serves.
        bases: Labels, in order.
        k: Longest list that is looked at.
        moments: The shortest history first.
        unweighed: As in `Landscape`.
    """

    user_id: str
    model: str
    bases: tuple[str, ...]
    k: int
    moments: tuple[Moment, ...]
    unweighed: Mapping[str, float] = field(default_factory=dict)

    def ranked(self) -> list[str]:
        """Bases with any weight, the largest mean first, ties in order."""
        known = [one.weights for one in self.moments if one.weights]
        total = {base: sum(w.get(base, 0.0) for w in known) for base in self.bases}
        return sorted((base for base in self.bases if total[base] > 0), key=lambda b: -total[b])

    def notes(self) -> list[str]:
        """What a reader must know."""
        static = [one.n_events for one in self.moments if one.by == "static"]
        silent = [one.n_events for one in self.moments if one.by == "nobody"]
        notes = [note for note in [unweighed_text(self.model, self.unweighed)] if note]
        if static:
            who = "all moments" if len(static) == len(self.moments) else f"after {_listed(static)}"
            notes.append(f"{who}: the static blend answers, with the same weights for everybody")
        if silent:
            notes.append(f"after {_listed(silent)}: no base can answer")
        return notes

    def to_json(self) -> dict[str, Any]:
        """Plain values; null for what is not known."""
        return {
            "user": self.user_id,
            "model": self.model,
            "bases": list(self.bases),
            "k": self.k,
            "unweighed": dict(self.unweighed),
            "moments": [vars(one) for one in self.moments],
        }


def _listed(numbers: list[int]) -> str:
    return f"{', '.join(f'{n:,}' for n in numbers)} events"
