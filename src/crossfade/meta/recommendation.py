"""One line of a list of recommendations."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recommendation:
    """One line of a list.

    Attributes:
        rank: 1 for the best.
        item_id: The item.
        title: From the catalogue, or None.
        creator: From the catalogue, or None.
        score: Blended score; comparable within one list only.
        weights: Share each base had in this score, by label; empty where the model that
            serves weighs no bases.
        probability: Calibrated probability that the person wants the item within the horizon of
            the protocol's blocks; None where no calibrated model gave the score.
    """

    rank: int
    item_id: str
    title: str | None
    creator: str | None
    score: float
    weights: dict[str, float]
    probability: float | None = None
