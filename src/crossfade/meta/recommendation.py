"""One line of a list of recommendations."""

from dataclasses import dataclass
from typing import Any

from crossfade.data import Dataset
from crossfade.types import Floats, Rows


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
        uncertainty: How unsure the score is, larger is less sure; None where nothing is said of it.
        propensity: Chance that the item stands where it does; 1 but for explored places.
        why: The reasons as a sentence; None where none was asked for, or none is known.
        reasons: What the score rests on, the largest contribution first; see `explain.reasons`.
        notes: What else the sentence says, such as that the item is a discovery; see `Note`.
    """

    rank: int
    item_id: str
    title: str | None
    creator: str | None
    score: float
    weights: dict[str, float]
    probability: float | None = None
    uncertainty: float | None = None
    propensity: float = 1.0
    why: str | None = None
    reasons: tuple[dict[str, Any], ...] = ()
    notes: tuple[dict[str, Any], ...] = ()


class Names:
    """Ids, titles and creators of items by row."""

    def __init__(self, dataset: Dataset) -> None:
        self._ids = dataset.item_ids.ids
        self._columns = {
            name: dataset.items[name]
            for name in ("title", "creator")
            if name in dataset.items.columns
        }

    def of(self, item_rows: Rows) -> list[tuple[str, str | None, str | None]]:
        """Id, title and creator of each row; None where the catalogue does not say."""
        rows = item_rows.tolist()
        title, creator = (
            [self._columns[name][row] for row in rows]
            if name in self._columns
            else [None] * len(rows)
            for name in ("title", "creator")
        )
        return list(zip([self._ids[row] for row in rows], title, creator, strict=True))

    def lines(self, item_rows: Rows, scores: Floats) -> list[Recommendation]:
        """A list of items in a given order; rows of -1 are left out.

        Args:
            item_rows: Shape ``(k,)``.
            scores: Shape ``(k,)``.
        """
        there = item_rows >= 0
        return [
            Recommendation(rank, *told, float(score), {})
            for rank, (told, score) in enumerate(
                zip(self.of(item_rows[there]), scores[there], strict=True), start=1
            )
        ]
